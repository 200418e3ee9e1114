"""Piano rolls as pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfdlcv.visualization import pictures


def draw_piano_rolls(rolls: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rolls (T, keys) in [0, 1] by name, below each other, low keys at the bottom: (H, W, 3) uint8."""
    if not rolls:
        raise ValueError("rolls must hold at least one. Received none")
    figure = pictures.new_figure(800, 220 * len(rolls))
    for index, (name, roll) in enumerate(rolls.items()):
        axes = figure.add_subplot(len(rolls), 1, index + 1)
        axes.imshow(np.asarray(roll).T, origin="lower", aspect="auto", cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(name, fontsize=9)
        axes.set_ylabel("key")
    figure.tight_layout()
    return pictures.figure_to_picture(figure)
