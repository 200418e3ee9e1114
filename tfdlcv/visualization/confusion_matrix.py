"""A confusion matrix as a picture in which both the successes and the rare mistakes are seen.

Shape legend: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from tfdlcv.visualization import pictures

_MOST_NUMBERED_CLASSES = 25  # Beyond, numbers would no longer fit the cells.
_MOST_NAMED_CLASSES = 120  # Beyond, every tenth or hundredth class gets a tick.
_LONGEST_NAME = 24  # Characters.


def draw_confusion_matrix(matrix, class_names: Sequence[str] = ()) -> np.ndarray:
    """Draws counts of (true class, predicted class).

    A cell's shade is its share of its row, on a square-root scale that lets one mistake in a hundred be seen: blue on
    the diagonal, orange beside it. The right margin has each class's accuracy and number of examples.

    Args:
        matrix: (K, K) counts or sums of weights, rows are true classes.
        class_names: K names; numbers stand in where there are none.

    Returns:
        (H, W, 3) uint8; about 800 pixels wide for 10 classes and 1,500 for 100.
    """
    matrix = np.asarray(matrix, dtype="float64")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(f"matrix must be (K, K) with K at least 2. Received: shape={matrix.shape}")
    num_classes = len(matrix)
    if len(class_names) not in (0, num_classes):
        raise ValueError(
            f"class_names ({len(class_names)}) must be as many as the matrix has rows ({num_classes}), or none"
        )
    names = [_shortened(str(name)) for name in class_names] or [str(i) for i in range(num_classes)]

    examples = matrix.sum(axis=1)
    shares = np.divide(matrix, examples[:, None], out=np.zeros_like(matrix), where=examples[:, None] > 0)
    accuracies = np.where(examples > 0, np.diagonal(shares), np.nan)

    numbered = num_classes <= _MOST_NUMBERED_CLASSES
    named = num_classes <= _MOST_NAMED_CLASSES
    points = 10 if numbered else 7
    if numbered:
        cell_pixels = np.clip(520 / num_classes, 34, 90)
    else:
        cell_pixels = 13 if named else max(900 / num_classes, 1)
    side = cell_pixels * num_classes
    ticks = range(num_classes) if named else range(0, num_classes, 10 ** int(np.log10(num_classes / 3)))
    name_pixels = max(pictures.text_pixels(names[i], points) for i in ticks)
    standing = named and name_pixels > 0.9 * cell_pixels  # The names below the matrix stand where they don't fit.
    margins = [f"{_percent(accuracies[i])} of {_count(examples[i])}" for i in range(num_classes)] if named else [""]
    margin_pixels = max(pictures.text_pixels(margin, points) for margin in margins)

    title = f"Accuracy {_percent(_accuracy(matrix))} of {_count(examples.sum())} examples"
    subtitle = "Blue: right. Orange: wrong. Shade: share of the true class."
    left = 52 + name_pixels
    bottom = 44 + (name_pixels if standing else 16)
    top = 66
    right = 24 + margin_pixels + (0 if numbered else 90)
    # Of few classes, the title is wider than the matrix.
    right = max(right, pictures.text_pixels(title, 13) + 16 - side, pictures.text_pixels(subtitle, 9) + 16 - side)
    width, height = left + side + right, bottom + side + top

    figure = pictures.new_figure(width, height)
    figure.text(left / width, 1 - 24 / height, title, fontsize=13, va="center")
    figure.text(left / width, 1 - 47 / height, subtitle, fontsize=9, va="center", color="0.35")
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    norm = PowerNorm(0.5, vmin=0.0, vmax=1.0)  # Square root: a share of 0.01 gets a tenth of the full colour.
    diagonal = np.eye(num_classes, dtype=bool)
    images = []
    for name, rgb, mask in (("right", pictures.RIGHT, ~diagonal), ("wrong", pictures.WRONG, diagonal)):
        colours = _colours(name, rgb)
        images.append(
            axes.imshow(np.ma.array(shares, mask=mask), cmap=colours, norm=norm, aspect="auto", interpolation="none")
        )

    labels = [names[i] for i in ticks]
    axes.set_xticks(ticks, labels, fontsize=points, rotation=90 if standing else 0)
    axes.set_yticks(ticks, labels, fontsize=points)
    axes.tick_params(length=0 if named else 3)
    axes.set_xlabel("Predicted class", fontsize=11)
    axes.set_ylabel("True class", fontsize=11)
    axes.spines[:].set_color("0.6")
    if named:
        _draw_grid(axes, num_classes, color="0.88" if numbered else "0.93")
        for row, margin in enumerate(margins):
            column = num_classes - 0.5 + 8 / cell_pixels
            axes.text(column, row, margin, va="center_baseline", fontsize=points, color="0.25")
    if numbered:
        _draw_numbers(axes, matrix, norm(shares), points=np.clip(cell_pixels / 4.6, 6, 11))
    else:
        _draw_colour_bars(figure, images, left + side + margin_pixels + 20, bottom + 10)
    return pictures.figure_to_picture(figure)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def _count(value: float) -> str:
    """A count with separated thousands; sums of fractional weights with one digit."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _accuracy(matrix: np.ndarray) -> float:
    total = matrix.sum()
    return float(np.trace(matrix) / total) if total else np.nan


def _colours(name: str, rgb: tuple[int, int, int]) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list(name, ["white", tuple(value / 255 for value in rgb)])


def _draw_grid(axes, num_classes: int, *, color: str):
    """Lines between the cells, along which the eye follows rows and columns."""
    axes.set_xticks(np.arange(num_classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=color, linewidth=0.6)
    axes.tick_params(which="minor", length=0)


def _draw_numbers(axes, matrix: np.ndarray, shades: np.ndarray, *, points: float):
    for row, column in zip(*np.nonzero(matrix), strict=True):
        color = "white" if shades[row, column] > 0.6 else "black"
        text = _count(matrix[row, column])
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=points, color=color)


def _draw_colour_bars(figure, images, x: float, y: float):
    """Two bars side by side, each 14 by 180 pixels, from the pixel (x, y) up."""
    width, height = figure.get_size_inches() * figure.dpi
    for i, image in enumerate(images):
        axes = figure.add_axes(((x + 20 * i) / width, y / height, 14 / width, 180 / height))
        bar = figure.colorbar(image, cax=axes, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1.0])
        bar.outline.set_edgecolor("0.6")
        axes.tick_params(length=2 * i)
        axes.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"] if i else [], fontsize=8)
