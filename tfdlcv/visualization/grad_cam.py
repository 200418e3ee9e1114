"""Where in an image the evidence for a class lies, read off the maps of a late layer.

Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017.

Shape legend: N images, H x W pixels, h x w positions and K maps of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdlcv.visualization import network_graph
from tfdlcv.visualization.gradients import layer_gradients
from tfdlcv.visualization.relu_rule import Rule, relu_rule


def grad_cam(
    network: keras.Model,
    images: np.ndarray,
    class_ids: Sequence[int] | None = None,
    *,
    layer: str | None = None,
    rule: Rule = "plain",
) -> np.ndarray:
    """max(0, sum over maps of a_k * map_k), where a_k is the mean over positions of d score / d map_k.

    For a network that ends in global average pooling and a linear layer, it is the class activation map (Zhou et al.
    2016) divided by the number of positions.

    Args:
        network: From images to scores (N, K): logits, not probabilities.
        images: (N, H, W, C), in the range that the network takes.
        class_ids: (N,), the class for each image. Default: the predicted one.
        layer: Name of a layer that gives maps. Default: `network_graph.map_layer`'s.
        rule: How gradients pass ReLUs behind the layer. The paper: `plain`.

    Returns:
        (N, h, w) float32, at the layer's positions; see `enlarged`.

    Raises:
        UserError: if there is no such layer, or it gives no maps.
    """
    copy = relu_rule(network, rule)
    name = network_graph.map_layer(copy, layer).name
    maps, gradients = layer_gradients(copy, images, name, class_ids)  # (N, h, w, K) each
    weights = gradients.mean(axis=(1, 2))  # (N, K)
    return np.maximum(np.einsum("nhwk,nk->nhw", maps, weights), 0.0)


def enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) at the pixels of an image, (N, *size), bilinear."""
    resized = ops.image.resize(maps[..., None].astype("float32"), size, interpolation="bilinear")
    return ops.convert_to_numpy(resized)[..., 0]


def guided_grad_cam(maps: np.ndarray, guided: np.ndarray) -> np.ndarray:
    """Grad-CAM (N, h, w) times guided backpropagation (N, H, W, C): fine, and of this class alone; (N, H, W, C)."""
    return enlarged(maps, guided.shape[1:3])[..., None] * guided
