"""Volumes as grids of shallow octrees: one feature for a leaf of 8^3, 4^3, 2^3 or 1 voxels.

Riegler, Ulusoy and Geiger, "OctNet: Learning Deep 3D Representations at High Resolutions", 2017. An octree stands for
the volume that is constant in each leaf, and every operation gives what the dense one gives on that volume, averaged
over each leaf. Here the structure is made on the host, as index arrays, and the operations on features are sums and
maxima over these: `tfdlcv.layers.OctreeConv` over edges, and `tfdlcv.layers.FlexPooling` over the children of a leaf
(pooling by 2) or over its parent (its inverse, which repeats features).

Shapes: S voxels along each axis, L leaves, E edges, B volumes, C channels, T taps of a filter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from keras import ops

from tfdlcv.ops import flex

LARGEST_LEAF = 8  # Riegler et al. 2017, section 3.1: trees of depth 3.


@dataclasses.dataclass(frozen=True)
class Octree:
    """Where the leaves of a volume are.

    Attributes:
        leaf_index: (S, S, S) int32, the leaf that each voxel lies in.
        sizes: (L,) int32, the edge of each leaf in voxels.
        origins: (L, 3) int32, the first voxel of each leaf.
    """

    leaf_index: np.ndarray
    sizes: np.ndarray
    origins: np.ndarray

    @property
    def num_leaves(self) -> int:
        """L."""
        return len(self.sizes)


def build_octree(volume: np.ndarray) -> Octree:
    """The octree with the largest leaves in each of which `volume` (S, S, S) is constant, S a multiple of 8.

    Give it the occupied voxels, or a surface: leaves are small where the values change.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3 or len(set(volume.shape)) != 1 or volume.shape[0] % LARGEST_LEAF or not volume.size:
        raise ValueError(f"volume must be a cube with edges of a multiple of 8 voxels. Received: shape={volume.shape}")
    sizes = np.ones(volume.shape, np.int32)
    for size in (2, 4, 8):
        blocks = volume.reshape([n for edge in volume.shape for n in (edge // size, size)])
        constant = blocks.min(axis=(1, 3, 5)) == blocks.max(axis=(1, 3, 5))
        sizes[np.repeat(np.repeat(np.repeat(constant, size, 0), size, 1), size, 2)] = size
    return _octree_of_sizes(sizes)


def _octree_of_sizes(sizes: np.ndarray) -> Octree:
    """From the size (S, S, S) of the leaf of each voxel."""
    edge = sizes.shape[0]
    voxels = np.stack(np.meshgrid(*[np.arange(edge, dtype=np.int32)] * 3, indexing="ij"), axis=-1)
    first = voxels // sizes[..., None] * sizes[..., None]
    codes, index = np.unique(np.ravel_multi_index(np.moveaxis(first, -1, 0), sizes.shape), return_inverse=True)
    origins = np.stack(np.unravel_index(codes, sizes.shape), axis=-1).astype(np.int32)
    return Octree(index.reshape(sizes.shape).astype(np.int32), sizes[tuple(origins.T)], origins)


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
    pooled = _octree_of_sizes(np.maximum(sizes // 2, 1))
    parents = pooled.leaf_index[tuple((octree.origins // 2).T)]
    order = np.argsort(parents, kind="stable")
    place = np.arange(len(parents)) - np.searchsorted(parents[order], parents[order])
    children = np.full((pooled.num_leaves, 8), -1, np.int32)
    children[parents[order], place] = order
    return Pooled(pooled, children, parents[:, None].astype(np.int32))


@dataclasses.dataclass(frozen=True)
class Edges:
    """What a convolution of an octree sums: for every leaf and tap, the mean of the volume at the shifted voxels.

    Attributes:
        sources: (E,) int32, the leaf that is read.
        slots: (E,) int32, the leaf that is written times T, plus the tap.
        weights: (E,) float32, which part of the written leaf reads there; over a leaf and tap they sum to 1, less at
            the border of the volume, beyond which there are zeros.
    """

    sources: np.ndarray
    slots: np.ndarray
    weights: np.ndarray


def convolution_edges(octree: Octree, kernel_size: int = 3) -> Edges:
    """For filters of `kernel_size`^3 taps, an odd number along each axis."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd. Received: kernel_size={kernel_size}")
    reach, edge = kernel_size // 2, octree.leaf_index.shape[0]
    padded = np.pad(octree.leaf_index, reach, constant_values=-1)
    leaves = np.arange(octree.num_leaves, dtype=np.int64)
    parts = []
    for tap, (x, y, z) in enumerate(np.ndindex((kernel_size,) * 3)):
        shifted = padded[x : x + edge, y : y + edge, z : z + edge]
        # Most voxels of a large leaf read the leaf itself; how many is known without looking.
        inside = np.prod([np.maximum(octree.sizes - abs(step - reach), 0) for step in (x, y, z)], axis=0)
        own = inside > 0
        others = (shifted != octree.leaf_index) & (shifted >= 0)
        pairs = octree.leaf_index[others].astype(np.int64) * octree.num_leaves + shifted[others]
        pairs, counts = np.unique(pairs, return_counts=True)
        targets = np.concatenate([leaves[own], pairs // octree.num_leaves])
        sources = np.concatenate([leaves[own], pairs % octree.num_leaves])
        counts = np.concatenate([inside[own], counts])
        parts.append((sources, targets * kernel_size**3 + tap, counts / octree.sizes[targets].astype(float) ** 3))
    sources, slots, weights = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(slots, kind="stable")
    return Edges(sources[order].astype(np.int32), slots[order].astype(np.int32), weights[order].astype(np.float32))


def stack_padded(arrays: Sequence[np.ndarray], length: int | None = None, *, fill: int = -1) -> np.ndarray:
    """Arrays of different first axes as one (B, length, ...): what is missing is `fill`; -1 is no leaf."""
    longest = max(len(array) for array in arrays)
    length = longest if length is None else length
    if longest > length:
        raise ValueError(f"length ({length}) must be at least that of the longest array ({longest})")
    stacked = np.full((len(arrays), length, *arrays[0].shape[1:]), fill, arrays[0].dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[: len(array)] = array
    return stacked


# -- Features -------------------------------------------------------------------------------------------------------


def octree_to_dense(features, leaf_index):
    """The volume (B, S, S, S, C) of leaf features (B, L, C), with leaf_index (B, S, S, S) int32."""
    clouds, edge = ops.shape(leaf_index)[:2]
    gathered = flex.gather_neighbors(features, ops.reshape(leaf_index, (clouds, edge**3, 1)))
    return ops.reshape(gathered, (clouds, edge, edge, edge, features.shape[-1]))


def dense_to_octree(volume, leaf_index, num_leaves: int):
    """The mean (B, L, C) of a volume (B, S, S, S, C) over each leaf; zeros for leaves that do not exist."""
    clouds, channels = ops.shape(volume)[0], volume.shape[-1]
    rows = ops.reshape(leaf_index, (clouds, -1)) + num_leaves * ops.expand_dims(ops.arange(clouds, dtype="int32"), 1)
    values = ops.reshape(volume, (-1, channels))
    values = ops.concatenate([values, ops.ones_like(values[:, :1])], axis=-1)
    summed = ops.segment_sum(values, ops.reshape(rows, (-1,)), num_segments=clouds * num_leaves)
    means = summed[:, :-1] / ops.maximum(summed[:, -1:], 1.0)
    return ops.reshape(means, (clouds, num_leaves, channels))


def gather_taps(features, sources, slots, weights, taps: int):
    """For every leaf and tap the weighted sum of what the edges read.

    Args:
        features: (B, L, C).
        sources: (B, E) int32.
        slots: (B, E) int32; a negative one is padding.
        weights: (B, E) float.
        taps: T.

    Returns:
        (B, L, T, C), of the dtype of the features.
    """
    clouds, leaves = ops.shape(features)[:2]
    channels = features.shape[-1]
    read = ops.squeeze(flex.gather_neighbors(features, ops.expand_dims(sources, -1)), 2)  # (B, E, C)
    real = ops.cast(slots >= 0, features.dtype)
    read = read * ops.expand_dims(ops.cast(weights, features.dtype) * real, -1)
    first = leaves * taps * ops.expand_dims(ops.arange(clouds, dtype="int32"), 1)
    rows = ops.reshape(ops.maximum(slots, 0) + first, (-1,))
    summed = ops.segment_sum(ops.reshape(read, (-1, channels)), rows, num_segments=clouds * leaves * taps)
    return ops.reshape(summed, (clouds, leaves, taps, channels))
