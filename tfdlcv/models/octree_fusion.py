"""U-Nets that make a clean signed distance of several noisy depth maps, from coarse to fine.

Riegler, Ulusoy, Bischof and Geiger, "OctNetFusion: Learning Depth Fusion from Data", 2017, with the layers of the
released code (`unetadd`). The coarsest network is dense, 537,409 parameters for histograms of ten bins; every finer one
convolves an octree that is split where the network before it saw the surface, and gets that one's output as a channel.

Shape legend: B volumes, S voxels along each axis, L leaves, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tfdlcv.layers import FlexPooling, OctreeConv, OctreeToDense
from tfdlcv.models.octree_inputs import octree_inputs
from tfdlcv.ops.octree_batches import OctreeSpec, group_inputs

_FILTERS = (16, 32, 64)


def fusion_octree_spec(resolution: int) -> OctreeSpec:
    """The arrays that `octree_fusion` takes."""
    return OctreeSpec(resolution, levels=3, convolved=3, parents=True, dense_level=0)


def dense_fusion(
    *, resolution: int, channels: int, filters: Sequence[int] = _FILTERS, name: str = "dense_fusion"
) -> keras.Model:
    """The network of the coarsest level.

    Args:
        resolution: S, a multiple of 4.
        channels: C.
        filters: of the first convolution, and of the features of the first two and of the third scale.

    Returns:
        A model from `histogram` (B, S, S, S, C) to signed distances (B, S, S, S, 1) float32, in units of the
        truncation.
    """
    _check(resolution, 4, channels, filters)
    inputs = keras.Input((resolution,) * 3 + (channels,), name="histogram")

    def convolve(x, count, scale, *, activation, name):
        return keras.layers.Conv3D(
            count, 3, padding="same", activation=activation, kernel_initializer="he_normal", name=name
        )(x)

    outputs = _unet(
        inputs,
        filters,
        convolve,
        pool=lambda x, scale: keras.layers.MaxPooling3D(2, name=f"pool{scale}")(x),
        unpool=lambda x, scale: keras.layers.UpSampling3D(2, name=f"unpool{scale}")(x),
    )
    return keras.Model(inputs, _as_float32(outputs), name=name)


def octree_fusion(
    *, resolution: int, channels: int, filters: Sequence[int] = _FILTERS, name: str = "octree_fusion"
) -> keras.Model:
    """The network of a finer level; its resolution is a multiple of 8, and its channels are one more.

    Returns:
        A model from the dict of `features` (B, L, C), the means over each leaf of the histogram and of the coarser
        output, and the arrays of `fusion_octree_spec`, to signed distances (B, S, S, S, 1) float32.
    """
    _check(resolution, 8, channels, filters)
    inputs = octree_inputs(channels, fusion_octree_spec(resolution))

    def convolve(x, count, scale, *, activation, name):
        reads = [inputs[group] for group in group_inputs(scale)]
        return OctreeConv(count, activation=activation, name=name)([x, *reads])

    outputs = _unet(
        inputs["features"],
        filters,
        convolve,
        pool=lambda x, scale: FlexPooling(name=f"pool{scale}")([x, inputs[f"children{scale}"]]),
        unpool=lambda x, scale: FlexPooling(name=f"unpool{scale}")([x, inputs[f"parents{scale}"]]),
    )
    outputs = OctreeToDense(name="volume")([outputs, inputs["leaf_index"]])
    return keras.Model(inputs, _as_float32(outputs), name=name)


def _unet(x, filters, convolve, *, pool, unpool):
    """Three scales, two ways down and up again, the ways down added on the way up."""
    narrow, middle, wide = filters

    def block(x, counts, scale, name):
        for index, count in enumerate(counts):
            x = convolve(x, count, scale, activation="relu", name=f"{name}_{index}")
        return x

    first = block(x, (narrow, middle), 0, "down0")
    second = block(pool(first, 0), (middle, wide), 1, "down1")
    x = block(pool(second, 1), (wide, wide, wide), 2, "bottom")
    x = keras.layers.Add(name="join1")([unpool(x, 1), second])
    x = block(x, (middle, middle), 1, "up1")
    x = keras.layers.Add(name="join0")([unpool(x, 0), first])
    x = block(x, (narrow, narrow), 0, "up0")
    return convolve(x, 1, 0, activation=None, name="distance")


def _as_float32(x):
    return keras.layers.Activation("linear", dtype="float32", name="signed_distance")(x)


def _check(resolution, multiple, channels, filters):
    if resolution < multiple or resolution % multiple:
        raise ValueError(f"resolution must be a multiple of {multiple}. Received: resolution={resolution}")
    if channels < 1:
        raise ValueError(f"channels must be at least 1. Received: channels={channels}")
    if len(filters) != 3 or min(filters) < 1:
        raise ValueError(f"filters must be three numbers of at least 1. Received: filters={tuple(filters)}")
