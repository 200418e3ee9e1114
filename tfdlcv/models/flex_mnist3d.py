"""The demonstration network of the flex-convolution's authors, for digits as clouds of 1,024 points.

Released code of Groh, Wieschollek and Lensch, "Flex-Convolution", 2018: positions as features, K = 16, four stages of
two flex-convolutions of 64, 128, 192 and 256 filters, pooling and a quarter of the points between them; then one
flex-convolution of 1,024 filters about the origin, whose neighbours are all points that are left; dense 512, and the
classes. 2,400,778 parameters for 10 classes. No accuracy was published.

Shape legend: B clouds, N_l points of level l, K neighbours, Q classes.
"""

from __future__ import annotations

from typing import Literal

import keras
from keras import ops

from tfdlcv.layers import FlexConv, FlexPooling
from tfdlcv.models.cloud_inputs import cloud_inputs, pooled_positions, pyramid_inputs

_FILTERS = (64, 128, 192, 256)


def flex_mnist3d(
    num_classes: int = 10,
    *,
    features: int = 3,
    neighbors: int = 16,
    head: Literal["flex", "max"] = "flex",
    points: int = 1024,
    ratio: int = 4,
    name: str = "flex_mnist3d",
) -> keras.Model:
    """The network above.

    Args:
        num_classes: Q, at least 2.
        features: C; the authors' are the positions.
        neighbors: K.
        head: flex: the flex-convolution about the origin; max: the largest of each channel in its place.
        points: N_0, at least 64, so that a point is left.
        ratio: points of a level for one of the next.

    Returns:
        A model from the dict of `positions` (B, N_0, 3), `features` (B, N_0, C) and the tensors of
        `tfdlcv.data.pyramid` to logits (B, Q) float32.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if head not in ("flex", "max"):
        raise ValueError(f"head must be 'flex' or 'max'. Received: head={head!r}")
    inputs = cloud_inputs(features, points)
    inputs |= pyramid_inputs(levels=len(_FILTERS), neighbors=neighbors, points=points, ratio=ratio)
    x, positions = inputs["features"], inputs["positions"]
    for level, width in enumerate(_FILTERS):
        for block in range(2):
            x = FlexConv(
                width, activation="relu", normalize_positions="neighborhood", name=f"stage{level}_flex{block}"
            )([x, positions, inputs[f"neighbors{level}"]])
        if level + 1 < len(_FILTERS):
            pool = inputs[f"pool{level}"]
            positions = pooled_positions(positions, pool)
            x = FlexPooling(name=f"pool_{level}")([x, pool])
    if head == "flex":
        # Every cloud has the same list of neighbours, 0..N_3 - 1, and one query point, the origin.
        last = x.shape[1]
        everyone = ops.cast(ops.zeros_like(positions[:, None, :, 0]), "int32") + ops.arange(last, dtype="int32")
        x = FlexConv(1024, activation="relu", normalize_positions="neighborhood", name="whole_cloud")(
            [x, positions, everyone], query_positions=ops.zeros_like(positions[:, :1])
        )
        x = ops.squeeze(x, axis=1)  # (B, 1024)
    else:
        x = keras.layers.GlobalMaxPooling1D(name="largest")(x)
    x = keras.layers.Dense(512, activation="relu", kernel_initializer="he_normal", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32", name="head")(x), name=name)
