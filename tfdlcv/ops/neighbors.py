"""Nearest neighbours of points: all pairs, a hashed grid for large clouds, and a k-d tree on the host.

All three sort by (squared distance, index) and give a point as its own first neighbour, points that coincide apart.
Squares are taken of differences: |a|^2 - 2 a.b + |b|^2 would lose the near neighbours of clouds far from the origin,
even of centred ones those of large clouds, and would break ties by chance.

Shapes: B clouds, N points, M query points, K neighbours, D coordinates.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tfdlcv.ops import cloud_checks

CHUNK_ELEMENTS = 2**19
"""Distances that are held at once by `knn`, if the chunk size is left open: 2 MiB, what a core's cache takes."""

SLOTS_PER_POINT = 4
"""Of the hash table of `knn_grid`. Columns that share slots take each other's capacity; with a slot for each point that
is what overflows most."""


def knn(positions, k: int, queries=None, *, valid=None, chunk_size: int | None = None):
    """The k nearest points of every query point, from all pairs of distances; for up to some 30,000 points.

    Args:
        positions: (B, N, D) float.
        k: K, at most N.
        queries: (B, M, D); without them, the positions.
        valid: (B, N) bool; a point that is not valid is nobody's neighbour. Places for neighbours that do not exist
            hold -1, which the layers take as padding.
        chunk_size: Query points whose distances to all points are held at once.

    Returns:
        (B, M, K) int32, sorted by (distance, index).

    Raises:
        ValueError: of a wrong rank or dtype, of fewer than k points, and in eager execution of positions that are not
            finite.
    """
    positions, queries = _checked(positions, k, queries)
    if chunk_size is None:
        points = positions.shape[1]
        chunk_size = 256 if points is None else max(CHUNK_ELEMENTS // points, 16)
    count = queries.shape[1]
    if count is not None and count <= chunk_size:
        return _nearest(queries, positions, valid, k)
    return _in_chunks(lambda rows: _nearest(rows, positions, valid, k), queries, chunk_size)


def _nearest(queries, positions, valid, k):
    """(B, M, K) of all M queries at once."""
    squares = squared_distances(queries, positions)
    if valid is None:
        return ops.cast(ops.top_k(-squares, k)[1], "int32")  # The lower index first where two are equal.
    squares = ops.where(ops.expand_dims(valid, 1), squares, _infinity(squares.dtype))
    negative, neighbors = ops.top_k(-squares, k)
    return ops.where(ops.isfinite(negative), ops.cast(neighbors, "int32"), -1)


def squared_distances(queries, positions):
    """(B, M, N) of queries (B, M, D) and positions (B, N, D), a coordinate after the other."""
    total = None
    for axis in range(positions.shape[-1]):
        squares = ops.square(ops.expand_dims(queries[..., axis], 2) - ops.expand_dims(positions[..., axis], 1))
        total = squares if total is None else total + squares
    return total


def knn_grid(positions, k: int, queries=None, *, cell_size, capacity: int | None = None, chunk_size: int = 4096):
    """The k nearest points by a hashed grid: linear in the number of points, for 10^5 to 10^7 of them.

    A query point looks at the 27 cells around it: nine columns of three cells, each column one stretch of the points
    sorted by cell. The neighbours are the nearest if the k-th is no further than a cell and no column holds more
    than `capacity` points; `overflow` says where that is not so. Choose `cell_size` about 1.5 times the mean distance
    of the k-th neighbour: where the density is even, a column then holds 2.1 K points of a wall and 2.4 K of a volume.
    Points that overflow can be searched again, as `queries`, with larger cells and more capacity.

    Args:
        positions: (B, N, D) float, D at most 3.
        k: K, at most N and 9 times `capacity`.
        queries: (B, M, D); without them, the positions.
        cell_size: Edge of a cell, a number or a scalar tensor, in the unit of the positions.
        capacity: Points that are looked at in a column of three cells, which time and memory are proportional to;
            None: 6 K.
        chunk_size: Query points whose candidates are held at once.

    Returns:
        "neighbors": (B, M, K) int32, sorted by (distance, index), -1 where fewer than K points were seen.
        "overflow": (B, M) bool, where the neighbours may not be the nearest.

    Raises:
        ValueError: as `knn`, and of more than three coordinates.
    """
    own = queries is None
    positions, queries = _checked(positions, k, queries)
    if positions.shape[-1] > 3:
        raise ValueError(f"positions must have at most 3 coordinates. Received: shape={tuple(positions.shape)}")
    capacity = 6 * k if capacity is None else capacity
    if k > 9 * capacity:
        raise ValueError(f"k ({k}) must be at most 9 times capacity ({capacity})")
    if isinstance(cell_size, (int, float)) and not cell_size > 0:
        raise ValueError(f"cell_size must be positive. Received: cell_size={cell_size}")
    missing = ((0, 0), (0, 0), (0, 3 - positions.shape[-1]))
    positions, queries = ops.pad(positions, missing), ops.pad(queries, missing)

    def search(cloud):
        return _grid_search(cloud[0], None if own else cloud[1], k, cell_size, capacity, chunk_size)

    if positions.shape[0] == 1:
        found = search((positions[0], queries[0]))
        return {name: ops.expand_dims(value, 0) for name, value in found.items()}
    return ops.map(search, (positions, queries))


def _grid_search(positions, queries, k, cell_size, capacity, chunk_size):
    """Of one cloud: `knn_grid` without its axis of clouds. Without queries the points are taken in the grid's order."""
    grid = _sorted_grid(positions, cell_size)
    in_order = grid["positions"] if queries is None else queries
    extent = ops.max(ops.abs(positions - grid["origin"])) + grid["cell_size"]
    # A cell number is rounded by so much, so that far from the origin of the grid a cell reaches less far.
    reach = grid["cell_size"] - 4.0 * float(np.finfo(np.float32).eps) * extent

    def rows(chunk):
        return _grid_rows(chunk[0], grid, k, capacity, reach)

    found = _in_chunks(rows, ops.expand_dims(in_order, 0), chunk_size)
    neighbors, overflow = found["neighbors"][0], found["overflow"][0]
    if queries is None:
        back = ops.argsort(grid["index"])
        neighbors, overflow = ops.take(neighbors, back, axis=0), ops.take(overflow, back, axis=0)
    return {"neighbors": neighbors, "overflow": overflow}


def _sorted_grid(positions, cell_size):
    """The points of a cloud (N, 3) sorted by the slot of their cell, and where in that order each slot begins."""
    points = ops.shape(positions)[0]
    cell_size = ops.cast(cell_size, positions.dtype)
    origin = ops.min(positions, axis=0)
    cells = ops.cast(ops.floor((positions - origin) / cell_size), "int32")
    slots = SLOTS_PER_POINT * points
    keys = _slot(cells[:, 0], cells[:, 1], cells[:, 2], slots)
    index = ops.cast(ops.argsort(keys), "int32")
    counts = ops.segment_sum(ops.ones_like(keys), keys, num_segments=slots)
    starts = ops.concatenate([ops.zeros((1,), "int32"), ops.cast(ops.cumsum(counts), "int32")])
    # The column that begins in the last slot goes on in the first ones; a place is taken modulo N.
    starts = ops.concatenate([starts, starts[1:3] + points])
    return {
        "positions": ops.take(positions, index, axis=0),
        "columns": ops.take(_column(cells[:, 0], cells[:, 1]), index, axis=0),
        "index": index,
        "starts": starts,
        "slots": slots,
        "origin": origin,
        "cell_size": cell_size,
    }


def _slot(x, y, z, slots):
    """Cells to slots [0, slots); the cells of a column have slots that follow each other."""
    # Primes of Teschner et al. 2003, "Optimized Spatial Hashing for Collision Detection of Deformable Objects". The
    # products wrap around in int32.
    mixed = ops.bitwise_xor(x * 73856093, y * 19349663) + z
    return ops.mod(mixed, slots)


def _column(x, y):
    """One number of a column, different for columns less than 65,536 cells apart."""
    return x * 65536 + ops.mod(y, 65536)


def _grid_rows(queries, grid, k, capacity, reach):
    """Neighbours of query points (R, 3)."""
    points = ops.shape(grid["positions"])[0]
    cells = ops.cast(ops.floor((queries - grid["origin"]) / grid["cell_size"]), "int32")
    shifts = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(9, 2).astype("int32")
    x = cells[:, 0:1] + shifts[:, 0]  # (R, 9)
    y = cells[:, 1:2] + shifts[:, 1]
    slot = _slot(x, y, cells[:, 2:3] - 1, grid["slots"])
    first, last = ops.take(grid["starts"], slot, axis=0), ops.take(grid["starts"], slot + 3, axis=0)
    places = ops.expand_dims(first, -1) + ops.arange(capacity, dtype="int32")  # (R, 9, capacity)
    seen = places < ops.expand_dims(last, -1)
    places = ops.mod(places, points)
    # Another column may have the same slots, even two of the nine: its points must not come twice.
    seen = ops.logical_and(
        seen, ops.equal(ops.take(grid["columns"], places, axis=0), ops.expand_dims(_column(x, y), -1))
    )
    candidates = ops.reshape(places, (-1, 9 * capacity))
    squares = ops.sum(
        ops.square(ops.expand_dims(queries, 1) - ops.take(grid["positions"], candidates, axis=0)), axis=-1
    )
    squares = ops.where(ops.reshape(seen, (-1, 9 * capacity)), squares, _infinity(squares.dtype))
    neighbors, furthest = _smallest(squares, ops.take(grid["index"], candidates, axis=0), k)
    overflow = ops.logical_or(ops.any(last - first > capacity, axis=1), ops.sqrt(furthest) > reach)
    return {"neighbors": ops.expand_dims(neighbors, 0), "overflow": ops.expand_dims(overflow, 0)}


def _smallest(squares, index, k):
    """The k smallest by (square, index) among candidates (R, L) in any order -> index (R, K), largest square (R,).

    One after the other: `top_k` breaks ties by place, not by index, and XLA sorts whole rows for it on CPU.
    """
    chosen, last = [], np.iinfo(np.int32).max
    for _ in range(k):
        smallest = ops.min(squares, axis=1, keepdims=True)
        first = ops.min(ops.where(squares <= smallest, index, last), axis=1, keepdims=True)
        squares = ops.where(ops.equal(index, first), _infinity(squares.dtype), squares)
        chosen.append(ops.where(ops.isfinite(smallest), first, -1))
    return ops.concatenate(chosen, axis=1), ops.squeeze(smallest, 1)


def knn_host(positions, k: int, queries=None, *, workers: int = 1) -> np.ndarray:
    """The k nearest points by scipy's k-d tree, for `tf.data` and files; as `knn`, of NumPy arrays.

    Args:
        positions: (N, D) or (B, N, D) float.
        k: K, at most N.
        queries: (M, D) or (B, M, D); without them, the positions.
        workers: Threads of a query; -1: all cores.

    Returns:
        (M, K) or (B, M, K) int32, sorted by (distance, index).

    Raises:
        ValueError: of a wrong rank or dtype, of fewer than k points, and of positions that are not finite.
    """
    positions = np.asarray(positions)
    queries = positions if queries is None else np.asarray(queries)
    cloud_checks.check_positions(positions)
    cloud_checks.check_positions(queries, "queries")
    cloud_checks.check_same("the number of axes", positions=positions.ndim, queries=queries.ndim)
    cloud_checks.check_same("the number of coordinates", positions=positions.shape[-1], queries=queries.shape[-1])
    cloud_checks.check_k(k, positions.shape[-2])
    if positions.ndim == 2:
        return _tree_neighbors(positions, queries, k, workers)
    cloud_checks.check_same("the number of clouds", positions=len(positions), queries=len(queries))
    return np.stack([_tree_neighbors(p, q, k, workers) for p, q in zip(positions, queries, strict=True)])


def _tree_neighbors(positions, queries, k, workers):
    """(M, K) int32 of one cloud."""
    from scipy.spatial import cKDTree

    tree = cKDTree(positions)
    neighbors = np.empty((len(queries), k), np.int32)
    pending = np.arange(len(queries))
    asked = min(k + 1, len(positions))
    while len(pending):
        _, found = tree.query(queries[pending], asked, workers=workers)
        found = found.reshape(len(pending), asked)
        squares = np.square(queries[pending, None] - positions[found]).sum(-1)
        order = np.lexsort((found, squares))
        squares, found = (np.take_along_axis(values, order, axis=1) for values in (squares, found))
        neighbors[pending] = found[:, :k]
        if asked == len(positions):
            break
        # Where the last one asked for is as near as the k-th, there may be others of lower index.
        pending = pending[squares[:, -1] <= squares[:, k - 1]]
        asked = min(2 * asked, len(positions))
    return neighbors


def _in_chunks(function, queries, chunk_size):
    """`function` of (B, R, D) for all R = chunk_size rows of queries (B, M, D), put together again along axis 1."""
    clouds, count, dimensions = ops.shape(queries)
    chunks = -(-count // chunk_size)
    padded = ops.pad(queries, ((0, 0), (0, chunks * chunk_size - count), (0, 0)))
    rows = ops.transpose(ops.reshape(padded, (clouds, chunks, chunk_size, dimensions)), (1, 0, 2, 3))

    def together(results):  # (chunks, B, R, ...) -> (B, M, ...)
        rest = results.shape[3:]
        results = ops.transpose(results, (1, 0, *range(2, len(results.shape))))
        return ops.reshape(results, (clouds, chunks * chunk_size, *rest))[:, :count]

    return keras.tree.map_structure(together, ops.map(function, rows))


def _checked(positions, k, queries):
    """-> (positions, queries) in float32, or float64 where they are."""
    cloud_checks.check_positions(positions)
    cloud_checks.check_floats(positions, "positions", ranks=(3,))
    cloud_checks.check_k(k, positions.shape[1])
    double = keras.backend.standardize_dtype(positions.dtype) == "float64"
    positions = ops.cast(positions, "float64" if double else "float32")
    if queries is None:
        return positions, positions
    cloud_checks.check_floats(queries, "queries", ranks=(3,))
    cloud_checks.check_positions(queries, "queries")
    cloud_checks.check_same("the number of coordinates", positions=positions.shape[2], queries=queries.shape[2])
    return positions, ops.cast(queries, positions.dtype)


def _infinity(dtype):
    return ops.cast(float("inf"), dtype)
