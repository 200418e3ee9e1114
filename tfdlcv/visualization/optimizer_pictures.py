"""The paths of optimizers over the contours of surfaces, as a picture and as an animation.

Shape legend: T steps of an optimizer, each a point of the plane.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from keras import ops
from PIL import Image, ImageDraw

from tfdlcv.visualization import pictures
from tfdlcv.visualization.optimizer_paths import Surface

_PANEL = 370  # Pixels of a surface's side.
_LEGEND = 34  # Pixels below.
_GRID = 150  # Points on a side of the contours.
_LEVELS = 22
_SHARP = 2  # Lines are drawn so many times larger and then reduced, which smooths them.
_FRAME_MILLISECONDS = 80
_LAST_MILLISECONDS = 2500  # The last frame stays, for the eye to take it in.


def draw_optimizer_paths(surfaces: Mapping[str, Surface], paths: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    """Surfaces side by side, by title, with the whole paths (T, 2) by optimizer over them: (H, W, 3) uint8."""
    return _Canvas(surfaces, paths).drawn(None)


def animate_optimizer_paths(
    surfaces: Mapping[str, Surface],
    paths: Mapping[str, Mapping[str, np.ndarray]],
    path: str | Path,
    *,
    frames: int = 50,
) -> Path:
    """Writes the same picture, path by path growing, as an animated GIF that repeats."""
    canvas = _Canvas(surfaces, paths)
    longest = max(len(points) for by_name in paths.values() for points in by_name.values())
    ends = np.unique(np.linspace(1, longest, frames).astype(int))
    images = [Image.fromarray(canvas.drawn(int(end))) for end in ends]
    # One palette for all frames, so that what stands still is not stored again; by octree, since the default method
    # spends the colours on the many greys and takes those of the lines.
    palette = images[-1].quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [_FRAME_MILLISECONDS] * (len(images) - 1) + [_LAST_MILLISECONDS]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    images[0].save(unfinished, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    os.replace(unfinished, path)
    return path


class _Canvas:
    """The surfaces, drawn once, and the paths in their pixels."""

    def __init__(self, surfaces: Mapping[str, Surface], paths: Mapping[str, Mapping[str, np.ndarray]]):
        if sorted(surfaces) != sorted(paths):
            raise ValueError(f"paths must be of the surfaces {sorted(surfaces)}. Received: {sorted(paths)}")
        names = list(dict.fromkeys(name for by_name in paths.values() for name in by_name))
        self._colors = dict(zip(names, matplotlib.colormaps["tab10"].colors, strict=False))
        figure = pictures.new_figure(_PANEL * len(surfaces), _PANEL + _LEGEND)
        figure.set_dpi(100 * _SHARP)
        panels = [
            _draw_surface(figure, index, len(surfaces), title, surface)
            for index, (title, surface) in enumerate(surfaces.items())
        ]
        handles = [matplotlib.lines.Line2D([], [], color=color, linewidth=2) for color in self._colors.values()]
        figure.legend(handles, names, loc="lower center", ncols=len(names), fontsize=9, frameon=False)
        self._background = Image.fromarray(pictures.figure_to_picture(figure))
        self._lines = []  # (color, corners of the panel, pixels (T, 2)) of each path.
        for (title, surface), axes in zip(surfaces.items(), panels, strict=True):
            box = axes.get_window_extent()
            height = self._background.height
            corners = tuple(int(v) for v in (box.x0, height - box.y1, box.x1, height - box.y0))
            for name, points in paths[title].items():
                pixels = axes.transData.transform(_within(points, surface.limits))
                pixels[:, 1] = height - pixels[:, 1]
                self._lines.append((self._colors[name], corners, pixels))

    def drawn(self, end: int | None) -> np.ndarray:
        """With the first `end` points of each path; None: all."""
        image = self._background.copy()
        for color, corners, pixels in self._lines:
            _draw_line(image, color, corners, pixels[:end])
        size = (image.width // _SHARP, image.height // _SHARP)
        return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def _draw_surface(figure, index: int, count: int, title: str, surface: Surface):
    width = 1 / count
    bottom, height = (_LEGEND + 26) / (_PANEL + _LEGEND), (_PANEL - 52) / (_PANEL + _LEGEND)
    axes = figure.add_axes(((index + 0.09) * width, bottom, 0.88 * width, height))
    left, right, low, high = surface.limits
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(low, high, _GRID))
    values = ops.convert_to_numpy(surface.function(ops.convert_to_tensor(x), ops.convert_to_tensor(y)))
    if values.min() >= 0:  # Steep walls around a flat valley: levels at equal ratios show both.
        values = np.log10(values + 1e-3)
    axes.contourf(x, y, values, levels=_LEVELS, cmap="Greys", alpha=0.55)
    axes.contour(x, y, values, levels=_LEVELS, colors="white", linewidths=0.5)
    axes.plot(*surface.start, "o", color="black", markersize=4)
    if surface.minimum is not None:
        axes.plot(*surface.minimum, "*", color="black", markersize=10)
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=7)
    return axes


def _within(points: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Points (T, 2) with those that are far out, or no numbers, brought to where they can be drawn to."""
    left, right, low, high = limits
    reach = np.array([right - left, high - low])
    middle = np.array([left + right, low + high]) / 2
    return np.clip(np.nan_to_num(points, nan=0.0, posinf=1e30, neginf=-1e30), middle - reach, middle + reach)


def _draw_line(image: Image.Image, color, corners: tuple[int, int, int, int], pixels: np.ndarray):
    """A line and its end as a dot, cut off at the corners (left, upper, right, lower) of the panel."""
    left, upper, *_ = corners
    panel = image.crop(corners)
    draw = ImageDraw.Draw(panel)
    rgb = tuple(round(255 * value) for value in color)
    points = [(float(x) - left, float(y) - upper) for x, y in pixels]
    if len(points) > 1:
        draw.line(points, fill=rgb, width=2 * _SHARP, joint="curve")
    x, y = points[-1]
    radius = 4 * _SHARP
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb, outline="black", width=_SHARP)
    image.paste(panel, (left, upper))
