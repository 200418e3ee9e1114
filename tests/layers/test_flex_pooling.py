"""Pooling over neighbours: values and gradients by hand, padding, invariants, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import FlexPooling

FEATURES = np.array([[[1.0, -5.0], [2.0, -6.0], [4.0, -7.0]]], "float32")


def test_largest_of_each_channel_and_its_gradient_by_hand():
    neighbors = np.array([[[0, 1], [2, 0]]], "int32")
    features = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = FlexPooling()([features, neighbors])
        total = tf.reduce_sum(outputs * np.array([[[1.0, 10.0], [100.0, 1000.0]]], "float32"))
    np.testing.assert_array_equal(outputs, [[[2.0, -5.0], [4.0, -5.0]]])
    np.testing.assert_array_equal(tape.gradient(total, features), [[[0.0, 1010.0], [1.0, 0.0], [100.0, 0.0]]])


def test_padding_is_no_neighbor_and_a_point_without_any_gets_zeros():
    neighbors = np.array([[[-1, 1, -1], [-1, -1, -1], [0, 0, 0]]], "int32")
    features = tf.constant(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = FlexPooling()([features, neighbors])
    np.testing.assert_array_equal(outputs, [[[2.0, -6.0], [0.0, 0.0], [1.0, -5.0]]])
    np.testing.assert_allclose(tape.gradient(outputs, features), [[[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]], rtol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_graph_a_neighbor_that_does_not_exist_is_padding(jit_compile):
    """Point 3 of the first of two clouds of 3 is not point 0 of the second."""

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradient(features, neighbors):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = FlexPooling()([features, neighbors])
        return outputs, tape.gradient(outputs, features)

    features = tf.constant(np.concatenate([FEATURES, FEATURES + 100]))
    neighbors = tf.constant([[[3, 1], [4, 5]], [[0, 3], [-1, 2**31 - 1]]])
    outputs, gradient = outputs_and_gradient(features, neighbors)
    np.testing.assert_array_equal(outputs, [[[2.0, -6.0], [0.0, 0.0]], [[101.0, 95.0], [0.0, 0.0]]])
    np.testing.assert_array_equal(gradient, [[[0, 0], [1, 1], [0, 0]], [[1, 1], [0, 0], [0, 0]]])


def test_ties_share_the_gradient():
    features = tf.ones((1, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = FlexPooling()([features, np.array([[[0, 1]]], "int32")])
    np.testing.assert_array_equal(tape.gradient(outputs, features), [[[0.5], [0.5]]])


def test_itself_alone_changes_nothing_and_constants_stay():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 6, 3)).astype("float32")
    itself = np.tile(np.arange(6, dtype="int32")[None, :, None], (2, 1, 1))
    np.testing.assert_array_equal(FlexPooling()([features, itself]), features)
    neighbors = rng.integers(-1, 6, size=(2, 6, 4)).astype("int32")
    neighbors[:, :, 0] = 2
    constant = np.tile(features[:, :1], (1, 6, 1))
    np.testing.assert_array_equal(FlexPooling()([constant, neighbors]), constant)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_and_xla(policy):
    layer = FlexPooling(dtype=policy)
    tensors = [keras.Input((None, 2)), keras.Input((None, 2), dtype="int32")]
    model = keras.Model(tensors, layer(tensors))
    neighbors = np.array([[[0, 1], [-1, -1]]], "int32")
    for call in (model, tf.function(model, jit_compile=True)):
        outputs = call([FEATURES, neighbors])
        assert outputs.dtype == policy.removeprefix("mixed_")
        np.testing.assert_array_equal(tf.cast(outputs, "float32"), [[[2.0, -5.0], [0.0, 0.0]]])
    assert layer.compute_output_shape([(1, 3, 2), (1, 2, 2)]) == (1, 2, 2)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match=r"takes \[features, neighbors\]"):
        FlexPooling()(FEATURES)
    with pytest.raises(ValueError, match=r"neighbors must be less than the 3 points of features. .* 3 at \(0, 0, 1\)"):
        FlexPooling()([FEATURES, np.array([[[0, 3]]], "int32")])
    with pytest.raises(ValueError, match="the number of clouds. Received: features has 1, neighbors has 2"):
        FlexPooling()([FEATURES, np.zeros((2, 3, 2), "int32")])
    with pytest.raises(ValueError, match=r"features must have 3 axes. Received: shape=\(3, 2\)"):
        FlexPooling()([FEATURES[0], np.zeros((1, 3, 2), "int32")])
