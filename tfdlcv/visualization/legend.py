"""The colours of classes, and the line below a picture that names them.

Shape legend: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdlcv.visualization.pictures import FONT_FILE, INK

# Colours that stay apart on a screen: those of Okabe and Ito 2008, then shades of them, then around the hues.
NAMED_COLORS = (
    (170, 170, 170), (222, 205, 170), (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167),
    (240, 200, 40), (86, 180, 233), (130, 60, 20), (20, 50, 110), (120, 200, 60), (110, 40, 130), (60, 60, 60),
)  # fmt: skip


def class_colors(num_classes: int) -> np.ndarray:
    """(K, 3) uint8, each different."""
    colors = list(NAMED_COLORS[:num_classes])
    for index in range(num_classes - len(colors)):
        hue = (index * 0.618034) % 1  # The golden section spreads the hues however many there are.
        weights = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        value = (0.9, 0.6, 0.75)[index % 3]
        colors.append(tuple(int(c) for c in np.round(255 * value * (0.25 + 0.75 * weights))))
    return np.array(colors, np.uint8).reshape(num_classes, 3)


def draw_legend(names: Sequence[str], colors: Sequence[Sequence[int]] | np.ndarray, width: int) -> np.ndarray:
    """A white strip (H, `width`, 3) uint8 with a square of each colour and its name, in as many lines as it takes."""
    font = ImageFont.truetype(FONT_FILE, 13)
    places, x, y = [], 8, 5
    for name in names:
        length = 20 + int(font.getlength(name)) + 14
        if x + length > width and x > 8:
            x, y = 8, y + 20
        places.append((x, y))
        x += length
    strip = Image.new("RGB", (width, y + 24), "white")
    draw = ImageDraw.Draw(strip)
    for (x, y), name, color in zip(places, names, colors, strict=True):
        draw.rectangle((x, y + 2, x + 12, y + 14), fill=tuple(int(c) for c in color), outline=INK)
        draw.text((x + 18, y), name, fill=INK, font=font)
    return np.asarray(strip)
