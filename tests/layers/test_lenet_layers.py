"""LeNet-5's own layers against plain convolutions, sums and distances."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import NegativeSquaredDistances, PartialConv2D, TrainedSubsampling2D


def test_a_partial_convolution_is_a_full_one_with_zeros():
    connections = [[0, 2], [1], [0, 1, 2]]
    layer = PartialConv2D(connections, 3)
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    layer.build(x.shape)
    layer.kernel.assign(np.random.default_rng(1).normal(size=(3, 3, 6)))
    layer.bias.assign([0.1, 0.2, 0.3])
    full = np.zeros((3, 3, 3, 3), "float32")
    places = [(source, output) for output, maps in enumerate(connections) for source in maps]
    for index, (source, output) in enumerate(places):
        full[:, :, source, output] = np.asarray(layer.kernel)[:, :, index]
    expected = tf.nn.conv2d(x, full, 1, "VALID") + np.array([0.1, 0.2, 0.3], "float32")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, 6, 5, 3)) == (None, 4, 3, 3)
    assert layer.count_params() == 9 * 6 + 3


def test_every_weight_of_a_partial_convolution_has_a_gradient():
    layer = PartialConv2D([[1], [0, 1]], 2)
    x = np.random.default_rng(0).normal(size=(1, 3, 3, 2)).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradient = tape.gradient(loss, layer.kernel.value)
    assert np.all(np.asarray(gradient) != 0)


def test_its_first_kernel_is_the_initializers_where_it_is_connected():
    full = np.array([[[[1, 2], [3, 4]]]], "float32")
    layer = PartialConv2D([[1], [0]], 1, kernel_initializer=lambda shape, dtype=None: tf.constant(full))
    layer.build((None, 3, 3, 2))
    np.testing.assert_array_equal(np.asarray(layer.kernel).ravel(), [3, 2])  # From 1 to 0, from 0 to 1.


@pytest.mark.parametrize(
    ("connections", "message"),
    [([], "at least one input map each"), ([[0], []], "at least one"), ([[-1]], r"Received: connections=\[\[-1\]\]")],
)
def test_wrong_connections(connections, message):
    with pytest.raises(ValueError, match=message):
        PartialConv2D(connections, 3)


def test_wrong_sizes():
    with pytest.raises(ValueError, match="kernel_size must be at least 1. Received: kernel_size=0"):
        PartialConv2D([[0]], 0)
    with pytest.raises(ValueError, match="name input map 3, but the inputs have 3 maps"):
        PartialConv2D([[3]], 3)(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"the axes \(classes, features\). Received: shape=\(2,\)"):
        NegativeSquaredDistances([1.0, 2.0])
    with pytest.raises(ValueError, match=r"must have 3 features. Received: shape=\(1, 2\)"):
        NegativeSquaredDistances([[1.0, 2.0, 3.0]])(np.zeros((1, 2)))


def test_trained_subsampling_starts_as_the_average():
    layer = TrainedSubsampling2D()
    x = np.arange(32, dtype="float32").reshape((1, 4, 4, 2))
    np.testing.assert_allclose(layer(x), keras.layers.AveragePooling2D(2)(x))
    layer.coefficient.assign([0.5, 2.0])
    layer.bias.assign([1.0, -1.0])
    sums = x.reshape((1, 2, 2, 2, 2, 2)).sum(axis=(2, 4))
    np.testing.assert_allclose(layer(x), sums * [0.5, 2.0] + [1.0, -1.0])
    assert layer.compute_output_shape((None, 5, None, 2)) == (None, 2, None, 2)


def test_negative_squared_distances_by_hand():
    layer = NegativeSquaredDistances([[1.0, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(layer(np.array([[1.0, 0.0]])), [[-1.0, -5.0]])
    assert not layer.weights
