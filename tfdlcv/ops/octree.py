"""Volumes as grids of shallow octrees: one feature for a leaf of 8^3, 4^3, 2^3 or 1 voxels.

Riegler, Ulusoy and Geiger, "OctNet: Learning Deep 3D Representations at High Resolutions", 2017. An octree stands for
the volume that is constant in each leaf, and every operation gives what the dense one gives on that volume, averaged
over each leaf. Here the structure is made on the host, as index arrays; `tfdlcv.ops.octree_features` and
`tfdlcv.layers.OctreeConv` work on features by them, and `tfdlcv.layers.FlexPooling` takes the maximum over the children
of a leaf (pooling by 2) or over its parent (its inverse, which repeats features).

Leaves stand in groups, in an order that every array keeps: those of 1 voxel, of 2^3, 4^3 and 8^3, as far as the tree
has such sizes, and last the plain ones: leaves of the largest size among others that are not smaller. Only the number
of the plain ones grows with the volume; that of all others grows with the surface that the tree was built for.

Shapes: S voxels along each axis, L leaves, L_g leaves of group g, B volumes, T taps of a filter.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

LARGEST_LEAF = 8  # Riegler et al. 2017, section 3.1: trees of depth 3.
KERNEL_SIZES = (1, 3, 5)


@dataclasses.dataclass(frozen=True)
class Octree:
    """Where the leaves of a volume are.

    Attributes:
        leaf_index: (S, S, S) int32, the leaf that each voxel lies in.
        sizes: (L,) int32, the edge of each leaf in voxels.
        origins: (L, 3) int32, the first voxel of each leaf.
        groups: L_g of each group, which add up to L.
        largest: the edge that leaves may have at most.
    """

    leaf_index: np.ndarray
    sizes: np.ndarray
    origins: np.ndarray
    groups: tuple[int, ...]
    largest: int = LARGEST_LEAF

    @property
    def num_leaves(self) -> int:
        """L."""
        return len(self.sizes)


def group_names(largest: int = LARGEST_LEAF) -> tuple[str, ...]:
    """The groups of trees whose leaves have at most this edge: "1", "2", "4", "8" and "plain" for 8; "1" for 1."""
    sizes = [str(size) for size in (1, 2, 4, 8) if size <= largest]
    return (*sizes, "plain") if largest > 1 else tuple(sizes)


def build_octree(volume: np.ndarray) -> Octree:
    """The octree with the largest leaves in each of which `volume` (S, S, S) is constant, S a multiple of 8.

    Give it the occupied voxels, or a surface: leaves are small where the values change.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3 or len(set(volume.shape)) != 1 or volume.shape[0] % LARGEST_LEAF or not volume.size:
        raise ValueError(f"volume must be a cube with edges of a multiple of 8 voxels. Received: shape={volume.shape}")
    lowest = highest = volume
    constant = {}
    for size in (2, 4, 8):
        edge = volume.shape[0] // size
        lowest = lowest.reshape(edge, 2, edge, 2, edge, 2).min(axis=(1, 3, 5))
        highest = highest.reshape(edge, 2, edge, 2, edge, 2).max(axis=(1, 3, 5))
        constant[size] = lowest == highest
    sizes = np.ones(volume.shape, np.int32)
    for size, whole in constant.items():
        sizes[_repeated(whole, size)] = size
    return _octree_of_sizes(sizes, LARGEST_LEAF)


def _repeated(cells: np.ndarray, size: int) -> np.ndarray:
    """Each cell as a block of size^3."""
    return cells.repeat(size, 0).repeat(size, 1).repeat(size, 2)


def _octree_of_sizes(sizes: np.ndarray, largest: int) -> Octree:
    """From the size (S, S, S) of the leaf of each voxel."""
    edge = sizes.shape[0]
    leaf_index = np.empty(sizes.shape, np.int32)
    origins, groups = [], []
    plain = _plain_cells(sizes, largest)
    for name in group_names(largest):
        size = largest if name == "plain" else int(name)
        cells = sizes[::size, ::size, ::size] == size
        if size == largest > 1:
            cells &= plain if name == "plain" else ~plain
        first = np.argwhere(cells).astype(np.int32)
        number = np.zeros(cells.shape, np.int32)
        number[cells] = np.arange(len(first)) + sum(groups)
        inside = _repeated(cells, size)
        leaf_index[inside] = _repeated(number, size)[inside]
        origins.append(first * size)
        groups.append(len(first))
    origins = np.concatenate(origins)
    return Octree(leaf_index, sizes[tuple(origins.T)], origins, tuple(groups), min(largest, edge))


def _plain_cells(sizes: np.ndarray, largest: int) -> np.ndarray:
    """(S / largest)^3 bool: cells that are one leaf, as are all that touch them."""
    whole = sizes[::largest, ::largest, ::largest] == largest
    for axis in range(3):
        padded = np.pad(whole, [(1, 1) if axis == other else (0, 0) for other in range(3)], constant_values=True)
        parts = [np.take(padded, range(start, start + whole.shape[axis]), axis) for start in range(3)]
        whole = parts[0] & parts[1] & parts[2]
    return whole


