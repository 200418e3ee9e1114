"""The resolutions of a point cloud: who neighbours whom on each, and how to come from one to the next.

Arrays of a pyramid, for level l = 0, 1, ... with N_l points, of which level l + 1 takes N_(l+1) = N_l // ratio:

    neighbors{l}  (N_l, K) int32      the K nearest points of the same level, nearest first, so itself first
    pool{l}       (N_(l+1), K) int32  those rows of neighbors{l} that belong to the points of level l + 1; so
                                      pool{l}[:, 0] says which points of level l these are
    up{l}         (N_l, U) int32      the U nearest points of level l + 1

-1 is padding, where a level has fewer points than neighbours are asked for. The arrays depend on the positions alone
and are the same for a cloud that is turned, moved or scaled, so they are found once, on the host: on two CPU cores, a
thread with a k-d tree took 2 ms for 512 points and 13 ms for 4,096, a graph that compares all pairs 8 ms and 143 ms.

Groh, Wieschollek and Lensch, "Flex-Convolution", 2018 (inverse density importance sampling).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfdlcv.errors import UserError


@dataclass(frozen=True)
class PyramidSpec:
    """What a network wants to know of a cloud.

    Attributes:
        neighbors: K, itself included. 0: the network looks at points one by one, and the pyramid is empty.
        levels: number of resolutions.
        ratio: of how many points one goes to the next level.
        upsampling_neighbors: U; 0 where the network never comes back up.
        sampling: which go: inverse_density prefers points whose neighbours are far; random: any.
    """

    neighbors: int = 9
    levels: int = 1
    ratio: int = 4
    upsampling_neighbors: int = 0
    sampling: Literal["inverse_density", "random"] = "inverse_density"

    def sizes(self, points: int) -> list[int]:
        """N_0, N_1, ..."""
        sizes = [points]
        for _ in range(self.levels - 1 if self.neighbors else 0):
            sizes.append(max(sizes[-1] // self.ratio, 1))
        return sizes

    def shapes(self, points: int | None) -> dict[str, tuple[int | None, int]]:
        """The shape of each array, for clouds of so many points; None for any number."""
        if not self.neighbors:
            return {}
        sizes = [None] * self.levels if points is None else self.sizes(points)
        shapes = {f"neighbors{level}": (size, self.neighbors) for level, size in enumerate(sizes)}
        for level, (size, next_size) in enumerate(itertools.pairwise(sizes)):
            shapes[f"pool{level}"] = (next_size, self.neighbors)
            if self.upsampling_neighbors:
                shapes[f"up{level}"] = (size, self.upsampling_neighbors)
        return shapes


def build_pyramid(
    positions: np.ndarray, spec: PyramidSpec, *, random: np.random.Generator, workers: int = 1
) -> dict[str, np.ndarray]:
    """The arrays above, for positions (N, D).

    Args:
        random: decides which points go to the next level.
        workers: threads; -1 for one on each core.

    Raises:
        UserError: fewer points than `spec.neighbors`.
    """
    if not spec.neighbors:
        return {}
    if len(positions) < spec.neighbors:
        raise UserError(f"positions: {len(positions)} points are fewer than the {spec.neighbors} neighbours of each")
    pyramid = {}
    level_positions, tree = positions, search_tree(positions)
    sizes = spec.sizes(len(positions))
    for level in range(len(sizes)):
        neighbors = pyramid[f"neighbors{level}"] = nearest(tree, level_positions, spec.neighbors, workers=workers)
        if level + 1 == len(sizes):
            break
        chosen = choose_points(level_positions, neighbors, sizes[level + 1], spec.sampling, random)
        pyramid[f"pool{level}"] = neighbors[chosen]
        # Copies of a point may stand before it among its neighbours; the level below is made of what stands first.
        next_positions = level_positions[neighbors[chosen, 0]]
        tree = search_tree(next_positions)
        if spec.upsampling_neighbors:
            pyramid[f"up{level}"] = nearest(tree, level_positions, spec.upsampling_neighbors, workers=workers)
        level_positions = next_positions
    return pyramid


def search_tree(positions: np.ndarray):
    """A k-d tree of positions (N, D)."""
    from scipy.spatial import cKDTree

    # Splitting in the middle of a box builds five times faster than by the median, and is searched as fast.
    return cKDTree(positions, balanced_tree=False, compact_nodes=False)


def nearest(tree, queries: np.ndarray, count: int, *, workers: int = 1) -> np.ndarray:
    """The `count` points of the tree nearest to each query: (M, count) int32, -1 where the tree has fewer."""
    found = min(count, tree.n)
    _, indices = tree.query(queries, k=found, workers=workers)
    indices = indices.astype(np.int32).reshape(len(queries), found)
    return indices if found == count else np.pad(indices, ((0, 0), (0, count - found)), constant_values=-1)


def choose_points(
    positions: np.ndarray,
    neighbors: np.ndarray,
    count: int,
    sampling: Literal["inverse_density", "random"],
    random: np.random.Generator,
) -> np.ndarray:
    """`count` of the points (N, D), without repetition, ascending: (count,) int64."""
    # The largest of log(weight) + Gumbel noise are a sample without replacement in proportion to the weights (Vieira
    # 2014, "Gumbel-max trick and weighted reservoir sampling"); keys u^(1/weight) underflow to 0 for 10^6 points.
    keys = random.gumbel(size=len(positions)).astype(np.float32)
    if sampling == "inverse_density":
        keys += np.log(_distance_sums(positions, neighbors) + 1e-12)
    return np.sort(np.argpartition(keys, len(keys) - count)[len(keys) - count :])


def spatial_order(positions: np.ndarray) -> np.ndarray:
    """An order (N,) int64 in which points that lie together stand together (Morton 1966), for the sake of caches."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    cells = (positions - low) * (2**20 / max(float((high - low).max()), 1e-12))
    cells = np.minimum(cells.astype(np.uint64), 2**20 - 1)
    code = np.zeros(len(positions), np.uint64)
    for axis in range(positions.shape[1]):
        code |= _spread_bits(cells[:, axis]) << np.uint64(axis)
    return np.argsort(code, kind="stable")


def _distance_sums(positions, neighbors) -> np.ndarray:
    """(N,) float32: how far the neighbours are, together."""
    sums = np.zeros(len(positions), np.float32)
    for column in neighbors.T[1:]:  # One after the other, since all of 10^6 points at once would take 200 MB.
        offsets = (positions[column] - positions).astype(np.float32)
        sums += np.where(column >= 0, np.sqrt(np.einsum("nd,nd->n", offsets, offsets)), 0)
    return sums


def _spread_bits(values: np.ndarray) -> np.ndarray:
    """The lowest 21 bits of each value, two zeros between each and the next."""
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values
