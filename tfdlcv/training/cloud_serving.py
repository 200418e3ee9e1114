"""Signatures of a network for point clouds: raw points, whose neighbours are found in the graph, and pyramids.

Shape legend: B clouds of N points each, C features, K neighbours, Q classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdlcv.data.point_clouds import FEATURE_WIDTHS
from tfdlcv.data.pyramid import PyramidSpec
from tfdlcv.ops import neighbors as neighbor_search
from tfdlcv.ops import sampling
from tfdlcv.training.export import Serving, WarmupRequest

_SEED = 20180320  # Which points go to the next level is a draw; the same points get the same one each time.


def cloud_serving(
    network: keras.Model,
    *,
    facts: Mapping[str, Any],
    spec: PyramidSpec,
    describe: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
) -> Serving:
    """Serves a network whose inputs are those of `tfdlcv.data.point_clouds`.

    `serving_default` takes `positions` (B, N, 3) float32 and what the features are made of, by name: `color`
    (B, N, 3) uint8, `normal` (B, N, 3) float32, `intensity` (B, N) float32, `category` (B,) int32. All pairs of points
    are compared, in chunks, so that time grows with N^2: it is meant for up to some 30,000 points.
    `pyramid` takes the network's own inputs, made with `tfdlcv.data.pyramid`, for any number of points.
    Positions that are not finite, clouds of too few points and, in `pyramid`, indices of points that do not exist are
    an InvalidArgumentError.

    Args:
        facts: of the data, as `build_cloud_datasets` gives them.
        spec: of the network.
        describe: network outputs, (B, Q) or (B, N, Q), -> named tensors for the client.
    """
    fixed = network.inputs[0].shape[1]  # None, unless the network is for one number of points.
    names = [name for name in facts["features"] if name in ("color", "normal", "intensity", "category")]
    shapes = {"positions": (None, fixed, 3)}
    for name in names:
        shapes[name] = {"intensity": (None, fixed), "category": (None,)}.get(name, (None, fixed, 3))
    dtypes = {"color": tf.uint8, "category": tf.int32}
    specs = {name: tf.TensorSpec(shape, dtypes.get(name, tf.float32), name=name) for name, shape in shapes.items()}

    def serve(**tensors):
        tensors = {name: tf.ensure_shape(value, shapes[name]) for name, value in tensors.items()}
        positions, features = _prepared(_checked(tensors, _fewest_points(spec)), facts)
        pyramid = _pyramid(positions, spec)
        return dict(describe(tf.cast(network({"positions": positions, "features": features, **pyramid}), tf.float32)))

    def serve_pyramid(**tensors):
        return dict(describe(tf.cast(network(_checked_pyramid(tensors, spec), training=False), tf.float32)))

    own = {
        tensor.name: tf.TensorSpec(tensor.shape, keras.backend.standardize_dtype(tensor.dtype), name=tensor.name)
        for tensor in network.inputs
    }
    signatures = {"serving_default": named_function(serve, specs), "pyramid": named_function(serve_pyramid, own)}
    count = fixed or max(_fewest_points(spec), 16)
    example = {
        name: np.zeros([1, *(size or count for size in shape[1:])], specs[name].dtype.as_numpy_dtype)
        for name, shape in shapes.items()
    }
    example["positions"] = np.random.default_rng(0).random((1, count, 3), np.float32)
    return Serving(
        signatures=signatures,
        labels=tuple(facts["class_names"]),
        warmup_requests=(WarmupRequest("serving_default", example),),
    )


def named_function(function, specs: Mapping[str, tf.TensorSpec]):
    """A `tf.function` whose arguments have the names of `specs`; TensorFlow takes clients' names from them."""
    import inspect

    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        return function(**bound.arguments)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in specs]
    signature = inspect.Signature(parameters)
    call.__signature__ = signature
    return tf.function(call, input_signature=[*specs.values()], autograph=False)


def _fewest_points(spec: PyramidSpec) -> int:
    """So many that each has its neighbours, and that one is left on the last level."""
    return max(spec.neighbors, spec.ratio ** (spec.levels - 1)) if spec.neighbors else 1


def _checked(tensors, fewest: int):
    count = tf.shape(tensors["positions"])[1]
    checks = [
        tf.debugging.Assert(count >= fewest, [f"positions must hold at least {fewest} points; there are", count]),
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(tensors["positions"])), ["positions must be finite, without NaN"]
        ),
    ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in tensors.items()}


