"""Convolution of octrees against the dense convolution: values, gradients, padding, precision, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import OctreeConv
from tfdlcv.ops import octree

RNG = np.random.default_rng


def trees():
    """Two volumes with leaves of all sizes, and one that is split into voxels everywhere."""
    volumes = RNG(0).uniform(size=(2, 16, 16, 16)) < 0.002
    checkered = np.indices((8, 8, 8)).sum(axis=0) % 2
    return [octree.build_octree(volume) for volume in volumes], octree.build_octree(checkered)


def edges_of(group, kernel_size=3):
    """-> [sources, slots, weights], padded to the longest and three more."""
    edges = [octree.convolution_edges(tree, kernel_size) for tree in group]
    length = max(len(e.slots) for e in edges) + 3
    return [octree.stack_padded([getattr(e, name) for e in edges], length) for name in ("sources", "slots", "weights")]


def dense_layer(layer, channels):
    dense = keras.layers.Conv3D(layer.filters, layer.kernel_size, padding="same", activation=layer.activation)
    dense.build((None, 16, 16, 16, channels))
    dense.set_weights(layer.get_weights())
    return dense


def built(group, features, kernel_size=3):
    layer = OctreeConv(4, kernel_size=kernel_size)
    inputs = [features, *edges_of(group, kernel_size)]
    layer(inputs)
    layer.set_weights([RNG(1).normal(size=weight.shape) for weight in layer.weights])
    return layer, inputs


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_is_the_mean_over_leaves_of_the_dense_convolution(kernel_size):
    group, _ = trees()
    most = max(tree.num_leaves for tree in group)
    features = RNG(2).normal(size=(2, most, 3)).astype("float32")
    layer, inputs = built(group, features, kernel_size)
    index = np.stack([tree.leaf_index for tree in group])
    dense = dense_layer(layer, 3)(octree.octree_to_dense(features, index))
    expected = np.array(octree.dense_to_octree(dense, index, most))
    for row, tree in zip(expected, group, strict=True):
        row[tree.num_leaves :] = layer.bias
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-3, atol=1e-4)
    assert layer.compute_output_shape([x.shape for x in inputs]) == expected.shape


def test_with_leaves_of_one_voxel_it_is_the_dense_convolution():
    _, tree = trees()
    assert tree.num_leaves == 512
    features = RNG(2).normal(size=(1, 512, 3)).astype("float32")
    layer, inputs = built([tree], features)
    index = tree.leaf_index[None]
    expected = dense_layer(layer, 3)(octree.octree_to_dense(features, index))
    np.testing.assert_allclose(octree.octree_to_dense(layer(inputs), index), expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_dense_convolution():
    group, _ = trees()
    group = group[:1]
    features = tf.constant(RNG(2).normal(size=(1, group[0].num_leaves, 3)).astype("float32"))
    layer, inputs = built(group, features)
    dense, index = dense_layer(layer, 3), group[0].leaf_index[None]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        own = tf.reduce_sum(layer([features, *inputs[1:]]) ** 2)
        volume = dense(octree.octree_to_dense(features, index))
        other = tf.reduce_sum(octree.dense_to_octree(volume, index, group[0].num_leaves) ** 2)
    own = tape.gradient(own, [features, *layer.trainable_variables])
    other = tape.gradient(other, [features, *dense.trainable_variables])
    for gradient, expected in zip(own, other, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient / scale, expected / scale, atol=1e-5)


def test_compiled_mixed_and_reloaded(tmp_path):
    group, _ = trees()
    features = RNG(2).normal(size=(2, max(tree.num_leaves for tree in group), 3)).astype("float32")
    layer, inputs = built(group, features)
    tensors = [keras.Input(x.shape[1:], dtype=x.dtype) for x in inputs]
    model = keras.Model(tensors, layer(tensors))
    model.save(tmp_path / "model.keras")
    expected = np.asarray(layer(inputs))
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    for call in (reloaded, tf.function(model, jit_compile=True)):
        np.testing.assert_allclose(call(inputs), expected, rtol=1e-4, atol=1e-4)
    mixed = OctreeConv(4, dtype="mixed_bfloat16")
    mixed(inputs)
    mixed.set_weights(layer.get_weights())
    outputs = mixed(inputs)
    assert outputs.dtype == "bfloat16"
    assert np.abs(tf.cast(outputs, "float32") - expected).max() < 0.03 * np.abs(expected).max()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="filters must be at least 1. Received: filters=0"):
        OctreeConv(0)
    with pytest.raises(ValueError, match="kernel_size must be odd. Received: kernel_size=4"):
        OctreeConv(2, kernel_size=4)
    features, edges = np.zeros((1, 4, 3), "float32"), np.zeros((1, 9), "int32")
    with pytest.raises(ValueError, match=r"takes \[features \(B, L, C\), sources \(B, E\)"):
        OctreeConv(2)([features, edges, edges])
    with pytest.raises(ValueError, match="sources has 9, slots has 8, weights has 9"):
        OctreeConv(2)([features, edges, edges[:, :8], edges.astype("float32")])
