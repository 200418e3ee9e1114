"""Features of octree leaves against dense volumes: there and back, means over leaves, in compiled graphs."""

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.test_octree import ball
from tfdlcv.ops import octree, octree_features


def test_to_dense_and_back_changes_nothing():
    trees = [octree.build_octree(ball(radius=radius)) for radius in (2.0, 3.3)]
    most = max(tree.num_leaves for tree in trees)
    index = np.stack([tree.leaf_index for tree in trees])
    features = np.random.default_rng(0).normal(size=(2, most, 3)).astype("float32")
    for row, tree in zip(features, trees, strict=True):
        row[tree.num_leaves :] = 0
    dense = octree_features.octree_to_dense(features, index)
    np.testing.assert_array_equal(dense[1], features[1][trees[1].leaf_index])
    np.testing.assert_allclose(octree_features.dense_to_octree(dense, index, most), features, rtol=1e-5, atol=1e-6)


def test_means_over_leaves():
    tree = octree.build_octree(ball())
    volume = np.random.default_rng(0).normal(size=(1, 16, 16, 16, 2)).astype("float32")
    means = octree_features.dense_to_octree(volume, tree.leaf_index[None], tree.num_leaves)
    expected = [volume[0][tree.leaf_index == leaf].mean(axis=0) for leaf in range(tree.num_leaves)]
    np.testing.assert_allclose(means[0], expected, rtol=1e-4, atol=1e-5)


def test_in_a_compiled_graph():
    tree = octree.build_octree(ball())
    features = np.random.default_rng(0).normal(size=(1, tree.num_leaves, 2)).astype("float32")
    index = tree.leaf_index[None]

    @tf.function(jit_compile=True)
    def there_and_back(features):
        return octree_features.dense_to_octree(octree_features.octree_to_dense(features, index), index, tree.num_leaves)

    np.testing.assert_allclose(there_and_back(features), features, rtol=1e-4, atol=1e-5)


def test_the_largest_leaf_of_so_many_groups():
    assert [octree_features.largest_leaf(count) for count in (1, 3, 4, 5)] == [1, 2, 4, 8]
    with pytest.raises(ValueError, match="1, 3, 4 or 5 of them. Received: 2"):
        octree_features.largest_leaf(2)
