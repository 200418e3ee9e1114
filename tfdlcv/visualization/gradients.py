"""Gradients of class scores on any Keras backend: of images, and of what a layer in the middle gives.

Shape legend: N images, H rows, W columns, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from tfdlcv.visualization import network_graph

_BATCH = 16  # Images at a time: the activations of all layers are held for the way back.


def gradient(function: Callable, x):
    """Gradient of the sum of `function(x)` by the tensor `x`, of its shape; zeros where they are not connected."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(x)
                total = ops.sum(function(x))
            return tape.gradient(total, x, unconnected_gradients="zero")
        case "jax":
            import jax

            return jax.grad(lambda value: ops.sum(function(value)))(x)
        case "torch":
            import torch

            x = x.detach().requires_grad_()
            return torch.autograd.grad(ops.sum(function(x)), x, allow_unused=True, materialize_grads=True)[0]
        case backend:
            raise NotImplementedError(f"the backend {backend} has no gradients here; use tensorflow, jax or torch")


def predicted_classes(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """The class of the largest score (N,) int64."""
    return scores(network, images).argmax(axis=-1)


def scores(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """(N, K) float32, as inference computes them."""
    return np.concatenate([_numpy(network(batch, training=False)) for batch in _batches(images)])


def input_gradients(network: keras.Model, images: np.ndarray, class_ids: Sequence[int] | None = None) -> np.ndarray:
    """d score of the class / d image, (N, H, W, C) float32.

    Args:
        network: Of `relu_rule`, which decides how ReLUs send gradients back.
        images: (N, H, W, C), in the range that the network takes.
        class_ids: (N,), the class for each image. Default: the predicted one.
    """
    class_ids = checked_classes(network, images, class_ids)
    results, start = [], 0
    for batch in _batches(images):
        classes = class_ids[start : start + len(batch)]
        start += len(batch)
        results.append(_numpy(gradient(lambda x, c=classes: _chosen(network(x, training=False), c), batch)))
    return np.concatenate(results)


def layer_gradients(
    network: keras.Model, images: np.ndarray, layer: str, class_ids: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What the layer gives, and d score of the class / d of it: two arrays (N, ...) of its shape.

    Args:
        network: Of `relu_rule`, a flat one.
        images: (N, H, W, C), in the range that the network takes.
        layer: Its name, such as `network_graph.map_layer` gives.
        class_ids: (N,), the class for each image. Default: the predicted one.

    Raises:
        UserError: if there is no such layer; it lists those with near names.
    """
    class_ids = checked_classes(network, images, class_ids)
    if isinstance(network_graph.find_layer(network, layer), keras.layers.InputLayer):
        return np.asarray(images, "float32"), input_gradients(network, images, class_ids)
    watch = _Watch(dtype="float32")
    watched = _with_watch(network, layer, watch)
    activations, gradients, start = [], [], 0
    for batch in _batches(images):
        classes = class_ids[start : start + len(batch)]
        start += len(batch)
        watch.offset = None
        watched(batch, training=False)
        activations.append(_numpy(watch.seen))

        def score(offset, batch=batch, classes=classes):
            watch.offset = offset
            return _chosen(watched(batch, training=False), classes)

        gradients.append(_numpy(gradient(score, ops.zeros_like(watch.seen))))
    return np.concatenate(activations), np.concatenate(gradients)


def checked_classes(network: keras.Model, images: np.ndarray, class_ids: Sequence[int] | None) -> np.ndarray:
    """`class_ids` (N,) int64 once they are known to fit; the predicted ones in the place of None."""
    if np.ndim(images) != 4 or not len(images):
        raise ValueError(f"images must be (N, H, W, C) with N at least 1. Received: shape={np.shape(images)}")
    if class_ids is None:
        return predicted_classes(network, images)
    class_ids = np.asarray(class_ids)
    num_classes = network.output.shape[-1]
    if class_ids.shape != (len(images),) or class_ids.min() < 0 or class_ids.max() >= num_classes:
        raise ValueError(
            f"class_ids must be {len(images)} numbers, one for each image, in [0, {num_classes}). "
            f"Received: {class_ids.tolist()}"
        )
    return class_ids.astype(np.int64)


class _Watch(keras.layers.Layer):
    """Gives its inputs on, plus `offset` where one is set: the gradient by the offset is that by the inputs.

    That works wherever the layer stands, while a graph cannot be cut in two where a shortcut passes by.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.offset = None
        self.seen = None

    def call(self, inputs):
        self.seen = inputs
        return inputs if self.offset is None else inputs + self.offset

    def compute_output_shape(self, input_shape):
        return input_shape


def _with_watch(network: keras.Model, layer: str, watch: _Watch) -> keras.Model:
    """The same layers, with `watch` behind the one that is named."""

    def call(operation, *arguments, **options):
        outputs = operation(*arguments, **options)
        return watch(outputs) if operation.name == layer else outputs

    return keras.models.clone_model(network, clone_function=lambda operation: operation, call_function=call)


def _chosen(all_scores, class_ids: np.ndarray):
    """(N, K) -> (N,), each image's score of its class."""
    return ops.sum(all_scores * ops.one_hot(class_ids, all_scores.shape[-1], dtype=all_scores.dtype), axis=-1)


def _batches(images: np.ndarray):
    for start in range(0, len(images), _BATCH):
        yield ops.convert_to_tensor(np.asarray(images[start : start + _BATCH], "float32"))


def _numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)
