"""Flex-convolution without a compiled operation: first moments of neighbourhoods, then one matrix product.

Groh, Wieschollek and Lensch, "Flex-Convolution: Million-Scale Point-Cloud Learning Beyond Grid-Worlds", 2018. The
weight of a neighbour, <theta, l_i - l_k> + theta_bias, is affine in its relative position, so

    sum_k sum_c weight(c, o) f_k(c) = sum_d sum_c W[d, c, o] M_i[d, c],   M_i[d, c] = sum_k offset_ik[d] f_k(c),

with offset = (l_i - l_k, 1) and W = (theta, theta_bias): the same numbers without a weight matrix for every edge.
The sum is not split further, into l_i (sum f) - sum l_k f, which loses 3 to 4 digits a hundred metres from the origin.

Shapes: B clouds, N points, M query points, K neighbours, D coordinates, C channels, F filters. A neighbour that does
not exist, less than 0 or at least N, is padding: its offset is zero in all D + 1 components, so that it enters no sum.
The layers raise an error for one from N on where they see its value, which is in eager execution, not in a graph.
"""

import keras
from keras import ops

SMALLEST_LENGTH = 1e-12
"""Lengths below it count as it, so that a cloud whose points coincide is not divided by zero."""


def gather_neighbors(values, neighbors):
    """Rows (B, M, K, C) of values (B, N, C); padding gets some row of its own cloud, to be masked by the caller."""
    clouds, points = ops.shape(values)[:2]
    # Rows of one matrix, which is the form that frameworks gather fastest and whose gradient is a sum over rows.
    return ops.take(ops.reshape(values, (-1, values.shape[-1])), _rows(neighbors, clouds, points), axis=0)


def existing(neighbors, num_points):
    """(B, M, K) bool: which neighbours are one of the points 0..N - 1; the others are padding."""
    neighbors = ops.cast(neighbors, "int32")
    # `_rows` needs the same clipped indices, which compilers then compute once.
    return ops.equal(neighbors, _clipped(neighbors, num_points))


def _rows(neighbors, clouds, num_points):
    """Where the neighbours (B, M, K) stand in the matrix of the points of all clouds, (B N, C)."""
    indices = _clipped(ops.cast(neighbors, "int32"), num_points)
    if isinstance(clouds, int) and clouds == 1:
        return indices
    first = ops.arange(clouds, dtype="int32") * num_points
    return indices + ops.reshape(first, (-1, 1, 1))


def _clipped(indices, num_points):
    return ops.maximum(ops.minimum(indices, num_points - 1), 0)


def relative_offsets(positions, neighbors, query_positions=None, *, normalize: bool = False):
    """(l_i - l_k, 1) for every neighbour, and zeros for padding.

    Args:
        positions: (B, N, D), float32 or float64.
        neighbors: (B, M, K) int32, indices of points.
        query_positions: l_i, (B, M, D); without them, the first M positions.
        normalize: Divides l_i - l_k by its mean length over the neighbours of the query point. (By the mean length of
            the whole cloud, activations of eight layers grow a hundredfold on clouds of uneven density, and a point's
            output depends on points far away.)

    Returns:
        (B, M, D + 1, K), of the dtype of the positions.
    """
    if query_positions is None:
        query_positions = positions[:, : ops.shape(neighbors)[1]]
    valid = ops.cast(existing(neighbors, ops.shape(positions)[1]), positions.dtype)
    valid = ops.expand_dims(valid, -1)  # (B, M, K, 1)
    relative = valid * (ops.expand_dims(query_positions, 2) - gather_neighbors(positions, neighbors))  # (B, M, K, D)
    if normalize:
        count = ops.maximum(ops.sum(valid, axis=2, keepdims=True), 1.0)
        mean = ops.sum(lengths(relative), axis=2, keepdims=True) / count
        relative = relative / ops.maximum(mean, SMALLEST_LENGTH)
    return ops.transpose(ops.concatenate([relative, valid], axis=-1), (0, 1, 3, 2))


