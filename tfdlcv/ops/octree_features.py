"""Operations on the features of octree leaves; the structure is of `tfdlcv.ops.octree`.

Shapes: B volumes, S voxels along each axis, L leaves, L_g leaves of group g, R_g leaves that each of them reads,
C channels, F filters, T taps of a filter.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tfdlcv.ops import flex, octree


def octree_to_dense(features, leaf_index):
    """The volume (B, S, S, S, C) of leaf features (B, L, C), with leaf_index (B, S, S, S) int32."""
    clouds, edge = ops.shape(leaf_index)[0], leaf_index.shape[1]
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


def largest_leaf(tables: int) -> int:
    """The largest leaf of trees with so many groups.

    Raises:
        ValueError: no tree has.
    """
    for largest in (8, 4, 2, 1):
        if len(octree.group_names(largest)) == tables:
            return largest
    raise ValueError(f"reads must be a table for each group of an octree, 1, 3, 4 or 5 of them. Received: {tables}")


def convolution(features, reads: Sequence, kernel):
    """The mean over each leaf of the dense convolution, with zeros beyond the border.

    Its gradient is a convolution too. Of a leaf i, shifted by a tap, the share that lies in leaf j is, times the volume
    of i, the share of j, shifted back, that lies in i, times the volume of j. So the adjoint divides by the volume of
    each leaf, convolves with the flipped kernel and multiplies by the volume, with the same reads: nothing is
    scattered, and nothing but the features is kept for it.

    Args:
        features: (B, L, C).
        reads: of `tfdlcv.ops.octree.convolution_reads`, (B, L_g, R_g) int32 for each group; a leaf that does not
            exist, such as -1, has zeros.
        kernel: (k, k, k, C, F), of the dtype of the features.

    Returns:
        (B, L, F), of the dtype of the features.
    """

    @ops.custom_gradient
    def convolve(features, kernel):
        def gradient(*arguments, upstream=None):
            upstream = arguments[0] if upstream is None else upstream
            return _gradients(features, reads, kernel, upstream)

        return _convolve(features, reads, kernel), gradient

    return convolve(features, kernel)


def _convolve(features, reads, kernel):
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    # Group by group, so that the taps of all leaves, T times the features, are never put together.
    return ops.concatenate([ops.matmul(taps, matrix) for taps in _taps(features, reads, kernel.shape[0])], axis=1)


def _gradients(features, reads, kernel, upstream):
    """Of the features and the kernel, for that of the outputs (B, L, F)."""
    size, (channels, filters) = kernel.shape[0], kernel.shape[-2:]
    volumes = _volumes(reads, features.dtype)
    flipped = ops.transpose(ops.flip(kernel, axis=(0, 1, 2)), (0, 1, 2, 4, 3))
    of_features = volumes * _convolve(upstream / volumes, reads, flipped)
    of_kernel, first = ops.zeros((size**3 * channels, filters), features.dtype), 0
    for table, taps in zip(reads, _taps(features, reads, size), strict=True):
        last = first + ops.shape(table)[1]
        written = ops.reshape(upstream[:, first:last], (-1, filters))
        taps = ops.reshape(taps, (-1, size**3 * channels))
        of_kernel = of_kernel + ops.matmul(ops.transpose(taps), written)
        first = last
    return of_features, ops.reshape(of_kernel, kernel.shape)


def _taps(features, reads, size: int):
    """For each group (B, L_g, T C): the mean features over each leaf, shifted by each tap."""
    clouds, leaves = ops.shape(features)[:2]
    channels, largest = features.shape[-1], largest_leaf(len(reads))
    # A row of zeros after the leaves of each volume stands for what is beyond the border.
    rows = ops.reshape(ops.pad(features, ((0, 0), (0, 1), (0, 0))), (-1, channels))
    first = (leaves + 1) * ops.reshape(ops.arange(clouds, dtype="int32"), (-1, 1, 1))
    for name, table in zip(octree.group_names(largest), reads, strict=True):
        existing = ops.where(flex.existing(table, leaves), table, leaves)
        taps = ops.take(rows, existing + first, axis=0)  # (B, L_g, R_g, C)
        if name != "1":
            means = ops.convert_to_tensor(octree.tap_means(name, largest, size), dtype=features.dtype)
            taps = ops.matmul(means, taps)  # (B, L_g, T, C)
        yield ops.reshape(taps, (clouds, ops.shape(table)[1], size**3 * channels))


def _volumes(reads, dtype):
    """(L, 1): how many voxels each leaf has."""
    largest = largest_leaf(len(reads))
    sizes = [largest if name == "plain" else int(name) for name in octree.group_names(largest)]
    parts = [ops.full((ops.shape(table)[1], 1), size**3, dtype) for table, size in zip(reads, sizes, strict=True)]
    return ops.concatenate(parts, axis=0)
