"""Point clouds as pictures: small squares, the nearer ones in front, seen from above at a slant.

Shape legend: N points, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdlcv.visualization.legend import NAMED_COLORS, class_colors, draw_legend
from tfdlcv.visualization.pictures import FONT_FILE, INK
from tfdlcv.visualization.predictions import draw_predictions


def draw_point_cloud(
    positions: np.ndarray,
    colors: np.ndarray,
    *,
    size: tuple[int, int] = (640, 480),
    azimuth_degrees: float = 35.0,
    elevation_degrees: float = 45.0,
    up_axis: int = 2,
    point_pixels: int | None = None,
) -> np.ndarray:
    """A parallel projection of a cloud.

    Args:
        positions: (N, 3), finite.
        colors: (N, 3) uint8.
        size: width and height in pixels.
        azimuth_degrees, elevation_degrees: where the viewer stands.
        point_pixels: side of a point's square; default: so large that the points about fill the picture, 1 to 9.

    Returns:
        (H, W, 3) uint8, white where there is no point.
    """
    positions = np.asarray(positions, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or np.shape(colors) != positions.shape:
        raise ValueError(
            f"positions and colors must be (points, 3) both. Received: {positions.shape} and {np.shape(colors)}"
        )
    width, height = size
    picture = np.full((height, width, 3), 255, np.uint8)
    if not len(positions):
        return picture
    across, upwards, towards = _view(positions, azimuth_degrees, elevation_degrees, up_axis)
    span = max(np.ptp(across) / (0.94 * width), np.ptp(upwards) / (0.94 * height), 1e-12)  # Metres a pixel.
    column = np.round((across - (across.min() + across.max()) / 2) / span + width / 2).astype(np.int64)
    row = np.round(height / 2 - (upwards - (upwards.min() + upwards.max()) / 2) / span).astype(np.int64)
    side = point_pixels or int(np.clip(round(math.sqrt(width * height / len(positions))), 1, 9))
    order = np.argsort(towards, kind="stable")  # The nearest is painted last.
    # Farther points are a little paler, so that edges in depth show.
    depth = (towards - towards.min()) / max(np.ptp(towards), 1e-12)
    shaded = (255 - (255 - np.asarray(colors, np.float64)) * (0.55 + 0.45 * depth[:, None])).astype(np.uint8)
    flat = np.full(height * width, -1, np.int64)  # Which point is seen in each pixel, by its place in `order`.
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    for dy in range(-(side // 2), side - side // 2):
        for dx in range(-(side // 2), side - side // 2):
            y, x = row + dy, column + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            np.maximum.at(flat, y[inside] * width + x[inside], ranks[inside])
    seen = flat >= 0
    picture.reshape(-1, 3)[seen] = shaded[order[flat[seen]]]
    return picture


def draw_labels(
    positions: np.ndarray,
    columns: dict[str, np.ndarray],
    class_names: Sequence[str],
    *,
    size: tuple[int, int] = (560, 420),
    up_axis: int = 2,
    classes: int | None = None,
) -> np.ndarray:
    """The same cloud side by side, each time in other colours, with the classes' colours below.

    Args:
        positions: (N, 3).
        columns: caption -> colours (N, 3) uint8, or class (N,) of each point, negative where unknown (black).
        class_names: of the legend; none for no legend.
        classes: how many classes there are, where `class_names` does not say.

    Returns:
        (H, W, 3) uint8.
    """
    palette = class_colors(classes or len(class_names))
    panels = []
    for caption, values in columns.items():
        values = np.asarray(values)
        if values.ndim == 1:
            values = np.where(values[:, None] >= 0, palette[np.maximum(values, 0)], 0).astype(np.uint8)
        panels.append(_captioned(draw_point_cloud(positions, values, size=size, up_axis=up_axis), caption))
    row = np.concatenate(panels, axis=1)
    return np.concatenate([row, draw_legend(class_names, palette, row.shape[1])]) if len(class_names) else row


def draw_segmentations(
    positions: Sequence[np.ndarray],
    columns: dict[str, Sequence[np.ndarray]],
    class_names: Sequence[str],
    *,
    colors: Sequence[np.ndarray] | None = None,
    size: tuple[int, int] = (420, 320),
    up_axis: int = 2,
) -> np.ndarray:
    """Several clouds below each other, each in several columns: their colours if known, then labels by caption.

    Args:
        positions: of each cloud, (N, 3).
        columns: caption -> classes (N,) of each cloud.
        colors: of each cloud, (N, 3) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    rows = []
    for index, cloud in enumerate(positions):
        shown = {} if colors is None else {"colour": colors[index]}
        shown |= {caption: labels[index] for caption, labels in columns.items()}
        names = class_names if index + 1 == len(positions) else ()
        rows.append(draw_labels(cloud, shown, names, size=size, up_axis=up_axis, classes=len(class_names)))
    return np.concatenate(rows)


def draw_cloud_predictions(
    positions: Sequence[np.ndarray],
    logits: np.ndarray,
    class_names: Sequence[str],
    *,
    labels: Sequence[int] | None = None,
    cloud_names: Sequence[str] | None = None,
    size: tuple[int, int] = (180, 180),
    up_axis: int = 2,
) -> np.ndarray:
    """A contact sheet of clouds, each captioned with the probability and name of the class that was predicted.

    Args:
        positions: of each cloud, (N, 3).
        logits: (clouds, K).
        labels: true classes, where known.
        cloud_names: end the captions, such as file names.

    Returns:
        (H, W, 3) uint8.
    """
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    ink = np.array(NAMED_COLORS[3], np.uint8)
    pictures = [
        draw_point_cloud(cloud, np.broadcast_to(ink, np.shape(cloud)), size=size, up_axis=up_axis)
        for cloud in positions
    ]
    return draw_predictions(pictures, probabilities, class_names, labels=labels, image_names=cloud_names)


def _view(positions, azimuth_degrees: float, elevation_degrees: float, up_axis: int):
    """Coordinates to the right, upwards and towards the viewer, (N,) each."""
    azimuth, elevation = math.radians(azimuth_degrees), math.radians(elevation_degrees)
    x, y, z = (positions[:, (up_axis + step) % 3] for step in (1, 2, 0))
    right = -math.sin(azimuth) * x + math.cos(azimuth) * y
    forward = math.cos(azimuth) * x + math.sin(azimuth) * y
    return (
        right,
        math.cos(elevation) * z - math.sin(elevation) * forward,
        math.sin(elevation) * z + math.cos(elevation) * forward,
    )


def _captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    strip = Image.new("RGB", (picture.shape[1], 26), "white")
    ImageDraw.Draw(strip).text((8, 4), caption, fill=INK, font=ImageFont.truetype(FONT_FILE, 15))
    return np.concatenate([np.asarray(strip), picture])
