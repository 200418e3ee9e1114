"""A loss on a plane as a picture: contours from above, and the surface seen from the side.

Shape legend: P points on a side.
"""

from __future__ import annotations

import numpy as np
from mpl_toolkits.mplot3d import Axes3D  # noqa: F401 - gives figures the projection 3d.

from tfdlcv.visualization import pictures

_LEVELS = 20


def draw_loss_landscape(steps: np.ndarray, losses: np.ndarray, *, title: str = "") -> np.ndarray:
    """Draws losses on a square around trained weights, colours and heights on a logarithmic scale.

    Args:
        steps: (P,), coordinates along both directions.
        losses: (P, P), [i, j] at steps[i] along the first direction, to the right, and steps[j] along the second.
            Non-finite ones leave holes.
        title: above the picture.

    Returns:
        (H, W, 3) uint8.
    """
    if losses.shape != (len(steps), len(steps)):
        raise ValueError(
            f"losses {losses.shape} must be ({len(steps)}, {len(steps)}), for the steps of both directions"
        )
    finite = losses[np.isfinite(losses)]
    if not finite.size or finite.min() < 0:
        raise ValueError("losses must be at least 0, and one of them finite")
    floor = max(finite.min(), 1e-6)
    heights = np.log10(np.clip(np.where(np.isfinite(losses), losses, np.nan), floor, None)).T  # Rows are second steps.
    levels = np.linspace(np.nanmin(heights), max(np.nanmax(heights), np.nanmin(heights) + 1e-6), _LEVELS)
    figure = pictures.new_figure(1000, 480)
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    axes = figure.add_axes((0.07, 0.12, 0.37, 0.76))
    filled = axes.contourf(steps, steps, heights, levels=levels, cmap="viridis")
    axes.contour(steps, steps, heights, levels=levels[1:-1], colors="white", linewidths=0.4)
    axes.plot(0, 0, "+", color="white", markersize=9)
    axes.set_xlabel("step along the first direction")
    axes.set_ylabel("step along the second direction")
    axes.set_aspect("equal")
    bar = figure.colorbar(filled, cax=figure.add_axes((0.455, 0.12, 0.012, 0.76)))
    bar.ax.yaxis.set_major_formatter(lambda height, _: f"{10**height:.3g}")
    bar.set_label("loss")
    side = figure.add_axes((0.54, 0.03, 0.38, 0.9), projection="3d")
    across, along = np.meshgrid(steps, steps)
    side.plot_surface(across, along, heights, cmap="viridis", linewidth=0, rcount=len(steps), ccount=len(steps))
    side.zaxis.set_major_formatter(lambda height, _: f"{10**height:.3g}")
    side.set(xticks=[steps[0], 0, steps[-1]], yticks=[steps[0], 0, steps[-1]], zlabel="loss")
    return pictures.figure_to_picture(figure)
