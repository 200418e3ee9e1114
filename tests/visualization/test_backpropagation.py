"""The lectures' worked examples of backpropagation, by `tfdlcv.visualization.gradients` and by Keras."""

import keras
import numpy as np
import pytest
from keras import ops

from tfdlcv.visualization.gradients import gradient


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def test_every_partial_derivative_of_xy_plus_sin_of_x_squared_at_4_and_3():
    """Lecture 1: f = t4, t4 = t1 + t3, t3 = sin(t2), t2 = x², t1 = xy."""
    x, y = tensor(4.0), tensor(3.0)
    t1, t2 = x * y, ops.square(x)
    t3 = ops.sin(t2)
    cosine = -0.95765948032
    steps = {
        "t4": (lambda t: t, t1 + t3, 1.0),
        "t3": (lambda t: t1 + t, t3, 1.0),
        "t2": (lambda t: t1 + ops.sin(t), t2, cosine),
        "t1": (lambda t: t + t3, t1, 1.0),
        "y": (lambda t: x * t + ops.sin(ops.square(x)), y, 4.0),
        "x": (lambda t: t * y + ops.sin(ops.square(t)), x, 3 + 2 * 4 * cosine),
    }
    for name, (function, at, derivative) in steps.items():
        assert float(function(at)) == pytest.approx(12 + np.sin(16), abs=1e-5), name
        assert float(gradient(function, at)) == pytest.approx(derivative, abs=1e-5), name
    assert steps["x"][2] == pytest.approx(-4.66127584256)


def test_the_two_layer_update():
    """Lecture 2: inputs (2, 3), target 1, six weights without biases and activations, learning rate 0.05."""
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(2, use_bias=False)
    output = keras.layers.Dense(1, use_bias=False)
    network = keras.Model(inputs, output(hidden(inputs)))
    hidden.set_weights([np.array([[0.11, 0.12], [0.21, 0.08]])])  # w1 w3, w2 w4
    output.set_weights([np.array([[0.14], [0.15]])])  # w5, w6
    x, target = np.array([[2.0, 3.0]]), np.array([[1.0]])
    np.testing.assert_allclose(hidden(x), [[0.85, 0.48]], atol=1e-6)
    assert float(network(x)[0, 0]) == pytest.approx(0.191, abs=1e-6)
    # Half the squared error, whose derivative is the delta of the lecture: 0.191 - 1 = -0.809.
    network.compile(keras.optimizers.SGD(0.05), loss=lambda y, p: ops.square(p - y) / 2)
    network.train_on_batch(x, target)
    delta = -0.809
    np.testing.assert_allclose(output.get_weights()[0][:, 0], [0.14 - 0.05 * delta * 0.85, 0.15 - 0.05 * delta * 0.48])
    expected = np.array([[0.11, 0.12], [0.21, 0.08]]) - 0.05 * delta * np.outer([2, 3], [0.14, 0.15])
    np.testing.assert_allclose(hidden.get_weights()[0], expected, rtol=1e-5)
    np.testing.assert_allclose(output.get_weights()[0][:, 0], [0.17, 0.17], atol=0.005)  # As the lecture rounds them.
    np.testing.assert_allclose(hidden.get_weights()[0], [[0.12, 0.13], [0.23, 0.10]], atol=0.005)
    assert float(network(x)[0, 0]) == pytest.approx(0.26, abs=0.005)


def test_the_gradient_of_a_convolution_is_the_full_convolution_with_the_rotated_kernel():
    """Lecture 4: a kernel of 2 x 2 on 3 x 3 pixels, and dE/dX22 = dO11 F22 + dO12 F21 + dO21 F12 + dO22 F11."""
    kernel = np.array([[1.0, 2.0], [3.0, 5.0]])
    upstream = np.array([[7.0, 11.0], [13.0, 17.0]])

    def error(x):
        outputs = ops.conv(x, tensor(kernel[..., None, None]))
        return ops.sum(outputs * tensor(upstream[None, ..., None]))

    found = ops.convert_to_numpy(gradient(error, tensor(np.zeros((1, 3, 3, 1)))))[0, ..., 0]
    padded, rotated = np.pad(upstream, 1), np.rot90(kernel, 2)
    expected = [[(padded[i : i + 2, j : j + 2] * rotated).sum() for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(found, expected)
    assert found[1, 1] == 7 * 5 + 11 * 3 + 13 * 2 + 17 * 1
    assert found[0, 0] == 7 * 1 and found[2, 2] == 17 * 5


@pytest.mark.parametrize("channels, filters", [(1, 1), (3, 4)])
def test_the_same_for_any_channels_by_keras_layers(channels, filters):
    random = np.random.default_rng(0)
    layer = keras.layers.Conv2D(filters, 3, use_bias=False)
    x = tensor(random.normal(size=(2, 6, 5, channels)))
    upstream = random.normal(size=layer(x).shape).astype("float32")
    found = gradient(lambda v: ops.sum(layer(v) * upstream), x)
    rotated = np.rot90(layer.get_weights()[0], 2).transpose(0, 1, 3, 2)
    full = ops.conv(tensor(np.pad(upstream, ((0, 0), (2, 2), (2, 2), (0, 0)))), tensor(rotated))
    np.testing.assert_allclose(found, full, atol=1e-5)


def test_a_max_pool_sends_each_gradient_to_the_largest_value_of_its_window():
    x = np.array([[1, 2, 0, 3], [4, 0, 1, 1], [0, 5, 2, 1], [1, 1, 9, 8]], "float32")[None, ..., None]
    upstream = np.array([[10, 20], [30, 40]], "float32")[None, ..., None]
    pool = keras.layers.MaxPooling2D(2)
    found = ops.convert_to_numpy(gradient(lambda v: ops.sum(pool(v) * upstream), tensor(x)))[0, ..., 0]
    np.testing.assert_array_equal(found, [[0, 0, 0, 20], [10, 0, 0, 0], [0, 30, 0, 0], [0, 0, 40, 0]])


def test_where_windows_of_a_max_pool_overlap_their_gradients_add_up():
    x = np.array([1, 5, 2, 0, 3], "float32").reshape(1, 1, 5, 1)
    pool = keras.layers.MaxPooling2D((1, 3), strides=1)  # Windows 1 5 2, 5 2 0 and 2 0 3.
    upstream = np.array([1, 10, 100], "float32").reshape(1, 1, 3, 1)
    found = ops.convert_to_numpy(gradient(lambda v: ops.sum(pool(v) * upstream), tensor(x)))
    np.testing.assert_array_equal(found.ravel(), [0, 11, 0, 0, 100])


def test_what_is_not_connected_has_no_gradient():
    np.testing.assert_array_equal(gradient(lambda x: tensor([2.0]), tensor([1.0, 3.0])), [0, 0])
