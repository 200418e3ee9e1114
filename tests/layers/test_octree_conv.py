"""Convolution of octrees against the dense convolution: values, gradients, padding, precision, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import OctreeConv, OctreeToDense
from tfdlcv.ops import octree, octree_features

RNG = np.random.default_rng


def trees():
    """A volume with leaves of every group, and one that is split into voxels everywhere."""
    sparse = np.zeros((24, 24, 24), bool)
    sparse[[0, 6, 12, 13], [1, 7, 3, 3], [10, 0, 0, 7]] = True
    checkered = np.indices((8, 8, 8)).sum(axis=0) % 2
    return octree.build_octree(sparse), octree.build_octree(checkered)


def built(tree, features, kernel_size=3, **options):
    layer = OctreeConv(4, kernel_size=kernel_size, **options)
    inputs = [features, *(table[None] for table in octree.convolution_reads(tree, kernel_size))]
    layer(inputs)
    layer.set_weights([RNG(1).normal(size=weight.shape) for weight in layer.weights])
    return layer, inputs


def features_of(tree, channels=3):
    return RNG(2).normal(size=(1, tree.num_leaves, channels)).astype("float32")


def dense_layer(layer, channels):
    dense = keras.layers.Conv3D(
        layer.filters, layer.kernel_size, padding="same", activation=layer.activation, dtype=layer.dtype
    )
    dense.build((None, 16, 16, 16, channels))
    dense.set_weights(layer.get_weights())
    return dense


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_is_the_mean_over_leaves_of_the_dense_convolution(kernel_size):
    tree, _ = trees()
    assert min(tree.groups) > 0
    features = features_of(tree)
    layer, inputs = built(tree, features, kernel_size)
    index = tree.leaf_index[None]
    dense = dense_layer(layer, 3)(octree_features.octree_to_dense(features, index))
    expected = octree_features.dense_to_octree(dense, index, tree.num_leaves)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-3, atol=1e-4)
    assert layer.compute_output_shape([x.shape for x in inputs]) == expected.shape


@pytest.mark.parametrize("times", [1, 2, 3])
def test_on_pooled_octrees(times):
    tree, _ = trees()
    for _ in range(times):
        tree = octree.pool_octree(tree).octree
    features = features_of(tree)
    layer, inputs = built(tree, features)
    index = tree.leaf_index[None]
    dense = dense_layer(layer, 3)(octree_features.octree_to_dense(features, index))
    expected = octree_features.dense_to_octree(dense, index, tree.num_leaves)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-3, atol=1e-4)


def test_with_leaves_of_one_voxel_it_is_the_dense_convolution():
    _, tree = trees()
    assert tree.num_leaves == 512
    features = features_of(tree)
    layer, inputs = built(tree, features, activation="relu")
    index = tree.leaf_index[None]
    expected = dense_layer(layer, 3)(octree_features.octree_to_dense(features, index))
    np.testing.assert_allclose(OctreeToDense()([layer(inputs), index]), expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_dense_convolution():
    """In float64: a sum over all voxels loses digits that the comparison needs."""
    tree, _ = trees()
    features = tf.constant(features_of(tree).astype("float64"))
    layer, inputs = built(tree, features, dtype="float64")
    dense, index = dense_layer(layer, 3), tree.leaf_index[None]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        own = tf.reduce_sum(layer([features, *inputs[1:]]) ** 2)
        volume = dense(octree_features.octree_to_dense(features, index))
        other = tf.reduce_sum(octree_features.dense_to_octree(volume, index, tree.num_leaves) ** 2)
    own = tape.gradient(own, [features, *layer.trainable_variables])
    other = tape.gradient(other, [features, *dense.trainable_variables])
    for gradient, expected in zip(own, other, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(tf.convert_to_tensor(gradient) / scale, expected / scale, atol=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_graph_a_read_of_a_leaf_that_does_not_exist_is_of_zeros(jit_compile):
    """The leaf after the last of the first of two volumes is not the first of the second."""
    tree, _ = trees()
    layer, inputs = built(tree, features_of(tree))
    leaves = tree.num_leaves
    features = tf.constant(np.concatenate([inputs[0], 100 + inputs[0]]))

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradient(features, *reads):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer([features, *reads])
            total = tf.reduce_sum(outputs)
        return outputs, tape.gradient(total, features)

    found, expected = [], []
    for replacements, results in (((leaves, leaves + 2, 2**31 - 1), found), ((-1, -1, -1), expected)):
        reads = [np.tile(table, (2, 1, 1)) for table in inputs[1:]]
        for table in reads:
            table[0, 0, :3] = replacements
        results += outputs_and_gradient(features, *map(tf.constant, reads))
    for values, zeros in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, zeros, rtol=1e-5, atol=1e-4)


def test_compiled_mixed_and_reloaded(tmp_path):
    tree, _ = trees()
    features = features_of(tree)
    layer, inputs = built(tree, features)
    index = tree.leaf_index[None]
    tensors = [keras.Input((None, x.shape[2]), dtype=x.dtype) for x in inputs]
    places = keras.Input(index.shape[1:], dtype="int32")
    model = keras.Model([*tensors, places], OctreeToDense()([layer(tensors), places]))
    model.save(tmp_path / "model.keras")
    expected = np.asarray(layer(inputs))
    volume = expected[0][tree.leaf_index][None]
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    for call in (reloaded, tf.function(model, jit_compile=True)):
        np.testing.assert_allclose(call([*inputs, index]), volume, rtol=1e-4, atol=1e-4)
    mixed = OctreeConv(4, dtype="mixed_bfloat16")
    mixed(inputs)
    mixed.set_weights(layer.get_weights())
    outputs = mixed(inputs)
    assert outputs.dtype == "bfloat16"
    assert np.abs(tf.cast(outputs, "float32") - expected).max() < 0.03 * np.abs(expected).max()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="filters must be at least 1. Received: filters=0"):
        OctreeConv(0)
    with pytest.raises(ValueError, match="kernel_size must be 1, 3 or 5. Received: kernel_size=4"):
        OctreeConv(2, kernel_size=4)
    features, reads = np.zeros((1, 4, 3), "float32"), np.zeros((1, 4, 27), "int32")
    with pytest.raises(ValueError, match=r"takes \[features \(B, L, C\), reads \(B, L_g, R_g\)"):
        OctreeConv(2)([features, reads[0]])
    with pytest.raises(ValueError, match="1, 3, 4 or 5 of them. Received: 2"):
        OctreeConv(2)([features, reads, reads])
    with pytest.raises(ValueError, match="group 1 must read 125 leaves for kernel_size=5"):
        OctreeConv(2, kernel_size=5)([features, reads])
    with pytest.raises(ValueError, match="features has 4, reads has 3"):
        OctreeConv(2)([features, reads[:, :3]])
    reads[0, 2, 5] = 4
    with pytest.raises(ValueError, match=r"reads of group 1 must be less than the 4 leaves .* 4 at \(0, 2, 5\)"):
        OctreeConv(2)([features, reads])
    with pytest.raises(ValueError, match=r"leaf_index must be in 0..3. Received: 0..4"):
        OctreeToDense()([features, np.full((1, 2, 2, 2), [0, 4], "int32")])
    with pytest.raises(ValueError, match=r"leaf_index must be \(B, S, S, S\) with S known"):
        OctreeToDense()([features, reads])
