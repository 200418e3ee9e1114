"""Residual units in the five orders of their layers, for every family of residual networks.

He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016 ("the paper"), figure 4:

- `original`: relu(x + norm(conv(relu(norm(conv(x))))))
- `bn_after_add`: relu(norm(x + conv(relu(norm(conv(x))))))
- `relu_before_add`: x + relu(norm(conv(relu(norm(conv(x))))))
- `relu_only_preact`: x + norm(conv(relu(norm(conv(relu(x))))))
- `full_preact`: x + conv(relu(norm(conv(relu(norm(x))))))

Shape legend: N images, H rows, W columns, C channels, F filters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import keras
from keras import ops

from tfdlcv.models import arguments, blocks

BlockOrder = Literal["original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact"]
BLOCK_ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact")
PREACTIVATED = ("relu_only_preact", "full_preact")
Shortcut = Literal["projection", "identity"]
StrideOn = Literal["1x1", "3x3"]


@dataclass(frozen=True)
class UnitConvolution:
    """One convolution of a unit's residual branch."""

    filters: int
    kernel_size: int
    strides: int = 1
    groups: int = 1


@dataclass(frozen=True)
class UnitStyle:
    """What all units of a network have in common.

    Attributes:
        normalization: Constructor of normalisation layers, which takes `name`.
        order: Of convolution, normalisation, ReLU and addition.
        shortcut: What skips a unit that changes the shape: `identity` is every second pixel, with zeros for the new
            channels (option A of He et al. 2016), `projection` a 1 x 1 convolution (option B), normalised like the
            branch: not at all in `full_preact` and `bn_after_add`, whose next normalisation sees the sum.
        dropout: Share of values that training drops in front of the last convolution.
    """

    normalization: Callable
    order: BlockOrder = "original"
    shortcut: Shortcut = "projection"
    dropout: float = 0.0

    def __post_init__(self):
        arguments.check_choice("block_order", self.order, BLOCK_ORDERS)
        arguments.check_choice("shortcut", self.shortcut, ("projection", "identity"))
        arguments.check_share("dropout", self.dropout)


def basic(filters: int, strides: int) -> list[UnitConvolution]:
    """Two 3 x 3 convolutions."""
    return [UnitConvolution(filters, 3, strides), UnitConvolution(filters, 3)]


def bottleneck(
    filters: int, strides: int, *, inner_filters: int | None = None, groups: int = 1, stride_on: StrideOn = "3x3"
) -> list[UnitConvolution]:
    """1 x 1, 3 x 3 and 1 x 1 convolutions, with 4 * filters channels at the end.

    Args:
        inner_filters: Channels between them. Default: `filters`.
        groups: Of the 3 x 3 convolution.
        stride_on: The convolution that takes the stride: the 2015 networks have it on the 1 x 1, most later weights on
            the 3 x 3, which looks at every pixel.
    """
    inner_filters = inner_filters or filters
    first, second = (strides, 1) if stride_on == "1x1" else (1, strides)
    return [
        UnitConvolution(inner_filters, 1, first),
        UnitConvolution(inner_filters, 3, second, groups),
        UnitConvolution(4 * filters, 1),
    ]


def stages(
    x,
    style: UnitStyle,
    unit: Callable[[int, int], list[UnitConvolution]],
    *,
    units: Sequence[int],
    filters: Sequence[int],
    stochastic_depth: float = 0.0,
):
    """Stages of `units` units each; the first unit of every stage but the first halves height and width.

    Args:
        unit: (filters, strides) -> convolutions of a unit's branch.
        stochastic_depth: Probability with which training drops the branch of the last unit. Earlier units' are
            proportional to their place, l / L * stochastic_depth (Huang et al. 2016, equation 4).
    """
    arguments.check_share("stochastic_depth", stochastic_depth)
    done = 0
    for stage, (stage_units, stage_filters) in enumerate(zip(units, filters, strict=True), start=1):
        for index in range(1, stage_units + 1):
            done += 1
            x = residual_unit(
                x,
                unit(stage_filters, 2 if stage > 1 and index == 1 else 1),
                style,
                drop_rate=stochastic_depth * done / sum(units),
                # The paper's appendix: the first activation stands before the split into branch and shortcut.
                activate_shortcut=done == 1,
                name=f"stage{stage}_unit{index}",
            )
    if style.order == "full_preact":
        x = style.normalization(name="final_norm")(x)
    if style.order in PREACTIVATED:
        x = keras.layers.ReLU(name="final_relu")(x)
    return x


