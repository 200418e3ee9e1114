"""Embeddings and prototypes on the circle or the sphere.

Shape legend: N embeddings, K prototypes, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from tfdlcv.visualization import pictures

_SIDE = 560  # Pixels of the disc's square.
_LEGEND = 150  # Pixels beside it.
_MOST_NAMED = 20
# The sphere is seen from above its equator, so that its poles and its front can be told.
_VIEW = (np.radians(25.0), np.radians(-35.0))  # Tilt, turn.


def draw_hypersphere(
    embeddings: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    class_names: Sequence[str] = (),
    values: Sequence[float] | None = None,
    value_name: str = "",
    prototypes: np.ndarray | None = None,
    title: str = "",
) -> np.ndarray:
    """Draws directions of embeddings as dots, and prototypes as rings, coloured by class or by value.

    Two dimensions are a circle; the dots lie on it and just inside, the longer embeddings further out, so that they do
    not hide each other. Three are a sphere, whose far side is pale. More are projected to the three directions in
    which the dots vary most: they then lie inside the sphere.

    Args:
        embeddings: (N, d) of any length but 0, d at least 2.
        labels: N class ids; needs `class_names`.
        class_names: K names; up to 20 stand beside the picture.
        values: N numbers, in place of labels.
        value_name: what they are.
        prototypes: (K, d) of norm 1.

    Returns:
        (H, W, 3) uint8.
    """
    embeddings = np.asarray(embeddings, np.float64)
    if embeddings.ndim != 2 or embeddings.shape[1] < 2 or not len(embeddings):
        raise ValueError(f"embeddings must be (N, d) with d at least 2. Received: shape={embeddings.shape}")
    if (labels is None) == (values is None):
        raise ValueError("draw_hypersphere takes either labels or values, and not both")
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    points = embeddings / np.where(norms > 0, norms, 1)
    rings = None if prototypes is None else np.asarray(prototypes, np.float64)
    points, rings = _in_three_dimensions(points, rings)

    figure = pictures.new_figure(_SIDE + _LEGEND, _SIDE + 40)
    figure.text(0.02, 1 - 20 / (_SIDE + 40), title, fontsize=12, va="center")
    axes = figure.add_axes((0, 0, _SIDE / (_SIDE + _LEGEND), _SIDE / (_SIDE + 40)))
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.15, 1.15)
    axes.set_ylim(-1.15, 1.15)
    circle = np.linspace(0, 2 * np.pi, 361)
    axes.plot(np.cos(circle), np.sin(circle), color="0.6", linewidth=1)
    flat = points.shape[1] == 2
    if flat:
        # By length, so that dots of one direction do not hide each other: the longest are outermost.
        ranks = np.argsort(np.argsort(norms[:, 0])) / max(len(norms) - 1, 1)
        places, front = points * (0.9 + 0.1 * ranks)[:, None], np.ones(len(points), bool)
    else:
        _draw_parallels(axes)
        places, front = _seen(points)

    if labels is not None:
        labels = np.asarray(labels)
        colors = _class_colors(max(len(class_names), int(labels.max()) + 1))
        dot_colors = colors[labels]
    else:
        values = np.asarray(values, np.float64)
        norm = matplotlib.colors.Normalize(values.min(), max(values.max(), values.min() + 1e-9))
        dot_colors = matplotlib.colormaps["viridis"](norm(values))
    for side, opacity in ((~front, 0.25), (front, 0.8)):
        axes.scatter(*places[side].T, s=14, c=dot_colors[side], alpha=opacity, linewidths=0)
    if rings is not None:
        ring_places, ring_front = (rings, np.ones(len(rings), bool)) if flat else _seen(rings)
        ring_colors = _class_colors(len(rings))
        for side, opacity in ((~ring_front, 0.3), (ring_front, 1.0)):
            axes.scatter(
                *ring_places[side].T,
                s=150,
                facecolors="none",
                edgecolors=ring_colors[side],
                alpha=opacity,
                linewidths=2.5,
            )
    left = _SIDE / (_SIDE + _LEGEND)
    if labels is not None and 0 < len(class_names) <= _MOST_NAMED:
        for index, name in enumerate(class_names):
            height = 0.92 - 0.044 * index
            figure.text(left, height, "●", color=colors[index], fontsize=11, va="center")
            figure.text(left + 0.025, height, str(name)[:18], fontsize=9, va="center")
    elif values is not None:
        bar = figure.add_axes((left + 0.03, 0.2, 0.03, 0.6))
        mappable = matplotlib.cm.ScalarMappable(norm, matplotlib.colormaps["viridis"])
        figure.colorbar(mappable, cax=bar).set_label(value_name)
    return pictures.figure_to_picture(figure)


def _in_three_dimensions(points: np.ndarray, rings: np.ndarray | None):
    """Points (N, d) and rings (K, d) in the three directions of most variance, if there are more."""
    if points.shape[1] <= 3:
        return points, rings
    everything = points if rings is None else np.concatenate([points, rings])
    _, _, directions = np.linalg.svd(everything - everything.mean(axis=0), full_matrices=False)
    axes = directions[:3].T
    return points @ axes, None if rings is None else rings @ axes


def _seen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) from the side -> places (N, 2), whether they lie in front (N,)."""
    tilt, turn = _VIEW
    x, y, z = points.T
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    # y goes into the picture, z up.
    up, depth = z * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - z * np.sin(tilt)
    return np.stack([x, up], axis=1), depth <= 0


def _draw_parallels(axes):
    circle = np.linspace(0, 2 * np.pi, 181)
    for latitude in np.radians([-60, -30, 0, 30, 60]):
        ring = np.stack(
            [
                np.cos(latitude) * np.cos(circle),
                np.cos(latitude) * np.sin(circle),
                np.full_like(circle, np.sin(latitude)),
            ],
            axis=1,
        )
        places, front = _seen(ring)
        for side, opacity in ((front, 0.5), (~front, 0.15)):
            shown = np.where(side[:, None], places, np.nan)
            axes.plot(*shown.T, color="0.7", linewidth=0.7, alpha=opacity)


def _class_colors(num_classes: int) -> np.ndarray:
    """(K, 4): the ten or twenty that matplotlib made for classes, and hues of the colour circle for more."""
    if num_classes <= 10:
        return matplotlib.colormaps["tab10"](np.arange(num_classes))
    if num_classes <= 20:
        return matplotlib.colormaps["tab20"](np.arange(num_classes))
    return matplotlib.colormaps["hsv"](np.arange(num_classes) / num_classes)
