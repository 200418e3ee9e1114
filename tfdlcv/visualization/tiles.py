"""Tables of small pictures with headings: rows of images, columns of what was made of each.

Shape legend: H x W pixels, C channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdlcv.visualization import pictures

_GAP = 6  # Pixels between tiles.
_FONT_PIXELS = 13
_LINE = 18  # Pixels from one line of a heading to the next.
_CLIP = 99.5  # Percentile of the values that gets the full colour: single pixels would leave the others pale.


def draw_table(
    rows: Sequence[Sequence[np.ndarray | None]],
    *,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    tile_pixels: int = 120,
) -> np.ndarray:
    """Draws images in rows, with a title beside each row and above each column.

    Args:
        rows: arrays (H, W, 1) or (H, W, 3) of uint8, or None for an empty place.
        row_titles: one for each row, or none; "\\n" starts a new line.
        column_titles: one for each column, or none; "\\n" starts a new line.
        tile_pixels: side of the square into which each image is fitted; pixels that are enlarged stay square.

    Returns:
        (H, W, 3) uint8.
    """
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        raise ValueError("rows must hold at least one image. Received none")
    for name, titles, count in (("row_titles", row_titles, len(rows)), ("column_titles", column_titles, columns)):
        if len(titles) not in (0, count):
            raise ValueError(f"{name} ({len(titles)}) must be as many as there are ({count}), or none")
    font = ImageFont.truetype(pictures.FONT_FILE, _FONT_PIXELS)
    lines = [line for title in row_titles for line in title.split("\n")]
    left = _GAP + (max(int(font.getlength(line)) for line in lines) + 10 if lines else 0)
    top = _GAP + (_LINE * max(title.count("\n") + 1 for title in column_titles) + 2 if column_titles else 0)
    step = tile_pixels + _GAP
    column_width = max([step, *(int(font.getlength(line)) + 8 for t in column_titles for line in t.split("\n"))])
    table = Image.new("RGB", (left + columns * column_width, top + len(rows) * step), "white")
    draw = ImageDraw.Draw(table)
    for column, title in enumerate(column_titles):
        x = left + column * column_width + tile_pixels / 2
        draw.multiline_text((x, _GAP), title, fill=pictures.INK, font=font, anchor="ma", align="center", spacing=2)
    for row, images in enumerate(rows):
        y = top + row * step
        if row_titles:
            middle = (_GAP, y + tile_pixels / 2)
            draw.multiline_text(middle, row_titles[row], fill=pictures.INK, font=font, anchor="lm", spacing=2)
        for column, image in enumerate(images):
            if image is not None:
                tile = _fitted(image, tile_pixels)
                x = left + column * column_width
                table.paste(tile, (x + (tile_pixels - tile.width) // 2, y + (tile_pixels - tile.height) // 2))
    return np.asarray(table)


def heat(values: np.ndarray) -> np.ndarray:
    """Values (H, W) of at least 0 as colours from black over red to white, (H, W, 3) uint8."""
    return _colored("inferno", values / _full(values))


def heat_over(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (H, W) of at least 0, from blue over green to red, half transparent over a grey image (H, W, C) uint8."""
    return _over(image, _colored("turbo", values / _full(values)))


def signed_over(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (H, W), red above 0 and blue below, half transparent over a grey image (H, W, C) uint8."""
    return _over(image, _colored("RdBu_r", 0.5 + 0.5 * values / _full(values)))


def signed_pixels(values: np.ndarray) -> np.ndarray:
    """Values (H, W, C) as an image of 1 or 3 channels whose middle grey is 0, (H, W, C) uint8."""
    return np.round(127.5 + 127.5 * np.clip(values / _full(values), -1, 1)).astype(np.uint8)


def _full(values: np.ndarray) -> float:
    """The magnitude that gets the full colour, above 0."""
    magnitudes = np.abs(values)
    full = float(np.percentile(magnitudes, _CLIP)) or float(magnitudes.max())
    return full or 1.0


def _colored(name: str, shares: np.ndarray) -> np.ndarray:
    colors = matplotlib.colormaps[name](np.clip(shares, 0, 1))
    return np.round(255 * colors[..., :3]).astype(np.uint8)


def _over(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    grey = image.astype("float32").mean(axis=-1, keepdims=True)  # (H, W, 1)
    return np.round(0.5 * grey + 0.5 * colors).astype(np.uint8)


def _fitted(image: np.ndarray, side: int) -> Image.Image:
    """The image in a square of `side` pixels: enlarged with square pixels, or reduced."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            f"images must be (H, W, 1) or (H, W, 3) of uint8. Received: shape={image.shape}, dtype={image.dtype}"
        )
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    resample = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))).resize(size, resample)
