"""Weights from elsewhere for the networks here: keras.applications, PyTorch state dicts, the TF Model Garden, runs.

Nothing is unpickled: state dicts are read from .safetensors or .npz files. PyTorch's kernels (out, in, H, W) become
Keras's (H, W, in, out).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from tfdlcv.models import weight_names
from tfdlcv.models.weight_assignment import (
    HEAD_LAYERS,
    ForeignLayer,
    WeightsError,
    assign,
    flat_layers,
    listed,
    named_variables,
    paired,
    weighted_layers,
)

Head = Literal["load", "leave_out"]
_BEST = "checkpoints/best.npz"  # Of a run's folder.
_RUN_MARK = "__meta__"  # A member of a run's checkpoints.


def load_pretrained(network: keras.Model, path: str | Path, *, head: Head = "load") -> list[str]:
    """Weights from a file: .safetensors or .npz (PyTorch names), .keras (keras.applications or this package), a
    Model Garden checkpoint, given by its prefix, its .index file, or its folder, or the folder of a run, whose best
    checkpoint is taken, or one of its checkpoints.

    Args:
        network: Of `tfdlcv.models`; its weights are overwritten.
        head: `leave_out` keeps the network's own last layer, for other classes.

    Returns:
        Names of the layers that were loaded.

    Raises:
        WeightsError: for a file that is missing, of another kind or damaged, and tensors that do not fit, by both
            names and shapes. The network is then left as it was.
    """
    path = Path(path).expanduser()
    if (path / _BEST).is_file():
        path = path / _BEST
    if path.suffix in (".safetensors", ".npz"):
        tensors = read_state_dict(path)
        if _RUN_MARK in tensors:
            return _load_run(network, tensors, head=head, source=str(path))
        return load_state_dict(network, tensors, head=head, source=str(path))
    if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".tar"):
        raise WeightsError(
            f"{path} is a pickle, which can run any code and is never read here: save the state dict with "
            "safetensors.torch.save_file"
        )
    if path.suffix == ".keras":
        _require(path)
        return load_keras(network, keras.models.load_model(path, compile=False, safe_mode=True), head=head)
    return load_model_garden(network, path, head=head)


def load_keras(network: keras.Model, peer: keras.Model, *, head: Head = "load") -> list[str]:
    """Weights of a model of keras.applications (VGG, ResNet, DenseNet, MobileNet) or of this package; see above.

    keras.applications' ResNet takes strides on the 1 x 1 (`stride_on="1x1"`), and its MobileNet pads as
    `padding="same"`. Its ResNetV2 takes them at the end of stages, which no network here does.
    """
    there = {
        layer.name: ForeignLayer(layer.name, {name: np.asarray(v) for name, v in named_variables(layer).items()})
        for layer in flat_layers(peer)
        if layer.weights
    }
    here = weighted_layers(network)
    source = f"the Keras model {peer.name}"
    names = {label: _translated(here, rules) for label, rules in weight_names.KERAS.items()}
    chosen = _best_names({"tfdlcv": {name: name for name in here}, **names}, there, head, source=source)
    return assign(network, paired(chosen, there, source), source)


def load_state_dict(
    network: keras.Model, tensors: Mapping[str, np.ndarray], *, head: Head = "load", source: str = "the state dict"
) -> list[str]:
    """Weights with the names and layouts of torchvision's and timm's models; see `load_pretrained`.

    AlexNet (`one_weird_trick`), VGG, GoogLeNet (`batch_norm`), ResNet, ResNeXt, wide ResNet and DenseNet of
    torchvision; the same, ResNetV2 (`full_preact`) and MobileNetV1 of timm. torchvision's VGG and AlexNet flatten
    (C, H, W), which is turned into (H, W, C).
    """
    there: dict[str, ForeignLayer] = {}
    for key, tensor in tensors.items():
        prefix, _, kind = key.rpartition(".")
        if kind != "num_batches_tracked":
            name, value = _torch_tensor(kind, np.asarray(tensor), is_norm=f"{prefix}.running_mean" in tensors)
            there.setdefault(prefix, ForeignLayer(prefix, {})).tensors[name] = value
    here = weighted_layers(network)
    candidates = {label: _translated(here, rules) for label, rules in weight_names.STATE_DICTS.items()}
    in_sequence = weight_names.sequences(list(here), list(there))
    if in_sequence:
        candidates["torchvision/timm AlexNet or VGG"] = in_sequence
    chosen = _best_names(candidates, there, head, source=source)
    pairs = paired(chosen, there, source)
    if "fc6" in pairs:
        pairs["fc6"] = _flattened_rows_last(network, pairs["fc6"])
    return assign(network, pairs, source)


def load_model_garden(network: keras.Model, checkpoint: str | Path, *, head: Head = "load") -> list[str]:
    """Weights of a ResNet checkpoint of the TF Model Garden (official.vision, `resnet`); see `load_pretrained`.

    Its bottlenecks take strides on the 3 x 3. The layers are found by their places in the object graph:
    `.../layer_with_weights-<i>/_conv1/kernel` and so on in units, stem first.
    """
    import tensorflow as tf

    path = Path(checkpoint).expanduser()
    prefix = tf.train.latest_checkpoint(str(path)) if path.is_dir() else str(path).removesuffix(".index")
    if prefix is None or not Path(f"{prefix}.index").is_file():
        raise WeightsError(f"{checkpoint} is neither a weights file (.safetensors, .npz, .keras) nor a checkpoint")
    try:
        reader = tf.train.load_checkpoint(prefix)
    except tf.errors.OpError as error:
        raise WeightsError(f"{prefix} cannot be read as a checkpoint: {error.message}") from None
    there = _model_garden_layers(reader)
    here = weighted_layers(network)
    units = [name for name in here if re.fullmatch(r"stage\d_unit\d+_conv1", name)]
    names = {"stem_conv": "stem/conv", "stem_norm": "stem/norm", "logits": "head"}
    for place, unit in enumerate(unit.removesuffix("_conv1") for unit in units):
        names |= {f"{unit}_{kind}{i}": f"unit{place}/_{kind}{i}" for kind in ("conv", "norm") for i in (1, 2, 3)}
        names |= {f"{unit}_shortcut_conv": f"unit{place}/_shortcut", f"{unit}_shortcut_norm": f"unit{place}/_norm0"}
    names = {layer: names.get(layer) for layer in here}
    chosen = _best_names({"Model Garden ResNet": names}, there, head, source=prefix)
    return assign(network, paired(chosen, there, prefix), prefix)


def _load_run(network: keras.Model, tensors: Mapping[str, np.ndarray], *, head: Head, source: str) -> list[str]:
    """Weights of a run's network, of which `network/<place>.<layer>.<variable>` are the names; their averages, where
    the run kept such, stand in the same order."""
    here = weighted_layers(network)
    there = _layers_of_run(tensors, network)
    names = {"a run of tfdlcv": {name: name for name in here}}
    return assign(network, paired(_best_names(names, there, head, source=source), there, source), source)


def _layers_of_run(tensors: Mapping[str, np.ndarray], network: keras.Model) -> dict[str, ForeignLayer]:
    here = weighted_layers(network)
    there: dict[str, ForeignLayer] = {}
    own = [key for key in tensors if key.startswith("network/") and tensors[key].dtype.kind == "f"]
    averages = [tensors[key] for key in tensors if key.startswith("average/")] or [tensors[key] for key in own]
    places = _places_in_order(own, averages, network)
    for key, tensor in zip(own, averages, strict=True):
        if key in places:
            layer, variable = places[key]
        else:
            _, *parts = key.split(".")
            # Of a layer with layers inside, the outer one's name comes first.
            place = next((place for place, part in enumerate(parts) if part in here), len(parts) - 2)
            layer, variable = parts[place], ".".join(parts[place + 1 :])
        there.setdefault(layer, ForeignLayer(layer, {})).tensors[variable] = tensor
    return there


def _places_in_order(keys, tensors, network: keras.Model) -> dict[str, tuple[str, str]]:
    """Key -> layer and variable, where the run's network has the variables of this one in this order; else none.

    Checkpoints shorten names: those of some layers tell them apart by their order alone.
    """
    variables = [v for v in network.variables if v.dtype.startswith(("float", "bfloat"))]
    there = [(key.partition(".")[2], tensor.shape) for key, tensor in zip(keys, tensors, strict=True)]
    if there != [(weight_names.name_in_checkpoints(v), tuple(v.shape)) for v in variables]:
        return {}
    places = {
        id(variable): (name, label)
        for name, layer in weighted_layers(network).items()
        for label, variable in named_variables(layer).items()
    }
    return {key: places[id(variable)] for key, variable in zip(keys, variables, strict=True)}


def load_shared(network: keras.Model, run: str | Path) -> list[str]:
    """Weights of those layers of a run's network that this one has, too, by name and shapes; the others stay.

    Args:
        network: Of `tfdlcv.models`.
        run: The folder of a run, whose best checkpoint is taken, or one of its checkpoints.

    Returns:
        Names of the layers that were loaded.

    Raises:
        WeightsError: for a file that is missing, of another kind or damaged, and where no layer is the same.
    """
    path = Path(run).expanduser()
    path = path / _BEST if path.is_dir() else path
    tensors = read_state_dict(path)
    if _RUN_MARK not in tensors:
        raise WeightsError(f"{path} is no checkpoint of a run")
    here = weighted_layers(network)
    there = _layers_of_run(tensors, network)
    shared = {}
    for name, layer in here.items():
        own = {variable: tuple(value.shape) for variable, value in named_variables(layer).items()}
        if name in there and own == {key: tensor.shape for key, tensor in there[name].tensors.items()}:
            shared[name] = there[name]
    if not shared:
        raise WeightsError(f"{path} has no layer that {network.name} has, too. It has: {listed([*there])}")
    return assign(network, shared, str(path))


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Tensors of a .safetensors or .npz file by name; objects in an .npz file are refused.

    Raises:
        WeightsError: if there is no such file or it cannot be read.
    """
    path = Path(path)
    _require(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # Each of the two libraries has its own kinds.
        raise WeightsError(f"{path} cannot be read: {error}") from error


def _require(path: Path):
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")


def _translated(layers, rules: weight_names.Rules) -> dict[str, str | None]:
    return {name: weight_names.translate(name, rules) for name in layers}


def _torch_tensor(kind: str, tensor: np.ndarray, *, is_norm: bool) -> tuple[str, np.ndarray]:
    """-> (Keras's name, tensor in Keras's layout)."""
    if is_norm:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        return names.get(kind, kind), tensor
    if kind == "weight":
        axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim)
        return "kernel", tensor.transpose(axes) if axes else tensor
    return kind, tensor


