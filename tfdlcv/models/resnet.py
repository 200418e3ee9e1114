"""Residual networks.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 ("the paper"), and "Identity Mappings in
Deep Residual Networks", ECCV 2016, for the orders with pre-activation.

Shape legend: N images, H rows, W columns, C channels.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks, residual_units
from tfdlcv.models.residual_units import BlockOrder, Shortcut, StrideOn

# Units of the four stages. Table 1 of the paper, but for depth 10.
_UNITS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_BASIC_DEPTHS = (10, 18, 34)


def resnet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    depth: Literal[10, 18, 34, 50, 101, 152] = 50,
    block_order: BlockOrder = "original",
    stride_on: StrideOn = "3x3",
    width: float = 1.0,
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for ImageNet, table 1, with projections where the shape changes (option B).

    Trainable parameters for 3 channels and 1,000 classes: 11,689,512 at depth 18, 21,797,672 at 34, 25,557,032 at 50,
    44,549,160 at 101, 60,192,808 at 152. Depth 10, with one basic unit a stage, is not in the table: 5,418,792.
    Convolutions have no bias, since batch normalisation follows or precedes each.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights; from 50 on units are bottlenecks.
        block_order: Of the layers in a unit; see `tfdlcv.models.residual_units`.
        stride_on: The convolution of a bottleneck that takes the stride: the paper has it on the first 1 x 1,
            torchvision's and most later weights on the 3 x 3. Same count, different weights.
        width: Factor of every layer's filters, above 0; the paper has one width.
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1); earlier ones
            are proportional to their place.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `resnet<depth>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `stem_…`, `stage<s>_unit<u>_…`, `pool` and `logits`.

    Raises:
        ValueError: num_classes < 2, the image is smaller than 32 x 32, another depth, an unknown choice, a stride on
            1 x 1 convolutions that the units of depths 10, 18 and 34 do not have, or a width that leaves no filter.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_choice("depth", depth, tuple(_UNITS))
    arguments.check_choice("stride_on", stride_on, ("1x1", "3x3"))
    if depth in _BASIC_DEPTHS and stride_on == "1x1":
        raise ValueError(f"stride_on '1x1' needs the bottlenecks of depth 50, 101 or 152. Received: depth={depth}")
    unit = (
        residual_units.basic
        if depth in _BASIC_DEPTHS
        else functools.partial(residual_units.bottleneck, stride_on=stride_on)
    )
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        ),
        order=block_order,
    )
    return residual_units.imagenet_network(
        input_shape,
        num_classes,
        style,
        unit,
        units=_UNITS[depth],
        stochastic_depth=stochastic_depth,
        width=width,
        name=name or f"resnet{depth}",
    )


def resnet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int = 10,
    depth: int = 20,
    unit: Literal["basic", "bottleneck"] = "basic",
    block_order: BlockOrder = "original",
    shortcut: Shortcut = "projection",
    stochastic_depth: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for small images, section 4.2: three stages of 16, 32 and 64 filters.

    Trainable parameters at depth 20 for 32 x 32 x 3 and 10 classes: 272,474 with projection shortcuts, 269,722 with
    identity ones. Convolutions have no bias, since batch normalisation follows or precedes each.

    Args:
        input_shape: (height, width, channels), height and width at least 4 or None for any.
        num_classes: Number of logits, at least 2.
        depth: The number of layers with weights: 6n + 2 with n >= 1 for basic units (the paper has 20, 32, 44, 56 and
            110), 9n + 2 for bottlenecks (the 2016b paper has 164 and 1,001).
        unit: `basic` has two 3 x 3 convolutions; `bottleneck` has 1 x 1, 3 x 3 and 1 x 1, and four times the channels
            at its end.
        block_order: Of the layers in a unit; see `tfdlcv.models.residual_units`.
        shortcut: What skips a unit that changes the shape: `identity` is every second pixel, with zeros for the new
            channels (the paper's option A, which it uses for these networks), `projection` a 1 x 1 convolution with
            batch normalisation (option B).
        stochastic_depth: Probability with which training drops the branch of the last unit, in [0, 1); earlier ones
            are proportional to their place.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `resnet<depth>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `stem_…`, `stage<s>_unit<u>_…`, `pool` and `logits`.

    Raises:
        ValueError: depth does not fit the units, num_classes < 2, an image smaller than 4 x 4, or an unknown choice.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    arguments.check_choice("unit", unit, ("basic", "bottleneck"))
    layers = 6 if unit == "basic" else 9
    if depth < layers + 2 or depth % layers != 2:
        first = ", ".join(str(layers * n + 2) for n in range(1, 6))
        raise ValueError(
            f"depth must be {layers}n + 2 with n >= 1 for {unit} units: {first}, ... Received: depth={depth}"
        )
    style = residual_units.UnitStyle(
        blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        ),
        order=block_order,
        shortcut=shortcut,
    )
    return residual_units.cifar_network(
        input_shape,
        num_classes,
        style,
        residual_units.basic if unit == "basic" else residual_units.bottleneck,
        units=(depth // layers,) * 3,
        filters=(16, 32, 64),
        stochastic_depth=stochastic_depth,
        name=name or f"resnet{depth}",
    )
