"""Which points a smaller cloud keeps: by inverse density, the farthest ones, or any.

All return indices in the order in which the points were chosen, so that the first half of a sample is a sample of half
the size: a cloud that is put in this order once is subsampled further by taking its first points.

Shapes: B clouds, N points, S samples, K neighbours, D coordinates.
"""

import keras
from keras import ops

from tfdlcv.ops import cloud_checks, flex

SMALLEST_UNIFORM = 2.0**-24
"""Half of the smallest step of float32 uniforms, in place of a 0, which has no logarithm."""


def random_sample(positions, num_samples: int, *, seed=None):
    """(B, S) int32: any S points of each cloud, without replacement.

    Args:
        positions: (B, N, D).
        num_samples: S, at most N.
        seed: An int or a `keras.random.SeedGenerator`.
    """
    _check(positions, num_samples)
    return ops.cast(ops.top_k(_uniform(positions, seed), num_samples)[1], "int32")


def inverse_density_sample(positions, neighbors, num_samples: int, *, seed=None):
    """Points of sparse regions first: without replacement, with chances as the mean distance to the neighbours.

    The importance sampling of Groh, Wieschollek and Lensch, "Flex-Convolution", 2018.

    Args:
        positions: (B, N, D).
        neighbors: (B, N, K) int32; negative ones are padding, and in a graph those from N on too.
        num_samples: S, at most N.
        seed: An int or a `keras.random.SeedGenerator`.

    Returns:
        (B, S) int32.
    """
    _check(positions, num_samples)
    return gumbel_top_k(inverse_density(positions, neighbors), num_samples, _uniform(positions, seed))


def inverse_density(positions, neighbors):
    """Logarithm (B, N) of the mean distance to the neighbours; -inf where all coincide or all are padding."""
    cloud_checks.check_neighbors(neighbors, positions.shape[1])
    positions = ops.cast(positions, flex.position_dtype(positions.dtype))
    relative = ops.expand_dims(positions, 2) - flex.gather_neighbors(positions, neighbors)
    valid = ops.cast(flex.existing(neighbors, ops.shape(positions)[1]), positions.dtype)
    total = ops.sum(ops.squeeze(flex.lengths(relative), -1) * valid, axis=-1)
    return ops.log(total / ops.maximum(ops.sum(valid, axis=-1), 1.0))


def gumbel_top_k(log_weights, num_samples: int, uniform):
    """A weighted sample without replacement: the largest of log w + Gumbel noise.

    It is the same as the largest of u^(1 / w) (Efraimidis and Spirakis 2006), which is 0 in float32 for every one of a
    million weights that sum to 1.

    Args:
        log_weights: (B, N), of weights that need not sum to 1; -inf comes last.
        num_samples: S.
        uniform: (B, N) in [0, 1), the chance.

    Returns:
        (B, S) int32, the first chosen first.
    """
    exponential = -ops.log1p(-ops.maximum(ops.cast(uniform, log_weights.dtype), SMALLEST_UNIFORM))
    return ops.cast(ops.top_k(log_weights - ops.log(exponential), num_samples)[1], "int32")


def farthest_point_sample(positions, num_samples: int, *, start: int = 0):
    """Each time the point farthest from all that were chosen before; S passes over all points, one after the other.

    Qi, Yi, Su and Guibas, "PointNet++", 2017.

    Args:
        positions: (B, N, D).
        num_samples: S, at most N.
        start: The first point, from 0 to N - 1.

    Returns:
        (B, S) int32.
    """
    _check(positions, num_samples)
    if start < 0 or (positions.shape[1] is not None and start >= positions.shape[1]):
        raise ValueError(f"start ({start}) must be from 0 to the number of points ({positions.shape[1]}) - 1")
    positions = ops.cast(positions, flex.position_dtype(positions.dtype))
    first = ops.full((ops.shape(positions)[0], 1), start, dtype="int32")
    samples = ops.concatenate([first, ops.zeros((ops.shape(positions)[0], num_samples - 1), "int32")], axis=1)

    def step(i, carry):
        samples, squares = carry
        last = ops.expand_dims(ops.take(samples, i - 1, axis=1), 1)  # (B, 1)
        here = ops.take_along_axis(positions, ops.expand_dims(last, -1), axis=1)  # (B, 1, D)
        squares = ops.minimum(squares, ops.sum(ops.square(positions - here), axis=-1))
        furthest = ops.cast(ops.argmax(squares, axis=1), "int32")
        samples = ops.slice_update(samples, (0, i), ops.expand_dims(furthest, 1))
        return samples, squares

    squares = ops.full_like(positions[..., 0], float("inf"))
    return ops.fori_loop(1, num_samples, step, (samples, squares))[0]


def _uniform(positions, seed):
    return keras.random.uniform(ops.shape(positions)[:2], dtype="float32", seed=seed)


def _check(positions, num_samples):
    cloud_checks.check_floats(positions, "positions", ranks=(3,))
    cloud_checks.check_positions(positions)
    points = positions.shape[1]
    if num_samples < 1 or (points is not None and num_samples > points):
        raise ValueError(f"num_samples ({num_samples}) must be from 1 to the number of points ({points})")
