"""The course of a training run as a picture: each quantity in one chart, training and validation side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfdlcv.visualization import pictures

_TITLES = {"top5_accuracy": "Top-5 accuracy"}
_X_AXES = ("epoch", "step")
_PANEL_PIXELS = (400, 300)


def draw_history(rows: Sequence[Mapping[str, float]], *, columns: int = 3) -> np.ndarray:
    """Draws one chart for each quantity in the rows of `history.csv`.

    A column `val_x` shares the chart of column `x`. Training is a blue line, validation an orange dashed one; legends
    have their last values. Empty and non-finite entries leave gaps.

    Args:
        rows: one mapping per epoch, from column name to number; `epoch` (or else `step`, or the row's number from 1) is
            the horizontal axis. Columns that hold no number are left out.
        columns: charts side by side.

    Returns:
        (H, W, 3) uint8.
    """
    if not rows:
        raise ValueError("rows must hold at least one epoch. Received none")
    names = list(dict.fromkeys(name for row in rows for name in row))  # In the order of their first appearance.
    values = {name: np.array([_number(row.get(name)) for row in rows]) for name in names}
    x_name = next((name for name in _X_AXES if name in values), "")
    x = values[x_name] if x_name else np.arange(1, len(rows) + 1)
    drawn = [name for name in names if name not in _X_AXES and np.isfinite(values[name]).any()]
    quantities = list(dict.fromkeys(name.removeprefix("val_") for name in drawn))
    if not quantities:
        raise ValueError(f"rows must hold a number besides {' and '.join(_X_AXES)}. Received columns: {names}")

    columns = min(columns, len(quantities))
    lines = -(-len(quantities) // columns)
    figure = pictures.new_figure(_PANEL_PIXELS[0] * columns, _PANEL_PIXELS[1] * lines)
    for i, quantity in enumerate(quantities):
        axes = figure.add_subplot(lines, columns, i + 1)
        for name, label, rgb, style in (
            (quantity, "train", pictures.RIGHT, "-"),
            (f"val_{quantity}", "validation", pictures.WRONG, "--"),
        ):
            if name in drawn:
                color = tuple(value / 255 for value in rgb)
                last = values[name][np.isfinite(values[name])][-1]
                marker = "o" if len(rows) < 15 else None  # Of few points, the line alone hides where they are.
                axes.plot(x, values[name], style, color=color, label=f"{label} {last:.4g}", marker=marker, markersize=4)
        axes.set_title(_TITLES.get(quantity, quantity.replace("_", " ").capitalize()), fontsize=11, loc="left")
        axes.set_xlabel(x_name or "epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.tick_params(labelsize=8)
        axes.grid(color="0.9", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        if len(rows) == 1:
            axes.set_xlim(x[0] - 1, x[0] + 1)
        axes.margins(y=0.15)
        axes.legend(fontsize=9, frameon=False)
    figure.tight_layout(pad=1.2, w_pad=2.0)
    return pictures.figure_to_picture(figure)


def _number(value) -> float:
    """A finite number, or NaN for anything else that a table may hold."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return np.nan
    return number if np.isfinite(number) else np.nan
