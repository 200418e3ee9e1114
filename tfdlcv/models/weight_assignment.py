"""Tensors that came from elsewhere, onto the layers of a network: which goes where, whether it fits, in which shape.

A bias in front of batch normalisation, as keras.applications' ResNet has it, is subtracted from the moving mean, which
is the same function.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from tfdlcv.errors import UserError

HEAD_LAYERS = ("logits", "auxiliary_4a", "auxiliary_4d")
_OF_A_HEAD = re.compile(r"aux|head|fc\d?$|classifier|predictions|conv_preds|pre_logits|logits")  # Elsewhere.
_NAMED = 8  # So many layers stand in a message.


@dataclass(frozen=True)
class ForeignLayer:
    """Tensors of one layer elsewhere, named and laid out as Keras does: kernel, bias, gamma, beta, moving_…."""

    name: str
    tensors: Mapping[str, np.ndarray]


class WeightsError(UserError):
    """Weights that do not fit a network, with every tensor that does not."""


def paired(names, there, source: str) -> dict[str, ForeignLayer]:
    """Layers here with those there; an error for every one that has no partner."""
    missing = [f"{layer} ({name or 'of no known name'})" for layer, name in names.items() if name not in there]
    used = set(names.values())
    # Without a head that stays out, and auxiliary heads that this network does not have.
    spare = [name for name in there if name not in used and not _OF_A_HEAD.match(name)]
    if missing or spare:
        faults = []
        if missing:
            faults.append(f"layers that {source} lacks: {listed(missing)}")
        if spare:
            faults.append(f"layers of {source} that the network lacks: {listed(spare)}")
        raise WeightsError("; ".join(faults))
    return {layer: there[name] for layer, name in names.items()}


def assign(network: keras.Model, pairs: Mapping[str, ForeignLayer], source: str) -> list[str]:
    """Sets all weights of the pairs, or none and raises an error with every tensor that does not fit."""
    here = weighted_layers(network)
    biases_of_norms = _biases_before_norms(network, pairs)
    values, faults = [], []
    for name, foreign in pairs.items():
        tensors = dict(foreign.tensors)
        if name in biases_of_norms and "moving_mean" in tensors:
            tensors["moving_mean"] = tensors["moving_mean"] - biases_of_norms[name]
        own = named_variables(here[name])
        extra = [t for t in tensors if t not in own and not (t == "bias" and name in _convolutions_before(network))]
        faults += [f"{t} {tensors[t].shape} of {foreign.name} has no place in {name}" for t in extra]
        for label, variable in own.items():
            tensor = tensors.get(label)
            if tensor is None:
                faults.append(f"{label} {tuple(variable.shape)} of {name} is missing in {foreign.name}")
                continue
            tensor = _reshaped(tensor, variable)
            if tensor.shape != tuple(variable.shape):
                faults.append(
                    f"{label} {tuple(variable.shape)} of {name} and {label} {tensor.shape} of "
                    f"{foreign.name} differ in shape{_hint(name, tuple(variable.shape), tensor.shape)}"
                )
            values.append((variable, tensor))
    if faults:
        raise WeightsError("\n".join([f"{source} does not fit the network {network.name}:", *faults]))
    for variable, tensor in values:
        variable.assign(tensor.astype(variable.dtype))
    return list(pairs)


def _hint(layer: str, here: tuple[int, ...], there: tuple[int, ...]) -> str:
    """What the user may do about two shapes that differ."""
    if layer in HEAD_LAYERS:
        return (
            f": the network has {here[-1]} classes, the weights {there[-1]}; model.pretrained_head: leave_out would "
            "train a new one"
        )
    if len(here) == len(there) == 4 and here[3] == there[3] and {here[2], there[2]} == {1, 3}:
        return f": the weights are for images of {there[2]} channel{'s' * (there[2] > 1)}, see data.channels"
    return ""


def _convolutions_before(network: keras.Model) -> dict[str, str]:
    """Convolutions without bias -> the normalisation that follows each."""
    pairs = {}
    for layer in flat_layers(network):
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)) or layer.use_bias:
            continue
        followers = [node.operation for node in layer._outbound_nodes]
        norms = [f.name for f in followers if isinstance(f, keras.layers.BatchNormalization)]
        if norms:
            pairs[layer.name] = norms[0]
    return pairs


def _biases_before_norms(network: keras.Model, pairs: Mapping[str, ForeignLayer]) -> dict[str, np.ndarray]:
    """Normalisation -> the bias that the weights have in front of it and the network has not."""
    return {
        norm: pairs[convolution].tensors["bias"]
        for convolution, norm in _convolutions_before(network).items()
        if convolution in pairs and "bias" in pairs[convolution].tensors
    }


def _reshaped(tensor: np.ndarray, variable) -> np.ndarray:
    """A dense kernel may come as a 1 x 1 convolution, or as timm's over the last maps, or be one here; a depthwise one
    may come transposed."""
    shape = tuple(variable.shape)
    if len(shape) == 4 and tensor.ndim == 2 and tensor.shape == (np.prod(shape[:3]), shape[3]):
        return tensor.reshape(shape)
    if len(shape) == 2 and tensor.ndim == 4 and (np.prod(tensor.shape[:3]), tensor.shape[3]) == shape:
        return tensor.reshape(shape)
    if len(shape) == 4 and tensor.ndim == 4 and shape[3] == 1 and tensor.shape == (*shape[:2], 1, shape[2]):
        return tensor.transpose((0, 1, 3, 2))
    return tensor


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers in order, with those of nested models in place of these."""
    return [
        inner for layer in model.layers for inner in (flat_layers(layer) if isinstance(layer, keras.Model) else [layer])
    ]


def weighted_layers(network: keras.Model) -> dict[str, keras.layers.Layer]:
    """Layers that have weights, by name, those of nested models too."""
    return {layer.name: layer for layer in flat_layers(network) if layer.weights}


def named_variables(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """By their names; those of layers inside of it with these in front: `point_conv.kernel`."""
    found = {}
    for variable in layer.weights:
        parts = variable.path.split("/")
        inside = parts[parts.index(layer.name) + 1 :] if layer.name in parts else [variable.name]
        found[".".join(inside)] = variable
    return found


def listed(names: list[str]) -> str:
    """The first names as text, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
