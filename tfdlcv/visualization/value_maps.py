"""Depth and surface normals of images as pictures.

Shape legend: N images of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdlcv.visualization import pictures
from tfdlcv.visualization.legend import draw_legend
from tfdlcv.visualization.tiles import draw_table

Kind = Literal["depth", "normals"]
_UNKNOWN = 255  # White stands where the truth is unknown.
_DIRECTIONS = {
    "left": (-1, 0, 0), "right": (1, 0, 0), "up": (0, -1, 0), "down": (0, 1, 0),
    "to the camera": (0, 0, -1), "away from it": (0, 0, 1),
}  # fmt: skip
_BAR = (240, 12)  # Width and height of the legend's bar, pixels.


def draw_value_maps(
    images: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    kind: Kind,
    *,
    truths: Sequence[np.ndarray] | None = None,
    titles: Sequence[str] = (),
    tile_pixels: int = 220,
) -> np.ndarray:
    """Draws, for each image in a row: the image, the truth where it is known, the prediction, and the error.

    Args:
        images: N arrays (H, W, C) uint8 with 1 or 3 channels.
        values: N predictions (H, W, 1) in metres, or (H, W, 3) of length 1.
        kind: depth: near is bright; the error is the absolute difference. normals: x, y and z as red, green and blue;
            the legend has the colours of the six directions; the error is the angle.
        truths: N arrays like `values`, where known; NaN where unknown.
        titles: N texts beside the rows, or none.

    Returns:
        (H, W, 3) uint8.
    """
    for name, maps in {"values": values, "truths": truths or values}.items():
        if [np.shape(each)[:2] for each in maps] != [np.shape(image)[:2] for image in images]:
            raise ValueError(f"{name} must be as many as the images, and of their sizes")
    shown = [*values, *(truths or [])]
    if kind == "depth":
        finite = np.concatenate([np.ravel(each)[np.isfinite(np.ravel(each))] for each in shown])
        low, high = (float(v) for v in np.percentile(finite, (1, 99))) if finite.size else (0.0, 1.0)
        colored = [_depth_colors(each[..., 0], low, high) for each in shown]
    else:
        colored = [_normal_colors(each) for each in shown]
    columns = ["image", "prediction"] if truths is None else ["image", "truth", "prediction", "error"]
    errors = [] if truths is None else [error_map(v, t, kind) for v, t in zip(values, truths, strict=True)]
    finite_errors = [each[np.isfinite(each)] for each in errors]
    largest = max([float(np.percentile(each, 99)) for each in finite_errors if each.size], default=1.0) or 1.0
    rows = []
    for index, image in enumerate(images):
        row = [image, colored[index]]
        if truths is not None:
            row.insert(1, colored[len(values) + index])
            row.append(_colors("inferno", errors[index] / largest))
        rows.append(row)
    table = draw_table(rows, row_titles=titles, column_titles=columns, tile_pixels=tile_pixels)
    if kind == "depth":
        strips = [_bar("viridis_r", f"depth {low:.2f} m", f"{high:.2f} m", table.shape[1])]
    else:
        strips = [draw_legend([*_DIRECTIONS], _normal_colors(np.array([*_DIRECTIONS.values()])), table.shape[1])]
    if truths is not None:
        unit = "m" if kind == "depth" else "degrees"
        strips.append(_bar("inferno", f"error 0 {unit}", f"{largest:.2g} {unit}", table.shape[1]))
    return np.concatenate([table, *strips])


def error_map(values: np.ndarray, truth: np.ndarray, kind: Kind) -> np.ndarray:
    """(H, W): metres, or degrees; NaN where the truth is unknown."""
    if kind == "depth":
        return np.abs(values - truth)[..., 0]
    length = np.maximum(np.linalg.norm(values, axis=-1), 1e-12) * np.linalg.norm(truth, axis=-1)
    return np.degrees(np.arccos(np.clip((values * truth).sum(axis=-1) / length, -1, 1)))


def _depth_colors(depth: np.ndarray, low: float, high: float) -> np.ndarray:
    return _colors("viridis_r", (depth - low) / max(high - low, 1e-12))


def _normal_colors(normals: np.ndarray) -> np.ndarray:
    unknown = ~np.isfinite(normals).all(axis=-1)
    colors = np.round(127.5 + 127.5 * np.clip(np.nan_to_num(normals), -1, 1)).astype(np.uint8)
    colors[unknown] = _UNKNOWN
    return colors


def _colors(name: str, shares: np.ndarray) -> np.ndarray:
    unknown = ~np.isfinite(shares)
    colors = np.round(255 * matplotlib.colormaps[name](np.clip(np.nan_to_num(shares), 0, 1))[..., :3]).astype(np.uint8)
    colors[unknown] = _UNKNOWN
    return colors


def _bar(name: str, first: str, last: str, width: int) -> np.ndarray:
    """A strip (24, `width`, 3): the colours of a scale between its ends' values."""
    strip = Image.new("RGB", (width, 24), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.truetype(pictures.FONT_FILE, 13)
    x = 14 + int(font.getlength(first))
    length = int(np.clip(width - x - 24 - font.getlength(last), 1, _BAR[0]))
    ramp = np.broadcast_to(np.linspace(0, 1, length), (_BAR[1], length))
    draw.text((8, 4), first, fill=pictures.INK, font=font)
    strip.paste(Image.fromarray(_colors(name, ramp)), (x, 6))
    draw.text((x + length + 6, 4), last, fill=pictures.INK, font=font)
    return np.asarray(strip)
