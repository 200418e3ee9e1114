"""Word vectors on a plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdlcv.visualization import pictures


def draw_word_map(words: Sequence[str], vectors: np.ndarray) -> np.ndarray:
    """Words at the first two principal components of their vectors (N, E), E >= 2: (H, W, 3) uint8."""
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or len(words) != len(vectors) or len(words) < 2:
        raise ValueError(f"words ({len(words)}) must be 2 or more, and as many as vectors {vectors.shape}")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centered = unit - unit.mean(axis=0)
    _, _, axes_of_variance = np.linalg.svd(centered, full_matrices=False)
    points = centered @ axes_of_variance[:2].T  # (N, 2)
    figure = pictures.new_figure(900, 700)
    axes = figure.add_axes((0.05, 0.05, 0.93, 0.93))
    axes.scatter(points[:, 0], points[:, 1], s=4)
    for word, (x, y) in zip(words, points, strict=True):
        axes.annotate(word.replace("$", r"\$"), (x, y), fontsize=7)
    return pictures.figure_to_picture(figure)
