"""Classifier of volumes: convolutions of an octree at the full resolution, dense ones from half of it on.

Riegler, Ulusoy and Geiger, "OctNet: Learning Deep 3D Representations at High Resolutions", 2017; the layers are those
of the released code's ModelNet10 example (`train_mn10_r64`), 8,531,418 parameters at 64^3 for 10 classes. `dense3d` is
the same network without the octree, and takes the same weights: the baseline that shows what the octree saves.

Shape legend: B volumes, S voxels along each axis, L leaves, Q classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdlcv.layers import FlexPooling, OctreeConv, OctreeToDense
from tfdlcv.models.octree_inputs import octree_inputs
from tfdlcv.ops.octree_batches import OctreeSpec, group_inputs

_FULL_FILTERS = (8, 14, 14, 20, 20, 26)  # At S; then come two of the next line at S / 2, and two at S / 4.
_COARSE_FILTERS = ((26, 32), (32, 32))


def octnet(
    num_classes: int,
    *,
    resolution: int = 64,
    full_filters: Sequence[int] = _FULL_FILTERS,
    coarse_filters: Sequence[Sequence[int]] = _COARSE_FILTERS,
    hidden_units: int = 512,
    dropout: float = 0.0,
    name: str = "octnet",
) -> keras.Model:
    """The network above; the paper's dropout is 0.5.

    Args:
        num_classes: Q, at least 2.
        resolution: S, a multiple of 8.
        full_filters: of the octree's convolutions, after which the octree is pooled and made dense.
        coarse_filters: of the dense convolutions, a tuple for each resolution; each ends in pooling.
        hidden_units: of the dense layer before the last.
        dropout: share of the last volume that is dropped.

    Returns:
        A model from the dict of `features` (B, L, 1), the occupancy of each leaf, and the arrays of
        `tfdlcv.ops.octree_batches` to logits (B, Q) float32.
    """
    _check(num_classes, resolution, coarse_filters)
    inputs = octree_inputs(1, OctreeSpec(resolution, levels=2, convolved=1, dense_level=1))
    x = inputs["features"]
    reads = [inputs[group] for group in group_inputs(0)]
    for index, filters in enumerate(full_filters):
        x = OctreeConv(filters, activation="relu", kernel_initializer=_he_fan_out(), name=f"full{index}")([x, *reads])
    x = FlexPooling(name="pool")([x, inputs["children0"]])
    x = OctreeToDense(name="dense_volume")([x, inputs["leaf_index"]])
    return keras.Model(inputs, _coarse(x, num_classes, coarse_filters, hidden_units, dropout), name=name)


def dense3d(
    num_classes: int,
    *,
    resolution: int = 64,
    full_filters: Sequence[int] = _FULL_FILTERS,
    coarse_filters: Sequence[Sequence[int]] = _COARSE_FILTERS,
    hidden_units: int = 512,
    dropout: float = 0.0,
    name: str = "dense3d",
) -> keras.Model:
    """The same with dense convolutions throughout. Arguments are `octnet`'s.

    Returns:
        A model from `occupancy` (B, S, S, S, 1) to logits (B, Q) float32.
    """
    _check(num_classes, resolution, coarse_filters)
    inputs = keras.Input((resolution,) * 3 + (1,), name="occupancy")
    x = inputs
    for index, filters in enumerate(full_filters):
        x = _convolution(x, filters, name=f"full{index}")
    x = keras.layers.MaxPooling3D(2, name="pool")(x)
    return keras.Model(inputs, _coarse(x, num_classes, coarse_filters, hidden_units, dropout), name=name)


def _coarse(x, num_classes, coarse_filters, hidden_units, dropout):
    """From a volume (B, S / 2, S / 2, S / 2, C) to logits (B, Q)."""
    for stage, block in enumerate(coarse_filters):
        for index, filters in enumerate(block):
            x = _convolution(x, filters, name=f"coarse{stage}_{index}")
        x = keras.layers.MaxPooling3D(2, name=f"coarse{stage}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(hidden_units, activation="relu", kernel_initializer="he_normal", name="hidden")(x)
    return keras.layers.Dense(num_classes, dtype="float32", name="head")(x)


def _convolution(x, filters: int, *, name: str):
    return keras.layers.Conv3D(
        filters, 3, padding="same", activation="relu", kernel_initializer=_he_fan_out(), name=name
    )(x)


def _he_fan_out() -> keras.initializers.Initializer:
    # He et al. 2015 by fan-out, as the released code does.
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _check(num_classes, resolution, coarse_filters):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if resolution < 8 or resolution % 8:
        raise ValueError(f"resolution must be a multiple of 8. Received: resolution={resolution}")
    if resolution >> (1 + len(coarse_filters)) == 0:
        raise ValueError(
            f"resolution ({resolution}) must be at least {2 << len(coarse_filters)}, so that a voxel is left after "
            f"{1 + len(coarse_filters)} poolings"
        )
