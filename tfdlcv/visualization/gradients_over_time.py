"""A picture of gradient norms over time, one line a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfdlcv.visualization import pictures

_FLOOR = 1e-12  # Norms below it are drawn there: a logarithmic axis has no zero.


def draw_gradients_over_time(norms: Mapping[str, np.ndarray]) -> np.ndarray:
    """Norms (T,) by name, logarithmic, over the steps back from the last one: (H, W, 3) uint8."""
    if not norms or any(np.ndim(values) != 1 or not len(values) for values in norms.values()):
        raise ValueError(
            f"norms must be arrays (T,) of at least 1 step. Received: { {k: np.shape(v) for k, v in norms.items()} }"
        )
    figure = pictures.new_figure(700, 400)
    axes = figure.add_axes((0.12, 0.14, 0.85, 0.82))
    for name, values in norms.items():
        axes.plot(np.arange(len(values)), np.maximum(np.asarray(values)[::-1], _FLOOR), label=name)
    axes.set_yscale("log")
    axes.set_xlabel("steps before the last")
    axes.set_ylabel("gradient norm of the last output")
    axes.grid(alpha=0.3)
    if len(norms) > 1:
        axes.legend()
    return pictures.figure_to_picture(figure)
