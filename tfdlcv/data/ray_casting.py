"""Depth and normals of planes, spheres and boxes, for all rays of a camera at once.

The camera is at the origin; x points to the right, y down and z forward. Rays are (H, W, 3) float32 with z = 1, so that
the point at depth t on a ray is t times the ray. A ray that misses has infinite depth.

Shape legend: images H x W.
"""

from __future__ import annotations

import math

import numpy as np


def rays(height: int, width: int, field_of_view_radians: float) -> np.ndarray:
    """Rays (H, W, 3) float32 through the centres of the pixels; the field of view is the horizontal one."""
    focal_pixels = width / 2 / math.tan(field_of_view_radians / 2)
    result = np.ones((height, width, 3), np.float32)
    result[..., 0] = (np.arange(width) + 0.5 - width / 2) / focal_pixels
    result[..., 1] = ((np.arange(height) + 0.5 - height / 2) / focal_pixels)[:, None]
    return result


class View:
    """What is nearest on each ray.

    depth: (H, W) float32, infinite where there is nothing.
    normals: (H, W, 3) float32, towards the camera; colors: (H, W, 3) float32; both 0 where there is nothing.
    """

    def __init__(self, rays: np.ndarray):
        self.rays = rays
        self.depth = np.full(rays.shape[:2], np.inf, np.float32)
        self.normals = np.zeros_like(rays)
        self.colors = np.zeros_like(rays)

    def add(self, depth: np.ndarray, normals: np.ndarray, colors: np.ndarray) -> None:
        """Adds a surface; normals and colors are (H, W, 3), or (3,) where they are the same everywhere."""
        nearer = depth < self.depth
        self.depth[nearer] = depth[nearer]
        self.normals[nearer] = normals[nearer] if normals.ndim == 3 else normals
        self.colors[nearer] = colors[nearer] if colors.ndim == 3 else colors


def plane(rays: np.ndarray, normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth (H, W) of the plane at `distance` > 0 from the camera; `normal` (3,) of length 1 points to its side."""
    towards = -(rays @ normal.astype(np.float32))  # (H, W)
    depth = np.full(towards.shape, np.inf, np.float32)
    np.divide(np.float32(distance), towards, out=depth, where=towards > 1e-6)
    return depth


def sphere(rays: np.ndarray, middle: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) of a sphere in front of the camera."""
    middle = middle.astype(np.float32)
    # |t ray - middle|^2 = radius^2, the smaller t.
    squared = np.einsum("hwc,hwc->hw", rays, rays)
    along = rays @ middle
    discriminant = along**2 - squared * (middle @ middle - np.float32(radius) ** 2)
    depth = np.where(discriminant >= 0, (along - np.sqrt(np.maximum(discriminant, 0))) / squared, np.float32(np.inf))
    finite = np.where(np.isfinite(depth), depth, 0)
    normals = finite[..., None] * rays - middle
    # Not by the radius: the difference of two nearly equal numbers has lost some digits.
    return depth, normals / np.linalg.norm(normals, axis=2, keepdims=True)


def box(rays: np.ndarray, middle: np.ndarray, axes: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) of a box in front of the camera.

    Args:
        axes: (3, 3), rows of length 1 at right angles.
        size: (3,), the lengths along them.
    """
    axes = axes.astype(np.float32)
    directions, origin = rays @ axes.T, -(axes @ middle.astype(np.float32))
    # A ray that is parallel to two sides would divide by zero.
    directions = np.where(np.abs(directions) < 1e-9, np.float32(1e-9), directions)
    half = size.astype(np.float32) / 2
    # Between which depths the ray is between each pair of sides; it is in the box where it is between all three.
    enter = (-np.sign(directions) * half - origin) / directions  # (H, W, 3)
    leave = (np.sign(directions) * half - origin) / directions
    entered = enter.max(axis=2)
    depth = np.where((entered <= leave.min(axis=2)) & (entered > 0), entered, np.float32(np.inf))
    side = enter.argmax(axis=2)
    sign = -np.sign(np.take_along_axis(directions, side[..., None], axis=2))
    return depth, sign * axes[side]
