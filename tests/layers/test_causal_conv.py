"""Causal convolutions against a loop, Keras's own layer, and the arrow of time."""

import keras
import numpy as np
import pytest

from tfdlcv.layers import CausalConv1D, CausalConv3D


def noise(*shape):
    return np.random.RandomState(0).randn(*shape).astype("float32")


@pytest.mark.parametrize("dilation", [1, 2, 5])
def test_equals_the_formula_of_the_lecture(dilation):
    """F(s) = sum_i f(i) x_(s - d i), where f(0) is the last tap of the kernel."""
    layer, x = CausalConv1D(3, 4, dilation_rate=dilation), noise(2, 11, 2)
    outputs = np.asarray(layer(x))
    kernel = layer.kernel.numpy()[::-1]
    for step in range(11):
        taps = [(i, step - dilation * i) for i in range(4) if step - dilation * i >= 0]
        expected = sum(x[:, past] @ kernel[i] for i, past in taps)
        np.testing.assert_allclose(outputs[:, step], expected, rtol=1e-4, atol=1e-5)


def test_equals_keras():
    layer, x = CausalConv1D(3, 4, dilation_rate=2, activation="tanh"), noise(2, 11, 2)
    outputs = layer(x)
    keras_layer = keras.layers.Conv1D(3, 4, dilation_rate=2, padding="causal", activation="tanh")
    keras_layer.build(x.shape)
    keras_layer.set_weights(layer.get_weights())
    np.testing.assert_allclose(outputs, keras_layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kernel_size, strides", [(1, 2), (2, 3), (4, 2), (2, 5)])
@pytest.mark.parametrize("known", [True, False])
def test_strides_keep_the_last_step(steps, kernel_size, strides, known):
    dense, x = CausalConv1D(3, kernel_size), noise(2, steps, 2)
    expected = np.asarray(dense(x))[:, ::-1][:, ::strides][:, ::-1]
    strided = CausalConv1D(3, kernel_size, strides=strides)
    inputs = keras.Input((steps if known else None, 2))
    model = keras.Model(inputs, strided(inputs))
    strided.set_weights(dense.get_weights())
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
    assert strided.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize("time_padding", ["zeros", "first"])
def test_a_later_frame_changes_no_earlier_output(time_padding):
    layer = CausalConv3D(3, (3, 3, 3), dilation_rate=(2, 1, 1), time_padding=time_padding)
    x = noise(1, 9, 5, 4, 2)
    changed = x.copy()
    changed[:, 6:] += 1.0
    before, after = np.asarray(layer(x)), np.asarray(layer(changed))
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any()
    assert before.shape == (1, 9, 5, 4, 3) == layer.compute_output_shape(x.shape)


def test_a_video_that_stands_still_stays_still_with_the_first_frame_as_padding():
    video = np.repeat(noise(1, 1, 6, 6, 2), 8, axis=1)
    still = np.asarray(CausalConv3D(4, 3, time_padding="first")(video))
    np.testing.assert_allclose(still, np.repeat(still[:, -1:], 8, axis=1), atol=1e-5)
    zeros = np.asarray(CausalConv3D(4, 3)(video))
    assert np.abs(zeros - zeros[:, -1:]).max() > 0.1


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, (1, 2, 2)])
def test_one_frame_is_keras_conv3d(padding, strides):
    """In rows and columns, padding is that of Keras."""
    layer, x = CausalConv3D(3, (1, 3, 2), padding=padding, strides=strides), noise(2, 4, 7, 6, 2)
    outputs = layer(x)
    keras_layer = keras.layers.Conv3D(3, (1, 3, 2), padding=padding, strides=strides)
    keras_layer.build(x.shape)
    keras_layer.set_weights(layer.get_weights())
    np.testing.assert_allclose(outputs, keras_layer(x), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == tuple(outputs.shape)


def test_strides_in_time_keep_the_last_frame():
    layer, x = CausalConv3D(3, (3, 1, 1)), noise(1, 6, 3, 3, 2)
    expected = np.asarray(layer(x))[:, 1::2]
    strided = CausalConv3D(3, (3, 1, 1), strides=(2, 1, 1))
    strided.build(x.shape)
    strided.set_weights(layer.get_weights())
    np.testing.assert_allclose(strided(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size must be 1 integer.* at least 1. Received: kernel_size=0"),
        ({"kernel_size": 2, "dilation_rate": 0}, "dilation_rate=0"),
        ({"kernel_size": 2, "dilation_rate": 2, "strides": 3}, "strides=3, dilation_rate=2"),
        ({"kernel_size": 2, "filters": 0}, "filters=0"),
        ({"kernel_size": 2.5}, "kernel_size=2.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CausalConv1D(**{"filters": 3, **arguments})


def test_bad_shapes():
    with pytest.raises(ValueError, match="at least 1 step. Received: input shape \\(2, 0, 3\\)"):
        CausalConv1D(3, 2)(np.zeros((2, 0, 3), "float32"))
    with pytest.raises(ValueError, match="at least 1 step. Received: input shape \\(1, 0, 4, 4, 1\\)"):
        CausalConv3D(3, 2)(np.zeros((1, 0, 4, 4, 1), "float32"))
    with pytest.raises(ValueError, match="at least 3 rows and 5 columns.* input shape \\(1, 2, 3, 4, 1\\)"):
        CausalConv3D(3, (1, 3, 5), padding="valid")(np.zeros((1, 2, 3, 4, 1), "float32"))
    with pytest.raises(ValueError, match="3 integer.*kernel_size=\\(2, 2\\)"):
        CausalConv3D(3, (2, 2))
    with pytest.raises(ValueError, match="time_padding='last'"):
        CausalConv3D(3, 2, time_padding="last")