def lengths(vectors):
    """Norms (..., 1) of vectors (..., D), with a gradient of 0 where the norm is 0: a point is its own neighbour."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    # The gradient of both branches is computed, and that of a root is infinite at 0.
    return ops.where(squares > 0, ops.sqrt(ops.where(squares > 0, squares, 1.0)), 0.0)


def moments(features, offsets, neighbors):
    """M_i[d, c] = sum_k offset_ik[d] f_k(c).

    Args:
        features: (B, N, C).
        offsets: (B, M, D + 1, K), of the dtype of the sums.
        neighbors: (B, M, K) int32.

    Returns:
        (B, M, D + 1, C), of the dtype of the offsets.
    """
    return ops.matmul(offsets, ops.cast(gather_neighbors(features, neighbors), offsets.dtype))


def scatter_moments(values, offsets, neighbors, num_points: int):
    """The adjoint of `moments` in the features: f_n = sum over all (i, k) whose neighbour is n of offset_ik . values_i.

    Args:
        values: (B, M, D + 1, C).
        offsets: (B, M, D + 1, K).
        neighbors: (B, M, K) int32.
        num_points: N.

    Returns:
        (B, N, C).
    """
    messages = ops.matmul(ops.transpose(offsets, (0, 1, 3, 2)), values)  # (B, M, K, C)
    clouds, channels = ops.shape(neighbors)[0], values.shape[-1]
    rows = ops.reshape(_rows(neighbors, clouds, num_points), (-1,))
    summed = ops.segment_sum(ops.reshape(messages, (-1, channels)), rows, num_segments=clouds * num_points)
    return ops.reshape(summed, (-1, num_points, channels))


def flex_convolution(features, offsets, neighbors, theta, theta_bias):
    """sum_k sum_c (<theta[:, c, o], l_i - l_k> + theta_bias[c, o]) f_k(c).

    Args:
        features: (B, N, C).
        offsets: (B, M, D + 1, K) of `relative_offsets`.
        neighbors: (B, M, K) int32.
        theta: (D, C, F).
        theta_bias: (C, F).

    Returns:
        (B, M, F), of the dtype of theta.
    """
    weights = _joined(theta, theta_bias)  # (D + 1, C, F)
    inner = weights.shape[0] * weights.shape[1]
    summed = ops.cast(moments(features, offsets, neighbors), weights.dtype)
    summed = ops.reshape(summed, (-1, ops.shape(neighbors)[1], inner))
    return ops.matmul(summed, ops.reshape(weights, (inner, -1)))


def flex_convolution_transpose(features, offsets, neighbors, theta, theta_bias, *, num_points: int):
    """sum over (i, k) whose neighbour is n of sum_c (<theta[:, c, o], l_i - l_n> + theta_bias[c, o]) f_i(c).

    With theta and theta_bias transposed in their last two axes it is the adjoint of `flex_convolution`.

    Args:
        features: (B, M, C), of the query points.
        offsets: (B, M, D + 1, K) of `relative_offsets`.
        neighbors: (B, M, K) int32.
        theta: (D, C, F).
        theta_bias: (C, F).
        num_points: N.

    Returns:
        (B, N, F), of the dtype of the offsets.
    """
    weights = _joined(theta, theta_bias)
    parts, channels, filters = weights.shape
    kernel = ops.reshape(ops.transpose(weights, (1, 0, 2)), (channels, parts * filters))
    values = ops.reshape(ops.matmul(features, kernel), (-1, ops.shape(neighbors)[1], parts, filters))
    return scatter_moments(ops.cast(values, offsets.dtype), offsets, neighbors, num_points)


def _joined(theta, theta_bias):
    """(D + 1, C, F)."""
    return ops.concatenate([theta, ops.expand_dims(theta_bias, 0)], axis=0)


def position_dtype(dtype) -> str:
    """float64 for float64, else float32: what relative positions are computed in, whatever the dtype policy.

    In half precision, neighbours 5 cm apart at 100 m have the same position.
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def max_over_neighbors(features, neighbors):
    """Largest features (B, M, C) among the neighbours (B, M, K) that are not padding; 0 where all are."""
    valid = ops.expand_dims(existing(neighbors, ops.shape(features)[1]), -1)  # (B, M, K, 1)
    lowest = ops.cast(float("-inf"), features.dtype)
    largest = ops.max(ops.where(valid, gather_neighbors(features, neighbors), lowest), axis=2)
    return ops.where(ops.any(valid, axis=2), largest, ops.zeros_like(largest))


def interpolate(features, positions, neighbors, query_positions):
    """Mean of the neighbours' features (B, M, C), weighted by 1 / distance^2; 0 where all neighbours are padding.

    Args:
        features: (B, N, C).
        positions: (B, N, D), of the features.
        neighbors: (B, M, K) int32, indices of features.
        query_positions: (B, M, D).
    """
    dtype = position_dtype(positions.dtype)
    positions, query_positions = ops.cast(positions, dtype), ops.cast(query_positions, dtype)
    squares = ops.sum(
        ops.square(ops.expand_dims(query_positions, 2) - gather_neighbors(positions, neighbors)), axis=-1
    )  # (B, M, K)
    valid = existing(neighbors, ops.shape(features)[1])
    # Ratios to the nearest neighbour's distance: a point at distance 0 takes all the weight, and no unit of length or
    # constant beside the distances decides how near "at" is.
    nearest = ops.min(ops.where(valid, squares, ops.cast(float("inf"), dtype)), axis=-1, keepdims=True)
    coincident = ops.equal(squares, 0)
    ratios = ops.where(coincident, 1.0, nearest / ops.where(coincident, 1.0, squares))
    weights = ops.where(valid, ratios, 0.0)
    weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), SMALLEST_LENGTH)
    return ops.squeeze(moments(features, ops.expand_dims(weights, 2), neighbors), axis=2)
