"""PointNet without its alignment networks: the same layers for every point, and a maximum over all points.

Qi, Su, Mo and Guibas, "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", 2017, figure 2;
"vanilla" in its table 5. It knows no neighbours, and is the baseline of the point-cloud systems.

Shape legend: B clouds, N points, C features, Q classes.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.models.cloud_inputs import cloud_inputs
from tfdlcv.models.flex_blocks import dense_unit


def pointnet_classifier(
    num_classes: int,
    *,
    features: int,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    points: int | None = None,
    name: str = "pointnet",
) -> keras.Model:
    """Dense 64, 64, 64, 128, 1024 for every point, the maximum over points, dense 512, 256 and the classes.

    Args:
        num_classes: Q, at least 2.
        features: C; a point's position stands before its features.
        dropout: of the last layer's inputs; the paper's is 0.3.
        batch_norm_momentum: Share of the old moving statistics that a step keeps; the paper's grows from 0.5 to 0.99.
        points: N, or None for any number.

    Returns:
        A model from the dict of `positions` (B, N, 3) and `features` (B, N, C) to logits (B, Q) float32.
    """
    _check_classes(num_classes)
    inputs = cloud_inputs(features, points)
    _, summary = _encoder(inputs, batch_norm_momentum)
    x = summary
    for index, units in enumerate((512, 256)):
        x = dense_unit(x, units, momentum=batch_norm_momentum, name=f"summary{index}")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32", name="head")(x), name=name)


def pointnet_segmenter(
    num_classes: int,
    *,
    features: int,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
    points: int | None = None,
    name: str = "pointnet",
) -> keras.Model:
    """As the classifier to the maximum, which every point then reads beside its own 64 features: dense 512, 256, 128,
    128 and the classes.

    Arguments are `pointnet_classifier`'s. Returns a model to logits (B, N, Q) float32.
    """
    _check_classes(num_classes)
    inputs = cloud_inputs(features, points)
    local, summary = _encoder(inputs, batch_norm_momentum)
    # A dense layer of [local, summary] without the N copies of the summary: the sum of a layer of each.
    of_points = keras.layers.Dense(512, use_bias=False, kernel_initializer="he_normal", name="mix_points")(local)
    of_cloud = keras.layers.Dense(512, kernel_initializer="he_normal", name="mix_cloud")(summary)
    x = keras.layers.ReLU(name="mix_relu")(of_points + ops.expand_dims(of_cloud, 1))
    for index, units in enumerate((256, 128, 128)):
        x = dense_unit(x, units, momentum=batch_norm_momentum, name=f"mixed{index}")
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes, dtype="float32", name="head")(x), name=name)


def _encoder(inputs, momentum):
    """-> features of points (B, N, 64), features of the cloud (B, 1024)."""
    x = keras.layers.Concatenate(name="point")([inputs["positions"], inputs["features"]])
    for index, units in enumerate((64, 64)):
        x = dense_unit(x, units, momentum=momentum, name=f"point{index}")
    local = x
    for index, units in enumerate((64, 128, 1024), start=2):
        x = dense_unit(x, units, momentum=momentum, name=f"point{index}")
    return local, keras.layers.GlobalMaxPooling1D(name="largest")(x)


def _check_classes(num_classes: int):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
