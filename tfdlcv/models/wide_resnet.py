"""Wide residual networks: fewer units with more filters.

Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016 ("the paper").
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks, residual_units

_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def wide_resnet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    depth: Literal[50, 101] = 50,
    width: int = 2,
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """ResNet for ImageNet whose bottlenecks have `width` times the inner filters: WRN-50-2 with 68,883,240 parameters.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights.
        width: Factor of the inner filters, at least 1.
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `wide_resnet<depth>_<width>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32; layers are named as
        `resnet`'s.

    Raises:
        ValueError: num_classes < 2, an image that is too small, another depth, or width < 1.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_choice("depth", depth, tuple(_UNITS))
    if width < 1:
        raise ValueError(f"width must be at least 1. Received: width={width}")
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        )
    )
    return residual_units.imagenet_network(
        input_shape,
        num_classes,
        style,
        lambda filters, strides: residual_units.bottleneck(filters, strides, inner_filters=width * filters),
        units=_UNITS[depth],
        stochastic_depth=stochastic_depth,
        name=name or f"wide_resnet{depth}_{width}",
    )


def wide_resnet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int = 10,
    depth: int = 28,
    width: int = 10,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's WRN-d-k for small images: three stages of basic units with full pre-activation.

    Trainable parameters for 3 channels and 10 classes: 36,479,194 for WRN-28-10, 8,949,210 for WRN-40-4.

    Args:
        input_shape: (height, width, channels), height and width at least 4 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights, 6n + 4, projections among them.
        width: The paper's k: the stages have 16k, 32k and 64k filters. At least 1.
        dropout: Share of values that training drops between a unit's convolutions, in [0, 1). Paper: 0.3.
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `wide_resnet<depth>_<width>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32; layers are named as
        `resnet`'s.

    Raises:
        ValueError: num_classes < 2, an image that is too small, a depth that is not 6n + 4, or width < 1.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"depth must be 6n + 4 with n >= 1: 10, 16, 22, 28, ... Received: depth={depth}")
    if width < 1:
        raise ValueError(f"width must be at least 1. Received: width={width}")
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        ),
        order="full_preact",
        dropout=dropout,
    )
    return residual_units.cifar_network(
        input_shape,
        num_classes,
        style,
        residual_units.basic,
        units=((depth - 4) // 6,) * 3,
        filters=(16 * width, 32 * width, 64 * width),
        stochastic_depth=stochastic_depth,
        name=name or f"wide_resnet{depth}_{width}",
    )
