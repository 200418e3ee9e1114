import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import LocalResponseNormalization


def test_hand_computed():
    x = np.array([[1.0, 2.0, 3.0, 4.0]], "float32")
    sums = np.array([1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16])
    layer = LocalResponseNormalization(3, bias=1.0, alpha=0.5, beta=1.0)
    np.testing.assert_allclose(layer(x), x / (1 + 0.5 * sums), rtol=1e-6)


def test_defaults_are_those_of_the_paper_and_agree_with_tensorflow():
    x = np.random.default_rng(0).normal(0, 50, (2, 3, 4, 9)).astype("float32")
    expected = tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-5)


def test_fewer_channels_than_the_window():
    x = np.array([[3.0]], "float32")
    np.testing.assert_allclose(
        LocalResponseNormalization(5, bias=1.0, alpha=1.0, beta=0.5)(x), 3 / np.sqrt(10), rtol=1e-6
    )


def test_gradient_at_zero_is_finite_and_mixed_precision_keeps_its_dtype():
    x = tf.Variable(np.zeros((1, 4), "float32"))
    with tf.GradientTape() as tape:
        y = LocalResponseNormalization()(x)
    np.testing.assert_allclose(tape.gradient(y, x), np.full((1, 4), 2**-0.75), rtol=1e-6)
    assert LocalResponseNormalization(dtype="mixed_bfloat16")(x.numpy()).dtype == "bfloat16"


@pytest.mark.parametrize(("arguments", "message"), [({"size": 4}, "size=4"), ({"bias": 0.0}, "bias=0.0")])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalResponseNormalization(**arguments)