@dataclasses.dataclass(frozen=True)
class Pooled:
    """An octree of half the resolution, and how the leaves of the two belong together.

    Attributes:
        octree: of S / 2 voxels along each axis; leaves keep their place, those of one voxel join eight at a time.
        children: (L', 8) int32, the leaves that make each pooled leaf; -1 for none.
        parents: (L, 1) int32, the pooled leaf of each leaf.
    """

    octree: Octree
    children: np.ndarray
    parents: np.ndarray


def pool_octree(octree: Octree) -> Pooled:
    """Halves the resolution, as the dense pooling of 2 x 2 x 2 voxels does."""
    edge = octree.leaf_index.shape[0]
    if edge % 2:
        raise ValueError(f"an octree of {edge} voxels along an axis cannot be halved")
    sizes = octree.sizes[octree.leaf_index[::2, ::2, ::2]]
    pooled = _octree_of_sizes(np.maximum(sizes // 2, 1), max(octree.largest // 2, 1))
    parents = pooled.leaf_index[tuple((octree.origins // 2).T)]
    order = np.argsort(parents, kind="stable")
    place = np.arange(len(parents)) - np.searchsorted(parents[order], parents[order])
    children = np.full((pooled.num_leaves, 8), -1, np.int32)
    children[parents[order], place] = order
    return Pooled(pooled, children, parents[:, None].astype(np.int32))


# -- What a convolution reads ---------------------------------------------------------------------------------------


def convolution_reads(octree: Octree, kernel_size: int = 3) -> tuple[np.ndarray, ...]:
    """The leaves that a convolution of `kernel_size`^3 taps reads for the leaves of each group.

    Returns:
        For each group (L_g, R_g) int32, -1 beyond the border of the volume. The taps of a leaf are `tap_means` of the
        group times the features of what it reads.
    """
    _check_kernel(kernel_size)
    margin = max(kernel_size // 2, octree.largest)
    padded = np.pad(octree.leaf_index, margin, constant_values=-1)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    firsts = np.split((octree.origins.astype(np.int64) + margin) @ strides, np.cumsum(octree.groups)[:-1])
    flat = padded.reshape(-1)
    reads = []
    for name, first in zip(group_names(octree.largest), firsts, strict=True):
        steps = _read_voxels(name, octree.largest, kernel_size) @ strides
        reads.append(flat[first[:, None] + steps])
    return tuple(reads)


@functools.lru_cache(maxsize=64)
def tap_means(name: str, largest: int, kernel_size: int) -> np.ndarray:
    """(T, R_g) float32: how the means over a leaf's shifted voxels are made of what a leaf of the group reads."""
    _check_kernel(kernel_size)
    reach = kernel_size // 2
    shifts = np.array([*np.ndindex((kernel_size,) * 3)]) - reach  # (T, 3)
    reads = _read_voxels(name, largest, kernel_size)
    size = largest if name == "plain" else int(name)
    if name == "plain":
        cells = reads // size  # (27, 3) in -1, 0, 1
        # Along an axis, a shift by t moves |t| of the leaf's voxels into the cell on that side.
        overlap = np.where(
            cells == 0,
            size - np.abs(shifts[:, None]),
            np.where(np.sign(shifts[:, None]) == cells, np.abs(shifts[:, None]), 0),
        )
        return (overlap.prod(axis=-1) / size**3).astype(np.float32)
    # The shell's voxels one by one, then the leaf itself; of a leaf of one voxel, these are the taps.
    voxels = np.array([*np.ndindex((size,) * 3)])
    column = {tuple(voxel): number for number, voxel in enumerate(reads.tolist())}
    own = column[(0, 0, 0)]
    means = np.zeros((len(shifts), len(reads)), np.float32)
    for tap, shift in enumerate(shifts):
        for voxel in (voxels + shift).tolist():
            means[tap, column.get(tuple(voxel), own)] += 1 / size**3
    return means


@functools.lru_cache(maxsize=64)
def _read_voxels(name: str, largest: int, kernel_size: int) -> np.ndarray:
    """(R_g, 3): a voxel of each leaf that is read, relative to the first one of the leaf that reads."""
    if name == "plain":
        return (np.array([*np.ndindex((3,) * 3)]) - 1) * largest
    size, reach = int(name), kernel_size // 2
    voxels = np.array([*np.ndindex((size + 2 * reach,) * 3)]) - reach
    if size == 1:
        return voxels
    inside = ((voxels >= 0) & (voxels < size)).all(axis=1)
    return np.concatenate([voxels[~inside], np.zeros((1, 3), int)])


def _check_kernel(kernel_size: int):
    # By more than 2 voxels, a shift of the smallest plain leaves would reach beyond their neighbours.
    if kernel_size not in KERNEL_SIZES:
        raise ValueError(f"kernel_size must be 1, 3 or 5. Received: kernel_size={kernel_size}")
