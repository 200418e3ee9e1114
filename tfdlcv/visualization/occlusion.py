"""How much a class score falls where a patch hides the image.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.

Shape legend: N images, H rows, W columns, C channels, P places of the patch.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tfdlcv.visualization import network_graph
from tfdlcv.visualization.gradients import checked_classes

_BATCH = 64  # Places at a time.


def occlusion(
    network: keras.Model,
    images: np.ndarray,
    class_ids: Sequence[int] | None = None,
    *,
    patch: int,
    stride: int,
    fill: float | None = None,
) -> np.ndarray:
    """Mean fall of the class's score over the places of the patch that hide a pixel: (N, H, W) float32.

    Positive where the image speaks for the class, negative where it speaks against it. Each image costs
    ceil((H - patch) / stride + 1) * ceil((W - patch) / stride + 1) passes.

    Args:
        network: From images to scores (N, K): logits, not probabilities; computed in float32.
        images: (N, H, W, C), in the range that the network takes.
        class_ids: (N,), the class for each image. Default: the predicted one.
        patch: Side of the square patch in pixels.
        stride: Pixels from one place to the next, at most `patch`; the last one touches the border.
        fill: Value of its pixels. Default: the image's mean of each channel.

    Raises:
        ValueError: if the patch is larger than the image, or the stride than the patch.
    """
    class_ids = checked_classes(network, images, class_ids)
    network = network_graph.flat_copy(network)
    images = np.asarray(images, "float32")
    height, width = images.shape[1:3]
    if not 1 <= patch <= min(height, width):
        raise ValueError(f"patch ({patch}) must be in [1, {min(height, width)}], within images of {height} x {width}")
    if not 1 <= stride <= patch:
        raise ValueError(f"stride ({stride}) must be in [1, {patch}], so that the patch ({patch}) hides every pixel")
    places = [(y, x) for y in _starts(height, patch, stride) for x in _starts(width, patch, stride)]
    hidden = np.zeros((height, width), "float32")  # How many places hide the pixel.
    for y, x in places:
        hidden[y : y + patch, x : x + patch] += 1
    results = []
    for image, class_id in zip(images, class_ids, strict=True):
        color = image.mean(axis=(0, 1)) if fill is None else fill
        falls = _score(network, image[None], class_id) - _scores_of_places(
            network, image, class_id, places, patch, color
        )
        total = np.zeros((height, width), "float32")
        for (y, x), fall in zip(places, falls, strict=True):
            total[y : y + patch, x : x + patch] += fall
        results.append(total / hidden)
    return np.stack(results)


def _starts(size: int, patch: int, stride: int) -> list[int]:
    """First rows of the patch's places; the last touches the border."""
    return sorted({*range(0, size - patch + 1, stride), size - patch})


def _score(network: keras.Model, images: np.ndarray, class_id: int) -> np.ndarray:
    return network_graph.outputs(network, images)[:, class_id]


def _scores_of_places(network, image: np.ndarray, class_id: int, places, patch: int, color) -> np.ndarray:
    """The class's score (P,) with the patch at each place."""
    scores = []
    for start in range(0, len(places), _BATCH):
        batch = np.repeat(image[None], len(places[start : start + _BATCH]), axis=0)
        for occluded, (y, x) in zip(batch, places[start : start + _BATCH], strict=True):
            occluded[y : y + patch, x : x + patch] = color
        scores.append(_score(network, batch, class_id))
    return np.concatenate(scores)
