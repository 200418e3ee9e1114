"""Octrees against dense volumes: structure, pooling and its inverse, means over leaves, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import FlexPooling
from tfdlcv.ops import octree


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


def test_to_dense_and_back_changes_nothing():
    trees = [octree.build_octree(ball(radius=radius)) for radius in (2.0, 3.3)]
    most = max(tree.num_leaves for tree in trees)
    index = np.stack([tree.leaf_index for tree in trees])
    features = np.random.default_rng(0).normal(size=(2, most, 3)).astype("float32")
    for row, tree in zip(features, trees, strict=True):
        row[tree.num_leaves :] = 0
    dense = octree.octree_to_dense(features, index)
    np.testing.assert_array_equal(dense[1], features[1][trees[1].leaf_index])
    np.testing.assert_allclose(octree.dense_to_octree(dense, index, most), features, rtol=1e-5, atol=1e-6)


def test_means_over_leaves():
    tree = octree.build_octree(ball())
    volume = np.random.default_rng(0).normal(size=(1, 16, 16, 16, 2)).astype("float32")
    means = octree.dense_to_octree(volume, tree.leaf_index[None], tree.num_leaves)
    expected = [volume[0][tree.leaf_index == leaf].mean(axis=0) for leaf in range(tree.num_leaves)]
    np.testing.assert_allclose(means[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("times", [1, 3])
def test_pooling_is_the_dense_pooling_and_its_inverse_the_dense_repetition(times):
    tree = octree.build_octree(ball())
    features = np.random.default_rng(0).normal(size=(1, tree.num_leaves, 2)).astype("float32")
    dense = octree.octree_to_dense(features, tree.leaf_index[None])
    for _ in range(times):
        pooled = octree.pool_octree(tree)
        features = FlexPooling()([features, pooled.children[None]])
        dense = keras.layers.MaxPooling3D(2)(dense)
        np.testing.assert_array_equal(octree.octree_to_dense(features, pooled.octree.leaf_index[None]), dense)
        back = FlexPooling()([features, pooled.parents[None]])
        repeated = keras.layers.UpSampling3D(2)(dense)
        np.testing.assert_array_equal(octree.octree_to_dense(back, tree.leaf_index[None]), repeated)
        tree = pooled.octree


def test_edges_are_shares_of_a_leaf():
    tree = octree.build_octree(ball())
    edges = octree.convolution_edges(tree)
    sums = np.bincount(edges.slots, weights=edges.weights, minlength=27 * tree.num_leaves).reshape(-1, 27)
    inner = ((tree.origins > 0) & (tree.origins + tree.sizes[:, None] < 16)).all(axis=1)
    np.testing.assert_allclose(sums[inner], 1, rtol=1e-6)
    np.testing.assert_allclose(sums[:, 13], 1, rtol=1e-6)  # The middle tap reads the leaf itself.
    corner = np.flatnonzero((tree.origins == 0).all(axis=1))[0]
    assert sums[corner, 0] == pytest.approx((1 - 1 / tree.sizes[corner]) ** 3)


def test_stack_padded():
    stacked = octree.stack_padded([np.array([1, 2]), np.array([3])], 4)
    np.testing.assert_array_equal(stacked, [[1, 2, -1, -1], [3, -1, -1, -1]])
    assert octree.stack_padded([np.zeros((2, 8)), np.zeros((5, 8))]).shape == (2, 5, 8)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"multiple of 8 voxels. Received: shape=\(12, 12, 12\)"):
        octree.build_octree(np.zeros((12, 12, 12)))
    with pytest.raises(ValueError, match=r"must be a cube .* shape=\(8, 8, 16\)"):
        octree.build_octree(np.zeros((8, 8, 16)))
    with pytest.raises(ValueError, match="kernel_size must be odd. Received: kernel_size=2"):
        octree.convolution_edges(octree.build_octree(np.zeros((8, 8, 8))), 2)
    with pytest.raises(ValueError, match=r"length \(1\) must be at least that of the longest array \(2\)"):
        octree.stack_padded([np.zeros(2)], 1)
    tree = octree.build_octree(np.zeros((8, 8, 8)))
    for _ in range(3):
        tree = octree.pool_octree(tree).octree
    with pytest.raises(ValueError, match="an octree of 1 voxels along an axis cannot be halved"):
        octree.pool_octree(tree)


def test_in_a_compiled_graph():
    tree = octree.build_octree(ball())
    features = np.random.default_rng(0).normal(size=(1, tree.num_leaves, 2)).astype("float32")
    index = tree.leaf_index[None]

    @tf.function(jit_compile=True)
    def there_and_back(features):
        return octree.dense_to_octree(octree.octree_to_dense(features, index), index, tree.num_leaves)

    np.testing.assert_allclose(there_and_back(features), features, rtol=1e-4, atol=1e-5)
