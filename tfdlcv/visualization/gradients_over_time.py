"""A figure of gradient norms over time, one line a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

_FLOOR = 1e-12  # Norms below it are drawn there: a logarithmic axis has no zero.


def draw_gradients_over_time(norms: Mapping[str, np.ndarray]) -> Figure:
    """Norms (T,) by name, over steps back from the last, which is at 0; logarithmic."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in norms.items():
        axes.plot(np.arange(len(values)), np.maximum(np.asarray(values)[::-1], _FLOOR), label=name)
    axes.set_yscale("log")
    axes.set_xlabel("steps before the last")
    axes.set_ylabel("gradient norm of the last output")
    axes.grid(alpha=0.3)
    if len(norms) > 1:
        axes.legend()
    return figure
