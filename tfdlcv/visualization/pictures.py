"""Pictures as arrays (H, W, 3) uint8 sRGB: from matplotlib figures, to PNG files, and the colours they share.

Figures are drawn with matplotlib's object interface on an Agg canvas: no display is needed, and neither `pyplot` nor
its global state is touched, so that drawing is safe in any thread and beside a user's own figures.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageFont

# Blue and vermilion of Okabe and Ito, "Color Universal Design" (2008): apart for every common colour blindness.
RIGHT = (0, 114, 178)
WRONG = (213, 94, 0)
INK = (34, 34, 34)
FONT_FILE = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # Comes with matplotlib.


def new_figure(width_pixels: float, height_pixels: float) -> Figure:
    """An empty figure of the given size, at 100 dots per inch, with a canvas to draw on."""
    figure = Figure(figsize=(width_pixels / 100, height_pixels / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def text_pixels(text: str, points: float) -> float:
    """Width of a line of text in a figure of `new_figure`."""
    return ImageFont.truetype(FONT_FILE, 100).getlength(text) * points / 72  # 100 dots per inch, 72 points per inch.


def figure_to_picture(figure: Figure) -> np.ndarray:
    """Draws `figure` into a new array (H, W, 3) uint8."""
    figure.canvas.draw()
    return np.ascontiguousarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def save_png(picture: np.ndarray, path) -> Path:
    """Writes `picture`, (H, W, 3) uint8, as a PNG file that is either whole or absent; makes the folder it lies in."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"picture must be an array (H, W, 3) of uint8. Received: shape={picture.shape}, dtype={picture.dtype}"
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    Image.fromarray(picture).save(unfinished, format="PNG")
    os.replace(unfinished, path)
    return path