def _checked_pyramid(tensors, spec: PyramidSpec):
    tensors = _checked(tensors, 1)
    points_of = {}  # Of which level each array holds indices.
    for level in range(spec.levels):
        points_of |= {f"neighbors{level}": level, f"pool{level}": level, f"up{level}": level + 1}
    checks = []
    for name, level in points_of.items():
        if name not in tensors:
            continue
        indices = tensors[name]
        count = tf.shape(tensors[f"pool{level - 1}" if level else "positions"])[1]
        message = [f"{name} must be -1, for padding, or an index of the", count, f"points of level {level}; it has"]
        low, high = tf.reduce_min(indices), tf.reduce_max(indices)
        checks.append(tf.debugging.Assert((low >= -1) & (high < count), [*message, low, "to", high]))
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in tensors.items()}


def _prepared(tensors, facts):
    """As `tfdlcv.data.point_clouds.prepare`, for batches: positions and features, float32."""
    positions, up = tensors["positions"], facts["up_axis"]
    low, high = tf.reduce_min(positions, 1, keepdims=True), tf.reduce_max(positions, 1, keepdims=True)
    if facts["centre"] == "floor":
        axes = tf.one_hot(up, 3)
        positions = positions - (low * axes + (low + high) / 2 * (1 - axes))
    else:
        positions = positions - tf.reduce_mean(positions, axis=1, keepdims=True)
    if facts["centre"] == "unit_sphere":
        radius = tf.reduce_max(tf.norm(positions, axis=-1, keepdims=True), axis=1, keepdims=True)
        positions = positions / tf.maximum(radius, 1e-12)
    parts = []
    for name in facts["features"]:
        match name:
            case "ones":
                part = tf.ones_like(positions[..., :1])
            case "position":
                part = positions
            case "height":
                part = positions[..., up : up + 1] - tf.reduce_min(positions[..., up : up + 1], 1, keepdims=True)
            case "color":
                part = tf.cast(tensors["color"], tf.float32) / 255 - 0.5
            case "category":
                one_hot = tf.one_hot(tensors["category"], len(facts["category_names"]))
                part = tf.repeat(one_hot[:, None], tf.shape(positions)[1], axis=1)
            case _:
                shape = (*positions.shape[:2], FEATURE_WIDTHS[name])
                part = tf.reshape(tensors[name], [-1, tf.shape(positions)[1], shape[-1]])
        parts.append(part)
    return positions, tf.concat(parts, axis=-1)


def _pyramid(positions, spec: PyramidSpec) -> dict[str, tf.Tensor]:
    """The arrays of `tfdlcv.data.pyramid`, in the graph."""
    pyramid = {}
    for level in range(spec.levels if spec.neighbors else 0):
        nearest = pyramid[f"neighbors{level}"] = _nearest(positions, spec.neighbors, positions)
        if level + 1 == spec.levels:
            break
        chosen = _chosen(positions, nearest, tf.shape(positions)[1] // spec.ratio, spec.sampling, level)
        pool = pyramid[f"pool{level}"] = tf.gather(nearest, chosen, batch_dims=1)
        below = tf.gather(positions, pool[..., 0], batch_dims=1)
        if spec.upsampling_neighbors:
            pyramid[f"up{level}"] = _nearest(below, spec.upsampling_neighbors, positions)
        positions = below
    return pyramid


def _nearest(positions, count: int, queries):
    """The `count` nearest positions of each query, -1 where there are fewer positions."""
    # As many points again that are nobody's neighbours, since how many there are is not known before the graph runs.
    padded = tf.pad(positions, ((0, 0), (0, count), (0, 0)))
    valid = tf.broadcast_to(tf.range(tf.shape(padded)[1]) < tf.shape(positions)[1], tf.shape(padded)[:2])
    return neighbor_search.knn(padded, count, queries, valid=valid)


def _chosen(positions, nearest, count, method: str, level: int):
    """Indices (B, count) of the points that go to the next level."""
    uniform = tf.random.stateless_uniform(tf.shape(positions)[:2], (_SEED, level))
    weights = tf.zeros_like(uniform)
    if method != "random":
        weights = sampling.inverse_density(positions, nearest)
    return ops.sort(sampling.gumbel_top_k(weights, count, uniform), axis=-1)