def residual_unit(
    x,
    convolutions: Sequence[UnitConvolution],
    style: UnitStyle,
    *,
    drop_rate: float = 0.0,
    activate_shortcut: bool = False,
    name: str,
):
    """(N, H, W, C) -> (N, ceil(H / strides), ceil(W / strides), F): the sum of a shortcut and a branch.

    Args:
        drop_rate: Probability with which training drops the branch of an example.
        activate_shortcut: In the orders with pre-activation: the shortcut starts behind the first activation even
            where it keeps the shape. Shortcuts that change it always do.
    """
    order = style.order
    count = len(convolutions)
    changes_shape = any(c.strides != 1 for c in convolutions) or x.shape[-1] != convolutions[-1].filters
    shortcut, residual = x, x
    for index, layer in enumerate(convolutions, start=1):
        if order == "full_preact":
            residual = style.normalization(name=f"{name}_norm{index}")(residual)
        if order in PREACTIVATED:
            residual = keras.layers.ReLU(name=f"{name}_relu{index}")(residual)
            if index == 1 and (changes_shape or activate_shortcut):
                shortcut = residual
        if style.dropout and index == count:
            residual = keras.layers.Dropout(style.dropout, name=f"{name}_dropout")(residual)
        residual = blocks.convolution(
            residual,
            layer.filters,
            layer.kernel_size,
            strides=layer.strides,
            groups=layer.groups,
            name=f"{name}_conv{index}",
        )
        if order in ("original", "relu_before_add", "relu_only_preact") or (order == "bn_after_add" and index < count):
            residual = style.normalization(name=f"{name}_norm{index}")(residual)
        if order == "relu_before_add" or (order in ("original", "bn_after_add") and index < count):
            residual = keras.layers.ReLU(name=f"{name}_relu{index}")(residual)
    if changes_shape:
        strides = max(c.strides for c in convolutions)
        shortcut = _shortcut(shortcut, convolutions[-1].filters, strides, style, name=name)
    residual = blocks.drop_branch(residual, drop_rate, name=f"{name}_drop")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, residual])
    if order == "bn_after_add":
        x = style.normalization(name=f"{name}_norm{count}")(x)
    if order in ("original", "bn_after_add"):
        x = keras.layers.ReLU(name=f"{name}_relu{count}")(x)
    return x


def _shortcut(x, filters: int, strides: int, style: UnitStyle, *, name: str):
    """A shortcut that changes the shape: (N, H, W, C) -> (N, ceil(H / strides), ceil(W / strides), filters)."""
    if style.shortcut == "projection":
        x = blocks.convolution(x, filters, 1, strides=strides, name=f"{name}_shortcut_conv")
        if style.order in ("bn_after_add", "full_preact"):
            return x
        return style.normalization(name=f"{name}_shortcut_norm")(x)
    # A pool of one pixel takes every strides-th one.
    x = keras.layers.AveragePooling2D(1, strides, name=f"{name}_shortcut_pool")(x)
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[-1])))


def imagenet_network(
    input_shape: Sequence[int | None],
    num_classes: int,
    style: UnitStyle,
    unit: Callable[[int, int], list[UnitConvolution]],
    *,
    units: Sequence[int],
    stochastic_depth: float,
    width: float = 1.0,
    name: str,
) -> keras.Model:
    """A 7 x 7 convolution and a pool, each of stride 2, and four stages of 64 to 512 filters, or `width` times that."""
    image = keras.Input(input_shape, name="image")
    filters = blocks.scaled((64, 128, 256, 512), width)
    x = _stem(image, style, filters[0], 7, strides=2)  # (N, H / 2, W / 2, 64)
    x = blocks.max_pool(x, 3, 2, padding=1, name="stem_pool")
    x = stages(x, style, unit, units=units, filters=filters, stochastic_depth=stochastic_depth)
    return keras.Model(image, blocks.pooled_logits(x, num_classes), name=name)


def cifar_network(
    input_shape: Sequence[int | None],
    num_classes: int,
    style: UnitStyle,
    unit: Callable[[int, int], list[UnitConvolution]],
    *,
    units: Sequence[int],
    filters: Sequence[int],
    stem_filters: int = 16,
    stochastic_depth: float,
    name: str,
) -> keras.Model:
    """A 3 x 3 convolution and three stages."""
    image = keras.Input(input_shape, name="image")
    x = _stem(image, style, stem_filters, 3, strides=1)
    x = stages(x, style, unit, units=units, filters=filters, stochastic_depth=stochastic_depth)
    return keras.Model(image, blocks.pooled_logits(x, num_classes), name=name)


def _stem(image, style: UnitStyle, filters: int, kernel_size: int, *, strides: int):
    """The first convolution, with what the first unit does not begin with itself."""
    x = blocks.convolution(image, filters, kernel_size, strides=strides, name="stem_conv")
    if style.order != "full_preact":
        x = style.normalization(name="stem_norm")(x)
    return x if style.order in PREACTIVATED else keras.layers.ReLU(name="stem_relu")(x)