def _best_names(candidates, there, head: Head, *, source: str) -> dict[str, str | None]:
    """The names that most layers are found by."""

    def found(names):
        return sum(name in there for name in names.values())

    label = max(candidates, key=lambda label: found(candidates[label]))
    names = candidates[label]
    if not found(names):
        known = ", ".join(candidates)
        raise WeightsError(
            f"no layer of {source} is named as in one of the known layouts ({known}). It has: {listed([*there])}"
        )
    return {layer: name for layer, name in names.items() if head == "load" or layer not in HEAD_LAYERS}


def _flattened_rows_last(network: keras.Model, foreign: ForeignLayer) -> ForeignLayer:
    """A dense kernel for (C, H, W) maps as one for (H, W, C)."""
    kernel = foreign.tensors["kernel"]
    flatten = next((layer for layer in flat_layers(network) if layer.name == "flatten"), None)
    # Without one, fc6 is a convolution over as many rows and columns.
    maps = network.get_layer("fc6").kernel.shape[:3] if flatten is None else flatten.input.shape[1:]
    if kernel.ndim != 2 or kernel.shape[0] != np.prod(maps):
        return foreign  # timm's is a convolution; another size is reported with its shape.
    height, width, channels = maps
    kernel = kernel.reshape((channels, height, width, -1)).transpose((1, 2, 0, 3)).reshape((kernel.shape[0], -1))
    return ForeignLayer(foreign.name, {**foreign.tensors, "kernel": kernel})


