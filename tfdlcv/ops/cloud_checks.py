"""Checks of what layers and neighbour searches are given, with errors that name the tensor.

Ranks, dtypes and static sizes are checked always; values only where they are at hand: NumPy arrays and eager tensors,
not tensors of a graph that is being traced.

Shapes: B clouds, N points, M query points, K neighbours, D coordinates.
"""

import keras
import numpy as np


def check_positions(positions, name: str = "positions"):
    """Raises ValueError unless `positions` is (B, N, D) or (N, D) float with N and D at least 1 and finite values."""
    check_floats(positions, name, ranks=(2, 3))
    if positions.shape[-1] is not None and positions.shape[-1] < 1:
        raise ValueError(f"{name} must have at least 1 coordinate. Received: shape={tuple(positions.shape)}")
    if positions.shape[-2] == 0:
        raise ValueError(f"{name} must hold at least 1 point. Received: an empty cloud, shape={tuple(positions.shape)}")
    check_finite(positions, name)


def check_floats(values, name: str, *, ranks: tuple[int, ...]):
    """Raises ValueError unless the rank is one of `ranks` and the dtype a floating one."""
    if len(values.shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise ValueError(f"{name} must have {wanted} axes. Received: shape={tuple(values.shape)}")
    dtype = keras.backend.standardize_dtype(values.dtype)
    if "float" not in dtype:
        raise ValueError(f"{name} must be floating-point. Received: dtype={dtype}")


def check_finite(values, name: str):
    """Raises ValueError if a value at hand is NaN or infinite; names the first."""
    array = value_at_hand(values)
    if array is None:
        return
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be finite. Received: {array[where]} at {where}, {int(bad.sum())} such values")


def check_neighbors(neighbors, num_points: int | None, name: str = "neighbors", *, of: str = "positions"):
    """Raises ValueError unless `neighbors` is (B, M, K) of integers below `num_points`, with K static, at least 1."""
    if len(neighbors.shape) != 3:
        raise ValueError(
            f"{name} must have 3 axes: clouds, points, neighbours. Received: shape={tuple(neighbors.shape)}"
        )
    dtype = keras.backend.standardize_dtype(neighbors.dtype)
    if "int" not in dtype:
        raise ValueError(f"{name} must be integers. Received: dtype={dtype}")
    if not neighbors.shape[2]:
        raise ValueError(f"{name} must have a fixed number of neighbours. Received: shape={tuple(neighbors.shape)}")
    check_indices(neighbors, num_points, name, of=f"points of {of}")


def check_indices(indices, count: int | None, name: str, *, of: str):
    """Raises ValueError if an index at hand is not less than `count`, the number of what `of` says; names the first."""
    array = value_at_hand(indices)
    if array is None or count is None or array.size == 0:
        return
    if array.max() >= count:
        where = tuple(int(i) for i in np.argwhere(array >= count)[0])
        raise ValueError(f"{name} must be less than the {count} {of}. Received: {array[where]} at {where}")


def check_same(axis_name: str, **sizes: int | None):
    """Raises ValueError if two of the known sizes, by the names of their tensors, differ."""
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in known.items())
        raise ValueError(f"the tensors must agree in {axis_name}. Received: {listed}")


def check_triple(shapes, layer: str):
    """Raises ValueError unless a layer's inputs, of these shapes, can be [features, positions, neighbors].

    It is for `build`, which Keras calls before the layer sees the tensors, and which needs their last axes.
    """
    nested = len(shapes) == 3 and all(isinstance(shape, (tuple, list)) for shape in shapes)
    if not nested or any(len(shape) != 3 for shape in shapes) or not all(shape[2] for shape in shapes):
        raise ValueError(
            f"{layer} takes [features, positions, neighbors], each of three axes, of which the last one is known and "
            f"not 0. Received: shapes {shapes}"
        )


def check_k(k: int, num_points: int | None, name: str = "positions"):
    """Raises ValueError unless 1 <= k <= num_points."""
    if k < 1:
        raise ValueError(f"k must be at least 1. Received: k={k}")
    if num_points is not None and num_points < k:
        raise ValueError(f"{name} must hold at least k ({k}) points. Received: {num_points}")


def value_at_hand(tensor) -> np.ndarray | None:
    """The values of an array or eager tensor; None of a symbolic one."""
    if isinstance(tensor, np.ndarray):
        return tensor
    if isinstance(tensor, keras.KerasTensor):
        return None
    try:
        return np.asarray(tensor)
    except (NotImplementedError, TypeError):  # TensorFlow's and JAX's tensors of a graph being traced.
        return None
