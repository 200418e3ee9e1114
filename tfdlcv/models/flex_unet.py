"""U-Net of flex-convolutions, for a class of every point of a cloud.

Groh, Wieschollek and Lensch, "Flex-Convolution: Million-Scale Point-Cloud Learning Beyond Grid-Worlds", 2018, has a
network of this kind; its widths and depths are not published with the code, and these are not a reproduction.

Shape legend: B clouds, N_l points of level l, C features, K neighbours, U neighbours of upsampling, Q classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import FlexPooling, FlexUpsampling
from tfdlcv.models.cloud_inputs import cloud_inputs, pooled_positions, pyramid_inputs
from tfdlcv.models.flex_blocks import dense_unit, residual_flex_unit


def flex_unet(
    num_classes: int,
    *,
    features: int,
    filters: Sequence[int] = (32, 64, 128, 256),
    neighbors: int = 9,
    upsampling_neighbors: int = 3,
    encoder_blocks: int = 1,
    decoder_blocks: int = 1,
    upsampling: Literal["nearest", "inverse_distance"] = "inverse_distance",
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    points: int | None = None,
    ratio: int = 4,
    name: str = "flex_unet",
) -> keras.Model:
    """An encoder that pools and subsamples, a decoder that upsamples, and skip connections.

    Level by level, the encoder maps its input to `filters` of the level, runs residual flex-convolutions, and pools
    over the neighbours of the points that go on. The decoder brings the features of the level below up, joins those
    of the encoder, maps both to the level's filters and runs residual flex-convolutions again.

    Args:
        num_classes: Q, at least 2.
        features: C.
        filters: of each level; as many as there are levels.
        neighbors: K.
        upsampling_neighbors: U.
        encoder_blocks, decoder_blocks: flex-convolutions of each level, on the way down and on the way up.
        upsampling: how features come up a level; see `FlexUpsampling`.
        dropout: share of the last layer's inputs that is dropped.
        batch_norm_momentum: Share of the old moving statistics that a step keeps. Trainings of a few hundred steps are
            evaluated with better ones of 0.9.
        points: N_0, or None for any number.
        ratio: points of a level for one of the next; needed where `points` is given.

    Returns:
        A model from the dict of `positions` (B, N_0, 3), `features` (B, N_0, C) and the tensors of
        `tfdlcv.data.pyramid` to logits (B, N_0, Q) float32.
    """
    _check(num_classes, filters, encoder_blocks, decoder_blocks, upsampling_neighbors)
    inputs = cloud_inputs(features, points)
    inputs |= pyramid_inputs(
        levels=len(filters),
        neighbors=neighbors,
        upsampling_neighbors=upsampling_neighbors,
        points=points,
        ratio=ratio,
    )
    x, positions = inputs["features"], [inputs["positions"]]
    dense, residual = (
        functools.partial(unit, momentum=batch_norm_momentum) for unit in (dense_unit, residual_flex_unit)
    )
    skips = []
    for level, width in enumerate(filters):
        x = dense(x, width, name=f"down{level}")
        for block in range(encoder_blocks):
            x = residual(x, positions[level], inputs[f"neighbors{level}"], name=f"down{level}_{block}")
        if level + 1 < len(filters):
            skips.append(x)
            pool = inputs[f"pool{level}"]
            positions.append(pooled_positions(positions[level], pool))
            x = FlexPooling(name=f"pool_{level}")([x, pool])
    for level in reversed(range(len(filters) - 1)):
        x = FlexUpsampling(method=upsampling, name=f"up_{level}")(
            [x, positions[level], inputs[f"up{level}"]], coarse_positions=positions[level + 1]
        )
        x = keras.layers.Concatenate(name=f"join{level}")([x, skips[level]])
        x = dense(x, filters[level], name=f"up{level}_join")
        for block in range(decoder_blocks):
            x = residual(x, positions[level], inputs[f"neighbors{level}"], name=f"up{level}_{block}")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, logits, name=name)


def _check(num_classes, filters, encoder_blocks, decoder_blocks, upsampling_neighbors):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if len(filters) < 1 or min(filters) < 1:
        raise ValueError(f"filters must be a number of at least 1 for each level. Received: filters={tuple(filters)}")
    for argument, value, least in (
        ("encoder_blocks", encoder_blocks, 1),
        ("decoder_blocks", decoder_blocks, 0),
        ("upsampling_neighbors", upsampling_neighbors, 1),
    ):
        if value < least:
            raise ValueError(f"{argument} must be at least {least}. Received: {argument}={value}")
