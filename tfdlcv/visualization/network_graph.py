"""A network's graph as its pictures need it: a copy in float32 without nested models, and layers found by name.

The copy has weights of its own, so that nothing that is changed in it reaches the network.

Shape legend: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import keras
import numpy as np

from tfdlcv.errors import UserError

_BATCH = 64  # Images at a time.
_NAMED = 8  # So many layers stand in a message.
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def flat_copy(network: keras.Model, change: Callable | None = None) -> keras.Model:
    """A copy of a functional or sequential `network` of one input, computed in float32, whose layers are all its own.

    Args:
        network: Any nesting of functional and sequential models; names of layers must differ between them.
        change: (operation of the copy) -> the operation in its place, before any of them is called.

    Raises:
        ValueError: for several inputs, or a model that is neither functional nor sequential.
    """
    copies = []

    def copied(operation):
        copy = operation
        if isinstance(operation, keras.layers.Layer):
            copy = type(operation).from_config(operation.get_config() | {"dtype": "float32"})
        copy = change(copy) if change is not None else copy
        copies.append((operation, copy))
        return copy

    flat = keras.models.clone_model(_opened(network), clone_function=copied)
    for operation, copy in copies:
        if isinstance(operation, keras.layers.Layer) and operation.weights:
            copy.set_weights(operation.get_weights())
    return flat


def find_layer(network: keras.Model, name: str) -> keras.layers.Layer:
    """The layer of that name in what `flat_copy` made.

    Raises:
        UserError: if there is none; it lists those with near names.
    """
    names = [layer.name for layer in network.layers]
    if name in names:
        return network.get_layer(name)
    near = difflib.get_close_matches(name, names, n=_NAMED, cutoff=0.5)
    listed = f"Near: {', '.join(near)}" if near else f"It has {_listed(names)}"
    raise UserError(f"{network.name} has no layer {name!r}. {listed}")


def map_layer(network: keras.Model, name: str | None = None) -> keras.layers.Layer:
    """The layer `name` of a flat network, which must give maps (N, H, W, C).

    Without a name: the last one of more than one position behind the first convolution that is no pool, where maps
    still say where and already say what.

    Raises:
        UserError: if there is no such layer, or its outputs are no maps.
    """
    if name is not None:
        layer = find_layer(network, name)
        if len(layer.output.shape) != 4:
            raise UserError(
                f"layer {name!r} of {network.name} gives {tuple(layer.output.shape)}, not maps (N, H, W, C)"
            )
        return layer
    layers = list(network.layers)
    first = next((i for i, layer in enumerate(layers) if layer.weights and _gives_maps(layer)), len(layers))
    found = [layer for layer in layers[first:] if _gives_maps(layer) and not isinstance(layer, _POOLS)]
    if not found:
        raise UserError(f"{network.name} has no layer of maps (N, H, W, C): it convolves nothing")
    return found[-1]


def has_switches(network: keras.Model) -> bool:
    """Whether a flat network has max pools, from which alone a deconvnet's picture learns of the image.

    All else on its way back is the same for every image (Springenberg et al. 2014), save for local response
    normalisation.
    """
    return any(isinstance(layer, keras.layers.MaxPooling2D) for layer in network.layers)


def last_features(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """(N, D) float32, what the last layer with weights of a flat network is given for images (N, H, W, C)."""
    last = [layer for layer in network.layers if layer.weights][-1]
    part = keras.Model(network.inputs, last.input)
    return outputs(part, images)


def outputs(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """What inference gives for images (N, ...) of any number, (N, ...) float32, compiled and in batches.

    `network.predict` would make a data set for them, whose end waits on a busy machine; see `tfdlcv.data.pipeline`.
    """
    images = np.asarray(images, "float32")
    starts = range(0, len(images), _BATCH)
    return np.concatenate([np.asarray(network.predict_on_batch(images[s : s + _BATCH])) for s in starts])


def _gives_maps(layer: keras.layers.Layer) -> bool:
    shape = layer.output.shape
    return len(shape) == 4 and shape[1:3] != (1, 1)


def _listed(names: list[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    half = _NAMED // 2
    return f"{len(names)} layers: {', '.join(names[:half])}, ..., {', '.join(names[-half:])}"


def _opened(network: keras.Model) -> keras.Model:
    """The same layers and operations in one graph, in which no model is nested."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ValueError(
            f"network must have one input and one output. Received: {len(network.inputs)} inputs, "
            f"{len(network.outputs)} outputs"
        )
    given = network.inputs[0]
    inputs = keras.Input(batch_shape=given.shape, dtype=given.dtype, name=given.name)
    opened = keras.Model(inputs, network.call(inputs), name=network.name)

    def call(operation, *arguments, **options):
        # `call`, unlike `__call__`, makes the model's operations a part of this graph.
        run = operation.call if isinstance(operation, keras.Model) else operation
        return run(*arguments, **options)

    while any(isinstance(operation, keras.Model) for operation in opened.operations):
        opened = keras.models.clone_model(opened, clone_function=lambda operation: operation, call_function=call)
    return opened
