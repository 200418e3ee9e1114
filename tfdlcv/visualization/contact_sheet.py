"""Many images with captions in one picture: samples of a data set, predictions, mistakes.

Shape legend: N images of any sizes, C channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdlcv.visualization import pictures

_FRAME = 4  # Pixels of coloured frame around an image.
_GAP = 10  # Pixels between tiles.
_FONT_PIXELS = 13
_LINE = 18  # Pixels from one line of a caption to the next.
_NEUTRAL = (190, 190, 190)


def draw_contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    correct: Sequence[bool | None] | None = None,
    columns: int | None = None,
    title: str = "",
    tile_pixels: int = 140,
) -> np.ndarray:
    """Draws images row by row, each with its caption below it.

    Small images are enlarged by a whole factor, so that their pixels stay square and sharp; large ones are reduced.
    A caption line that is wider than its tile ends in "…".

    Args:
        images: N arrays (H, W), (H, W, 1) or (H, W, 3) of uint8; their sizes may differ.
        captions: N texts; "\\n" starts a new line.
        correct: for each image True (blue frame and ✓), False (orange frame and ✗) or None (grey frame).
        columns: images in a row. Default: as many as make the picture somewhat wider than high.
        title: a line above the images.
        tile_pixels: side of the square into which each image is fitted.

    Returns:
        (H, W, 3) uint8.
    """
    count = len(images)
    if count == 0:
        raise ValueError("images must hold at least one image. Received none")
    if len(captions) != count or (correct is not None and len(correct) != count):
        marks = "None" if correct is None else str(len(correct))
        raise ValueError(
            "images, captions and correct must be of one length. "
            f"Received: {count} images, {len(captions)} captions, {marks} correct"
        )
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1. Received: columns={columns}")
    columns = min(count, columns or int(np.ceil(np.sqrt(1.6 * count))))
    rows = -(-count // columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    side = tile_pixels + 2 * _FRAME
    tile_width, tile_height = side + _GAP, side + 6 + lines * _LINE + _GAP
    top = _GAP + (30 if title else 0)

    font = ImageFont.truetype(pictures.FONT_FILE, _FONT_PIXELS)
    title_font = ImageFont.truetype(pictures.FONT_FILE, 17)
    width = _GAP + columns * tile_width
    if title:
        width = max(width, 2 * _GAP + int(np.ceil(title_font.getlength(title))))
    sheet = Image.new("RGB", (width, top + rows * tile_height), "white")
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_GAP, 20), title, fill=pictures.INK, font=title_font, anchor="lm")
    for i in range(count):
        left = _GAP + (i % columns) * tile_width
        upper = top + (i // columns) * tile_height
        mark = None if correct is None else correct[i]
        color = _NEUTRAL if mark is None else pictures.RIGHT if mark else pictures.WRONG
        draw.rectangle((left, upper, left + side - 1, upper + side - 1), fill=color)
        draw.rectangle(
            (left + _FRAME, upper + _FRAME, left + side - _FRAME - 1, upper + side - _FRAME - 1), fill=(245, 245, 245)
        )
        tile = _fitted(_as_rgb(images[i], i), tile_pixels)
        sheet.paste(tile, (left + (side - tile.width) // 2, upper + (side - tile.height) // 2))
        indent = 0
        if mark is not None:  # A sign besides the colour, for eyes and printers that see none.
            indent = 17
            draw.text((left, upper + side + 6 + _LINE // 2), "✓" if mark else "✗", fill=color, font=font, anchor="lm")
        for line, text in enumerate(captions[i].split("\n")):
            y = upper + side + 6 + line * _LINE + _LINE // 2
            draw.text(
                (left + indent, y), _shortened(text, font, side - indent), fill=pictures.INK, font=font, anchor="lm"
            )
    return np.asarray(sheet)


def _as_rgb(image: np.ndarray, index: int) -> Image.Image:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            f"images[{index}] must be an array (H, W, 1) or (H, W, 3) of uint8. "
            f"Received: shape={image.shape}, dtype={image.dtype}"
        )
    return Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _fitted(image: Image.Image, side: int) -> Image.Image:
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * side / longest)), max(1, round(image.height * side / longest)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, or as much of its start as fits `width` pixels with "…" behind it."""
    if font.getlength(text) <= width:
        return text
    end = len(text)
    while end and font.getlength(text[:end].rstrip() + "…") > width:
        end -= 1
    return text[:end].rstrip() + "…"
