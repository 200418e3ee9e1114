"""Classifier of whole clouds by flex-convolutions.

Groh, Wieschollek and Lensch, "Flex-Convolution", 2018. The authors' description of their ModelNet40 network (issue 13
of their repository): constant input features, stages of flex-convolutions, each followed by pooling and a quarter of
the points, no skip connections.

Shape legend: B clouds, N_l points of level l, C features, K neighbours, Q classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
from keras import ops

from tfdlcv.layers import FlexPooling
from tfdlcv.models.cloud_inputs import cloud_inputs, pooled_positions, pyramid_inputs
from tfdlcv.models.flex_blocks import dense_unit, flex_unit, residual_flex_unit


def flex_classifier(
    num_classes: int,
    *,
    features: int,
    filters: Sequence[int] = (64, 128, 256),
    blocks: int = 1,
    neighbors: int = 9,
    summary_units: int = 256,
    hidden_units: int = 256,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    points: int | None = None,
    ratio: int = 4,
    name: str = "flex_classifier",
) -> keras.Model:
    """Stages of flex-convolutions, pooling between them, the mean and maximum over points, and two dense layers.

    Flex-convolutions see offsets alone. So a dense layer reads each point of a stage together with its position, before
    the mean and maximum are taken: where in the body a part is tells as much as the part. The summaries of all stages
    stand side by side, as in Wang et al. 2019, "Dynamic Graph CNN for Learning on Point Clouds", figure 3.

    Args:
        num_classes: Q, at least 2.
        features: C.
        filters: of each stage; as many as there are levels.
        blocks: residual flex-convolutions of each stage, besides the one that changes the number of channels.
        neighbors: K.
        summary_units: of the dense layer of each stage that reads its points and their positions; with 0 there is none,
            and the last stage alone is summed up.
        hidden_units: of the dense layer before the last.
        dropout: share of its outputs that is dropped.
        batch_norm_momentum: Share of the old moving statistics that a step keeps. Trainings of a few hundred steps are
            evaluated with better ones of 0.9.
        points: N_0, or None for any number.
        ratio: points of a level for one of the next; needed where `points` is given.

    Returns:
        A model from the dict of `positions` (B, N_0, 3), `features` (B, N_0, C) and the tensors of
        `tfdlcv.data.pyramid` to logits (B, Q) float32.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if len(filters) < 1 or min(filters) < 1:
        raise ValueError(f"filters must be a number of at least 1 for each stage. Received: filters={tuple(filters)}")
    inputs = cloud_inputs(features, points)
    inputs |= pyramid_inputs(levels=len(filters), neighbors=neighbors, points=points, ratio=ratio)
    x, positions = inputs["features"], inputs["positions"]
    dense, flex, residual = (
        functools.partial(unit, momentum=batch_norm_momentum) for unit in (dense_unit, flex_unit, residual_flex_unit)
    )
    read = []
    for level, width in enumerate(filters):
        x = flex(x, positions, inputs[f"neighbors{level}"], width, name=f"stage{level}")
        for block in range(blocks):
            x = residual(x, positions, inputs[f"neighbors{level}"], name=f"stage{level}_{block}")
        if summary_units:
            placed = keras.layers.Concatenate(name=f"places{level}")([x, _in_body(positions)])
            read.append(dense(placed, summary_units, name=f"placed{level}"))
        if level + 1 < len(filters):
            pool = inputs[f"pool{level}"]
            positions = pooled_positions(positions, pool)
            x = FlexPooling(name=f"pool_{level}")([x, pool])
    summaries = []
    for index, points_of_stage in enumerate(read or [x]):
        summaries.append(keras.layers.GlobalMaxPooling1D(name=f"largest{index}")(points_of_stage))
        summaries.append(keras.layers.GlobalAveragePooling1D(name=f"average{index}")(points_of_stage))
    x = keras.layers.Concatenate(name="summary")(summaries)
    x = dense(x, hidden_units, name="hidden")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="head")(x)
    return keras.Model(inputs, logits, name=name)


def _in_body(positions):
    """Positions (B, N, 3) around their mean, in units of their deviation from it."""
    offsets = positions - ops.mean(positions, axis=1, keepdims=True)
    squares = ops.mean(ops.sum(ops.square(offsets), axis=-1, keepdims=True), axis=1, keepdims=True)
    # The smallest number that every backend keeps: a body of a single point has no deviation.
    return offsets / ops.sqrt(ops.maximum(squares, 1e-30))
