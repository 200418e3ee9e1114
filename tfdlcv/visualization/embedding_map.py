"""Embeddings on a plane, neighbours beside each other.

van der Maaten, Hinton, "Visualizing Data using t-SNE", Journal of Machine Learning Research 2008. The computation is
scikit-learn's.

Shape legend: N embeddings of D dimensions, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from tfdlcv.visualization import pictures

FEWEST = 10  # Embeddings; of fewer, neighbourhoods say nothing.
_PERPLEXITY = 30.0  # Effective number of neighbours; scikit-learn's default, within the paper's 5 to 50.
_MOST_COLORS = 20  # Classes beyond are told apart by numbers alone.


def tsne(embeddings: np.ndarray, *, perplexity: float = _PERPLEXITY, seed: int = 0) -> np.ndarray:
    """(N, D) -> positions (N, 2) float32.

    Args:
        embeddings: (N, D), N at least 10; ranks higher than 2 are flattened.
        perplexity: Effective number of neighbours; at most a third of N counts.
        seed: The same one gives the same map.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    flat = np.asarray(embeddings, "float32").reshape(len(embeddings), -1)
    if len(flat) < FEWEST:
        raise ValueError(f"embeddings must be at least {FEWEST}. Received: {len(flat)}")
    perplexity = min(perplexity, (len(flat) - 1) / 3)
    # PCA's start keeps what lies far apart far apart; it has no two directions in one dimension.
    init = "pca" if flat.shape[1] >= 2 else "random"
    # The threads of scikit-learn's loop meet in each of 1,000 short rounds, and burn the cores while they wait for one
    # that has no core: on a busy machine of two, one thread took a seventh of the time.
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(flat)


def draw_embedding_map(
    positions: np.ndarray,
    class_ids: Sequence[int],
    class_names: Sequence[str],
    *,
    wrong: Sequence[bool] | None = None,
    title: str = "",
) -> np.ndarray:
    """Positions (N, 2) coloured by class; up to 20 classes have a legend, of more each point has its class's number.

    Args:
        class_ids: (N,) in [0, K).
        class_names: K names.
        wrong: (N,), points that get a ring.

    Returns:
        (H, W, 3) uint8.
    """
    class_ids = np.asarray(class_ids)
    if positions.shape != (len(class_ids), 2):
        raise ValueError(f"positions {positions.shape} must be (N, 2) for the {len(class_ids)} class_ids")
    figure = pictures.new_figure(800, 640)
    axes = figure.add_axes((0.02, 0.02, 0.8, 0.91))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=11)
    present = np.unique(class_ids)
    if len(present) <= _MOST_COLORS:
        colors = matplotlib.colormaps["tab10" if len(present) <= 10 else "tab20"].colors
        for color, index in zip(colors, present, strict=False):
            points = positions[class_ids == index]
            axes.scatter(points[:, 0], points[:, 1], s=14, color=color, label=str(class_names[index]))
        figure.legend(loc="center left", bbox_to_anchor=(0.83, 0.5), fontsize=9, frameon=False)
    else:
        axes.scatter(positions[:, 0], positions[:, 1], s=0)  # Sets the axes' limits.
        for (x, y), index in zip(positions, class_ids, strict=True):
            axes.text(x, y, str(index), fontsize=6, ha="center", va="center", clip_on=True)
    if wrong is not None and np.any(wrong):
        points = positions[np.asarray(wrong, bool)]
        ink = tuple(value / 255 for value in pictures.INK)
        axes.scatter(points[:, 0], points[:, 1], s=60, facecolors="none", edgecolors=[ink], linewidths=1.2)
    return pictures.figure_to_picture(figure)
