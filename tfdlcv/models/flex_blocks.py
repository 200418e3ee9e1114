"""Blocks of flex-convolutions.

Groh, Wieschollek and Lensch, "Flex-Convolution", 2018; residual as the authors advise for deep networks.

Shape legend: B clouds, N points, C channels, F filters, K neighbours. `momentum`: share of the old moving statistics
of the normalisation that a step keeps.
"""

from __future__ import annotations

import keras

from tfdlcv.layers import BatchNormalization, FlexConv


def dense_unit(x, filters: int, *, momentum: float, activation: str | None = "relu", name: str):
    """The same linear map of every point, normalisation, activation: (B, N, C) -> (B, N, F)."""
    x = keras.layers.Dense(filters, use_bias=False, kernel_initializer="he_normal", name=f"{name}_dense")(x)
    x = BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
    return x if activation is None else keras.layers.Activation(activation, name=f"{name}_{activation}")(x)


def flex_unit(x, positions, neighbors, filters: int, *, momentum: float, name: str):
    """Flex-convolution, normalisation, ReLU: (B, N, C) -> (B, N, F)."""
    # Offsets relative to the neighbourhood's own size: an output then depends on nothing but its neighbours, so that
    # blocks of a cloud give what the whole gives.
    x = FlexConv(filters, use_bias=False, normalize_positions="neighborhood", name=f"{name}_flex")(
        [x, positions, neighbors]
    )
    x = BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def residual_flex_unit(x, positions, neighbors, *, momentum: float, name: str):
    """x + flex-convolution of x, then ReLU, over as many channels as x has: (B, N, C) -> (B, N, C)."""
    branch = FlexConv(x.shape[-1], use_bias=False, normalize_positions="neighborhood", name=f"{name}_flex")(
        [x, positions, neighbors]
    )
    branch = BatchNormalization(momentum=momentum, name=f"{name}_norm")(branch)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, branch]))
