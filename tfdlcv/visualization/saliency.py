"""Which pixels a class score depends on: saliency maps, guided backpropagation and deconvnets for a class.

The three are one gradient, under three rules for ReLUs; see `relu_rule` for the papers.

Shape legend: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tfdlcv.visualization.gradients import input_gradients
from tfdlcv.visualization.relu_rule import relu_rule


def saliency(network: keras.Model, images: np.ndarray, class_ids: Sequence[int] | None = None) -> np.ndarray:
    """max over channels of |d score / d pixel|, (N, H, W) float32 (Simonyan et al. 2013, section 3).

    Args:
        network: From images to scores (N, K): logits, not probabilities, whose gradient vanishes as they near 1.
        images: (N, H, W, C), in the range that the network takes.
        class_ids: (N,), the class for each image. Default: the predicted one.
    """
    return np.abs(input_gradients(relu_rule(network, "plain"), images, class_ids)).max(axis=-1)


def guided_backpropagation(
    network: keras.Model, images: np.ndarray, class_ids: Sequence[int] | None = None
) -> np.ndarray:
    """(N, H, W, C) float32 of either sign: `input_gradients` under the rule `guided`; arguments as of `saliency`."""
    return input_gradients(relu_rule(network, "guided"), images, class_ids)


def deconvnet(network: keras.Model, images: np.ndarray, class_ids: Sequence[int] | None = None) -> np.ndarray:
    """(N, H, W, C) float32 of either sign: `input_gradients` under the rule `deconvnet`; arguments as of `saliency`.

    It starts from the score of a class. `strongest_responses` starts from a single feature, as the paper does.
    """
    return input_gradients(relu_rule(network, "deconvnet"), images, class_ids)
