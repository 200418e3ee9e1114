"""Octrees against dense volumes: structure, pooling and its inverse, what convolutions read, errors."""

import keras
import numpy as np
import pytest

from tfdlcv.layers import FlexPooling
from tfdlcv.ops import octree, octree_features


def ball(edge=16, radius=3.3):
    """(S, S, S) bool: whether a voxel lies in a ball that is not in the middle."""
    voxels = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1)
    return np.linalg.norm(voxels - [3.5, 4.0, 4.5], axis=-1) < radius


def test_leaves_are_as_large_as_they_can_be():
    volume = np.zeros((16, 16, 16))
    volume[0, 0, 0] = 1
    tree = octree.build_octree(volume)
    # Of the tree of 8^3 voxels with the one: 7 leaves of 4^3, 7 of 2^3 and 8 of 1; the 7 other trees are one leaf each.
    assert np.bincount(tree.sizes, minlength=9).tolist() == [0, 8, 7, 0, 7, 0, 0, 0, 7]
    assert tree.num_leaves == 29
    assert tree.leaf_index[8, 0, 0] == tree.leaf_index[15, 7, 7]
    assert tree.leaf_index[0, 0, 0] != tree.leaf_index[0, 0, 1]


def test_leaves_are_aligned_constant_and_cover_every_voxel_once():
    volume = ball()
    volume[15, 15, 15] = True  # Leaves of 4^3 around it.
    tree = octree.build_octree(volume)
    assert np.sum(tree.sizes.astype(int) ** 3) == 16**3
    assert (tree.origins % tree.sizes[:, None] == 0).all()
    for leaf, (size, (x, y, z)) in enumerate(zip(tree.sizes, tree.origins, strict=True)):
        block = (slice(x, x + size), slice(y, y + size), slice(z, z + size))
        assert (tree.leaf_index[block] == leaf).all()
        assert len(np.unique(volume[block])) == 1
    assert set(tree.sizes) == {1, 2, 4, 8}


@pytest.mark.parametrize("times", [1, 3])
def test_pooling_is_the_dense_pooling_and_its_inverse_the_dense_repetition(times):
    tree = octree.build_octree(ball())
    features = np.random.default_rng(0).normal(size=(1, tree.num_leaves, 2)).astype("float32")
    dense = octree_features.octree_to_dense(features, tree.leaf_index[None])
    for _ in range(times):
        pooled = octree.pool_octree(tree)
        features = FlexPooling()([features, pooled.children[None]])
        dense = keras.layers.MaxPooling3D(2)(dense)
        np.testing.assert_array_equal(octree_features.octree_to_dense(features, pooled.octree.leaf_index[None]), dense)
        back = FlexPooling()([features, pooled.parents[None]])
        repeated = keras.layers.UpSampling3D(2)(dense)
        np.testing.assert_array_equal(octree_features.octree_to_dense(back, tree.leaf_index[None]), repeated)
        tree = pooled.octree


def test_groups_stand_in_order_and_plain_leaves_have_whole_neighbors():
    tree = octree.build_octree(ball(32, 3.3))
    assert octree.group_names(8) == ("1", "2", "4", "8", "plain") and octree.group_names(1) == ("1",)
    ends = np.cumsum(tree.groups)
    for size, (first, last) in zip((1, 2, 4, 8, 8), zip([0, *ends[:-1]], ends, strict=True), strict=True):
        assert (tree.sizes[first:last] == size).all()
    # The ball is in the tree of 8^3 in a corner; the 7 that touch it read its voxels, the 56 others whole trees alone.
    assert tree.groups[3:] == (7, 56)
    whole = octree.build_octree(np.zeros((16, 16, 16)))
    assert whole.groups == (0, 0, 0, 0, 8)
    assert octree.pool_octree(whole).octree.groups == (0, 0, 0, 8) and octree.pool_octree(whole).octree.largest == 4


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_what_leaves_read_makes_the_means_over_their_shifted_voxels(kernel_size):
    volume = ball(24)
    volume[23, 23, 23] = True
    tree = octree.build_octree(volume)
    numbers = np.random.default_rng(0).normal(size=tree.num_leaves + 1)
    numbers[-1] = 0  # Beyond the border.
    reach = kernel_size // 2
    dense = np.pad(numbers[tree.leaf_index], reach)
    taps = np.empty((tree.num_leaves, kernel_size**3))
    for tap, (x, y, z) in enumerate(np.ndindex((kernel_size,) * 3)):
        shifted = dense[x : x + 24, y : y + 24, z : z + 24]
        taps[:, tap] = np.bincount(tree.leaf_index.ravel(), shifted.ravel()) / tree.sizes.astype(float) ** 3
    reads = octree.convolution_reads(tree, kernel_size)
    assert [len(table) for table in reads] == list(tree.groups) and min(tree.groups) > 0
    found = [
        numbers[table] @ octree.tap_means(name, 8, kernel_size).T
        for name, table in zip(octree.group_names(8), reads, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(found), taps, rtol=1e-5, atol=1e-6)


def test_means_are_shares():
    for largest in (1, 2, 4, 8):
        for name in octree.group_names(largest):
            means = octree.tap_means(name, largest, 3)
            np.testing.assert_allclose(means.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(octree.tap_means("1", 8, 3), np.eye(27))
    assert octree.tap_means("2", 8, 3).shape == (27, 4**3 - 2**3 + 1)
    # A shift of one voxel along each axis leaves 7^3 of 8^3 voxels inside, and one in the cell across the corner.
    assert octree.tap_means("plain", 8, 3)[0, [0, 13]].tolist() == [1 / 512, 343 / 512]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"multiple of 8 voxels. Received: shape=\(12, 12, 12\)"):
        octree.build_octree(np.zeros((12, 12, 12)))
    with pytest.raises(ValueError, match=r"must be a cube .* shape=\(8, 8, 16\)"):
        octree.build_octree(np.zeros((8, 8, 16)))
    with pytest.raises(ValueError, match="kernel_size must be 1, 3 or 5. Received: kernel_size=2"):
        octree.convolution_reads(octree.build_octree(np.zeros((8, 8, 8))), 2)
    tree = octree.build_octree(np.zeros((8, 8, 8)))
    for _ in range(3):
        tree = octree.pool_octree(tree).octree
    with pytest.raises(ValueError, match="an octree of 1 voxels along an axis cannot be halved"):
        octree.pool_octree(tree)
