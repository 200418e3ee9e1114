"""Plain shapes as sets of pixels: disk, square, triangle, ring, cross.

A shape is drawn on the window around it alone, which is what makes generated images cheap. Every shape lies in the
disk of its radius and touches its circle, so that radii compare across shapes.

Shape legend: windows h x w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SHAPE_NAMES = ("disk", "square", "triangle", "ring", "cross")

_RING_HOLE = 0.55  # Radius of the hole: about a third of the area, and wide enough to see at a radius of 6 pixels.
_CROSS_WIDTH = 0.3  # Half the width of an arm.
_CROSS_LENGTH = math.sqrt(1 - _CROSS_WIDTH**2)  # So that the corners of the arms are on the circle.


@dataclass(frozen=True)
class Outline:
    """A shape in the plane. x to the right, y down, in pixels; pixel (row, column) has its centre half a pixel on.

    angle_radians turns it clockwise, as seen on the screen.
    """

    name: str
    x: float
    y: float
    radius: float
    angle_radians: float


@dataclass(frozen=True)
class Patch:
    """The pixels of a shape that lie in an image.

    rows, columns: the window's place in the image.
    inside: (h, w) bool.
    area: pixels of the whole shape, those outside the image too.
    """

    rows: slice
    columns: slice
    inside: np.ndarray
    area: int


def rasterize(outline: Outline, height: int, width: int) -> Patch:
    """The pixels of an image of `height` x `width` whose centres are inside `outline`.

    Raises:
        ValueError: there is no shape of the outline's name.
    """
    left, right = math.floor(outline.x - outline.radius), math.ceil(outline.x + outline.radius)
    top, bottom = math.floor(outline.y - outline.radius), math.ceil(outline.y + outline.radius)
    across = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - outline.x)  # (w,)
    down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - outline.y))[:, None]  # (h, 1)
    cosine, sine = np.float32(math.cos(outline.angle_radians)), np.float32(math.sin(outline.angle_radians))
    inside = _inside(outline.name, cosine * across + sine * down, cosine * down - sine * across, outline.radius)
    area = int(np.count_nonzero(inside))
    rows = slice(min(max(top, 0), height), max(min(bottom, height), 0))
    columns = slice(min(max(left, 0), width), max(min(right, width), 0))
    inside = inside[rows.start - top : max(rows.stop - top, 0), columns.start - left : max(columns.stop - left, 0)]
    return Patch(rows, columns, inside, area)


def _inside(name: str, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Which places (h, w) are in the shape; u and v are along its own axes, from its centre."""
    radius = np.float32(radius)
    match name:
        case "disk":
            return u * u + v * v <= radius * radius
        case "ring":
            squared = u * u + v * v
            return (squared <= radius * radius) & (squared > np.float32(_RING_HOLE**2) * radius * radius)
        case "square":
            return np.maximum(np.abs(u), np.abs(v)) <= radius * np.float32(math.sqrt(0.5))
        case "triangle":  # Three sides at half the radius from the centre.
            return np.maximum(v, np.float32(math.sqrt(0.75)) * np.abs(u) - np.float32(0.5) * v) <= radius / 2
        case "cross":
            u, v = np.abs(u), np.abs(v)
            length, width = radius * np.float32(_CROSS_LENGTH), radius * np.float32(_CROSS_WIDTH)
            return (np.minimum(u, v) <= width) & (np.maximum(u, v) <= length)
    raise ValueError(f"name must be one of {', '.join(SHAPE_NAMES)}. Received: name={name!r}")
