import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import Maxout


def test_two_pieces_make_the_absolute_value_and_relu():
    layer = Maxout(2)
    layer.build((None, 1))
    layer.kernel.assign([[1.0, -1.0, 1.0, 0.0]])
    x = np.array([[-2.0], [3.0]], "float32")
    np.testing.assert_array_equal(layer(x), [[2.0, 0.0], [3.0, 3.0]])


def test_agrees_with_dense_layers_and_takes_any_rank():
    layer = Maxout(3, pieces=4, bias_initializer="random_normal")
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    y = layer(x)
    affine = x @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(y, affine.reshape(2, 5, 3, 4).max(-1), rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 5, 6)) == (None, 5, 3)


def test_gradient_reaches_the_winning_piece_alone():
    layer = Maxout(1)
    layer.build((None, 1))
    layer.kernel.assign([[1.0, -1.0]])
    with tf.GradientTape() as tape:
        y = layer(np.array([[2.0]], "float32"))
    np.testing.assert_array_equal(tape.gradient(y, layer.kernel.value), [[2.0, 0.0]])


def test_xor_is_within_its_reach():
    layer = Maxout(1)
    layer.build((None, 2))
    layer.kernel.assign([[1.0, -1.0], [-1.0, 1.0]])  # |a - b|
    np.testing.assert_array_equal(layer(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"))[:, 0], [0, 1, 1, 0])


def test_functional_use():
    image = keras.Input((4,))
    assert keras.Model(image, Maxout(3)(image)).output_shape == (None, 3)


@pytest.mark.parametrize("arguments", [{"units": 0}, {"units": 2, "pieces": 0}])
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="must be at least 1"):
        Maxout(**arguments)
