"""Residual networks.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 ("the paper").

Shape legend: N images, H rows, W columns, C channels.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import keras
from keras import ops

from tfdlcv.layers import BatchNormalization
from tfdlcv.models import arguments

Shortcut = Literal["projection", "identity"]


def resnet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int = 10,
    depth: int = 20,
    shortcut: Shortcut = "projection",
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for small images, section 4.2: 6n + 2 layers in three stages of 16, 32 and 64 filters.

    Trainable parameters at depth 20 for 32 x 32 x 3 and 10 classes: 272,474 with projection shortcuts, 269,722 with
    identity ones. Convolutions have no bias, since batch normalisation follows each.

    Args:
        input_shape: (height, width, channels), height and width at least 4 or None for any.
        num_classes: Number of logits, at least 2.
        depth: 6n + 2 with n >= 1, the number of layers with weights; the paper has 20, 32, 44, 56 and 110.
        shortcut: What skips a unit that halves the image and doubles the filters: `identity` is every second pixel,
            with zeros for the new channels (the paper's option A, which it uses for these networks), `projection` a
            1 x 1 convolution with batch normalisation (option B).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `resnet<depth>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `stem_…`, `stage<s>_unit<u>_…`, `pool` and `logits`.

    Raises:
        ValueError: depth is not 6n + 2, num_classes < 2, the image is smaller than 4 x 4, or an unknown shortcut.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 6n + 2 with n >= 1: 8, 14, 20, 26, 32, ... Received: depth={depth}")
    if shortcut not in ("projection", "identity"):
        raise ValueError(f"shortcut must be 'projection' or 'identity'. Received: shortcut={shortcut!r}")
    normalization = functools.partial(
        BatchNormalization,
        momentum=batch_norm_momentum,
        epsilon=batch_norm_epsilon,
        synchronized=synchronized_batch_norm,
    )
    unit = functools.partial(_basic_unit, shortcut=shortcut, normalization=normalization)
    image = keras.Input(input_shape, name="image")
    x = _convolution(image, 16, 3, name="stem_conv")
    x = normalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = _stages(x, unit, units=((depth - 2) // 6,) * 3, filters=(16, 32, 64))
    return keras.Model(image, _classify(x, num_classes), name=name or f"resnet{depth}")


def _stages(x, unit: Callable, *, units: Sequence[int], filters: Sequence[int]):
    """Stages of `units` units each; the first unit of every stage but the first halves height and width."""
    for stage, (stage_units, stage_filters) in enumerate(zip(units, filters, strict=True), start=1):
        for index in range(1, stage_units + 1):
            strides = 2 if stage > 1 and index == 1 else 1
            x = unit(x, filters=stage_filters, strides=strides, name=f"stage{stage}_unit{index}")
    return x


def _basic_unit(x, *, filters: int, strides: int, shortcut: Shortcut, normalization: Callable, name: str):
    """Two 3 x 3 convolutions with a shortcut around them: relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))."""
    residual = _convolution(x, filters, 3, strides=strides, name=f"{name}_conv1")
    residual = normalization(name=f"{name}_norm1")(residual)
    residual = keras.layers.ReLU(name=f"{name}_relu1")(residual)
    residual = _convolution(residual, filters, 3, name=f"{name}_conv2")
    residual = normalization(name=f"{name}_norm2")(residual)
    if strides != 1 or x.shape[-1] != filters:
        x = _shortcut(x, filters=filters, strides=strides, shortcut=shortcut, normalization=normalization, name=name)
    x = keras.layers.Add(name=f"{name}_add")([x, residual])
    return keras.layers.ReLU(name=f"{name}_relu2")(x)


def _shortcut(x, *, filters: int, strides: int, shortcut: Shortcut, normalization: Callable, name: str):
    """A shortcut that changes the shape: (N, H, W, C) -> (N, ceil(H / strides), ceil(W / strides), filters)."""
    if shortcut == "projection":
        x = _convolution(x, filters, 1, strides=strides, name=f"{name}_shortcut_conv")
        return normalization(name=f"{name}_shortcut_norm")(x)
    # A pool of one pixel takes every strides-th one.
    x = keras.layers.AveragePooling2D(1, strides, name=f"{name}_shortcut_pool")(x)
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])))


def _convolution(x, filters: int, kernel_size: int, *, strides: int = 1, name: str):
    """Convolution without bias, padded evenly on all sides as the paper's implementation does.

    Keras's `same` pads strided convolutions on the right and below only, so that weights from elsewhere would see
    images that are shifted by a pixel.
    """
    padding = "same" if strides == 1 else "valid"
    if strides > 1 and kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _classify(x, num_classes: int):
    """(N, H, W, C) features -> (N, num_classes) logits; in float32 under every policy, as the loss needs it."""
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
