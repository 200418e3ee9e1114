"""Signatures of a network for volumes of occupied voxels: points of a cloud, or the network's own inputs.

Shape legend: B clouds of N points each, S voxels along each axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.data.volumes import PADDING, VolumeSpec, volume_arrays
from tfdlcv.training.batches import network_inputs
from tfdlcv.training.cloud_serving import named_function
from tfdlcv.training.export import Serving, WarmupRequest


def volume_serving(
    network: keras.Model,
    *,
    facts: Mapping[str, Any],
    spec: VolumeSpec,
    describe: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
) -> Serving:
    """Serves a network whose inputs are those of `tfdlcv.data.volumes`.

    Of dense volumes, `serving_default` takes `positions` (B, N, 3) float32 in any unit, which are brought to the unit
    sphere, and `volume` takes `occupancy` (B, S, S, S, 1). Octrees are structures of index arrays that a graph of
    tensors does not make: there `serving_default` takes the network's own inputs, made with
    `tfdlcv.data.volumes.volume_arrays`. Positions that are not finite and empty clouds are an InvalidArgumentError.

    Args:
        facts: of the data, as `build_cloud_datasets` gives them.
        spec: of the network.
        describe: network outputs (B, Q) -> named tensors for the client.
    """

    def serve_volumes(**tensors):
        outputs = network(network_inputs(network, tensors), training=False)
        return dict(describe(tf.cast(outputs, tf.float32)))

    def serve_points(positions):
        checks = [
            tf.debugging.Assert(tf.shape(positions)[1] > 0, ["positions must hold at least 1 point"]),
            tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(positions)), ["positions must be finite, without NaN"]),
        ]
        with tf.control_dependencies(checks):
            return serve_volumes(occupancy=occupancy(tf.identity(positions), spec.resolution))

    own = {
        tensor.name: tf.TensorSpec(tensor.shape, keras.backend.standardize_dtype(tensor.dtype), name=tensor.name)
        for tensor in network.inputs
    }
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 64, 3)).astype(np.float32)
    if spec.octree:
        signatures = {"serving_default": named_function(serve_volumes, own)}
        example = volume_arrays(points, spec)
    else:
        positions = {"positions": tf.TensorSpec((None, None, 3), tf.float32, name="positions")}
        signatures = {
            "serving_default": named_function(serve_points, positions),
            "volume": named_function(serve_volumes, own),
        }
        example = {"positions": points}
    return Serving(
        signatures=signatures,
        labels=tuple(facts["class_names"]),
        warmup_requests=(WarmupRequest("serving_default", example),),
    )


def occupancy(positions, resolution: int):
    """(B, S, S, S, 1) float32: as `tfdlcv.data.volumes.voxelize` of clouds (B, N, 3) brought to the unit sphere."""
    positions = positions - tf.reduce_mean(positions, axis=1, keepdims=True)
    radius = tf.reduce_max(tf.norm(positions, axis=-1, keepdims=True), axis=1, keepdims=True)
    positions = positions / tf.maximum(radius, 1e-12)
    scale = resolution / 2 - PADDING
    # Of the unit sphere, no point is beyond the volume.
    voxels = tf.cast(tf.floor(positions * scale + resolution / 2), tf.int32) - tf.cast(positions == 1, tf.int32)
    cloud = tf.broadcast_to(tf.range(tf.shape(positions)[0])[:, None, None], tf.shape(voxels[..., :1]))
    places = tf.reshape(tf.concat([cloud, voxels], axis=-1), (-1, 4))
    shape = (tf.shape(positions)[0], resolution, resolution, resolution)
    counts = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1]), shape)
    return tf.cast(counts > 0, tf.float32)[..., None]
