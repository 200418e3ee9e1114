"""ResNeXt, residual networks whose bottlenecks are grouped convolutions.

Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017 ("the paper"),
in form (c) of figure 3.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks, residual_units

_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def resnext(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    depth: Literal[50, 101] = 50,
    cardinality: int = 32,
    group_width: int = 4,
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for ImageNet: 25,028,904 trainable parameters at depth 50 with 32 groups of width 4.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights.
        cardinality: Groups of each 3 x 3 convolution.
        group_width: Filters of a group in the first stage; each later stage doubles it.
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `resnext<depth>_<cardinality>x<group_width>d`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32; layers are named as
        `resnet`'s.

    Raises:
        ValueError: num_classes < 2, an image that is too small, another depth, or no group.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_choice("depth", depth, tuple(_UNITS))
    _check_groups(cardinality, group_width)
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        )
    )
    return residual_units.imagenet_network(
        input_shape,
        num_classes,
        style,
        functools.partial(_grouped_bottleneck, cardinality=cardinality, group_width=group_width),
        units=_UNITS[depth],
        stochastic_depth=stochastic_depth,
        name=name or f"resnext{depth}_{cardinality}x{group_width}d",
    )


def resnext_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int = 10,
    depth: int = 29,
    cardinality: int = 8,
    group_width: int = 64,
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for small images: 34,426,698 trainable parameters for 8 groups of width 64, 10 classes.

    Args:
        input_shape: (height, width, channels), height and width at least 4 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights, 9n + 2.
        cardinality: Groups of each 3 x 3 convolution.
        group_width: Filters of a group in the first stage; each later stage doubles it.
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `resnext<depth>_<cardinality>x<group_width>d`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32; layers are named as
        `resnet`'s.

    Raises:
        ValueError: num_classes < 2, an image that is too small, a depth that is not 9n + 2, or no group.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    if depth < 11 or depth % 9 != 2:
        raise ValueError(f"depth must be 9n + 2 with n >= 1: 11, 20, 29, 38, ... Received: depth={depth}")
    _check_groups(cardinality, group_width)
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        )
    )
    return residual_units.cifar_network(
        input_shape,
        num_classes,
        style,
        functools.partial(_grouped_bottleneck, cardinality=cardinality, group_width=group_width),
        units=((depth - 2) // 9,) * 3,
        filters=(64, 128, 256),
        stem_filters=64,
        stochastic_depth=stochastic_depth,
        name=name or f"resnext{depth}_{cardinality}x{group_width}d",
    )


def _grouped_bottleneck(filters: int, strides: int, *, cardinality: int, group_width: int):
    # The first stage, of 64 filters, has groups of `group_width`; the output is 4 * filters at any width.
    inner_filters = filters * group_width // 64 * cardinality
    return residual_units.bottleneck(filters, strides, inner_filters=inner_filters, groups=cardinality)


def _check_groups(cardinality: int, group_width: int):
    if cardinality < 1 or group_width < 1:
        raise ValueError(f"cardinality ({cardinality}) and group_width ({group_width}) must be at least 1")