def _model_garden_layers(reader) -> dict[str, ForeignLayer]:
    """Layers of a checkpoint as `stem/conv`, `unit<u>/_conv1` … and `head`."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    keys = [key for key in reader.get_variable_to_shape_map() if key.endswith(suffix) and "OPTIMIZER_SLOT" not in key]
    unit_keys = [re.fullmatch(rf"(.*?)layer_with_weights-(\d+)/(_\w+\d?)/(\w+){suffix}", key) for key in keys]
    units = [found for found in unit_keys if found and re.fullmatch(r"_conv\d|_norm\d|_shortcut", found[3])]
    if not units:
        raise WeightsError(
            "the checkpoint holds no unit of the Model Garden's ResNet (layer_with_weights-2/_conv1/kernel)"
        )
    backbone = units[0][1]
    places = sorted({int(found[2]) for found in units if found[1] == backbone})
    layers: dict[str, ForeignLayer] = {}

    def add(layer, kind, key):
        layers.setdefault(layer, ForeignLayer(key.removesuffix(f"/{kind}{suffix}"), {})).tensors[kind] = (
            reader.get_tensor(key)
        )

    for found in units:
        if found[1] == backbone:
            add(f"unit{places.index(int(found[2]))}/{found[3]}", found[4], found[0])
    for key in keys:
        plain = re.fullmatch(rf"(.*?)layer_with_weights-(\d+)/(kernel|bias|gamma|beta|moving_\w+){suffix}", key)
        if plain and plain[1] == backbone and int(plain[2]) < places[0]:
            add("stem/conv" if plain[3] == "kernel" else "stem/norm", plain[3], key)
        elif plain and plain[1] != backbone and plain[3] in ("kernel", "bias"):
            add("head", plain[3], key)
    return layers
