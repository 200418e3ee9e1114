import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.models import blocks


def network(shape, build):
    image = keras.Input(shape, name="image")
    return keras.Model(image, build(image))


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("size", "kernel", "padding", "strides"), [(224, 11, 2, 4), (110, 5, 0, 2), (13, 3, 1, 1)])
def test_sizes_follow_the_formula(size, kernel, padding, strides):
    built = network(
        (size, size, 1), lambda x: blocks.convolution(x, 2, kernel, strides=strides, padding=padding, name="c")
    )
    expected = (size - kernel + 2 * padding) // strides + 1
    assert built.output_shape == (None, expected, expected, 2)


def test_grouped_convolution_is_its_split():
    built = network((7, 7, 6), lambda x: blocks.convolution(x, 4, 3, groups=2, name="c"))
    kernel, x = built.get_layer("c").kernel, normal((2, 7, 7, 6))
    assert kernel.shape == (3, 3, 3, 4)
    halves = [keras.ops.conv(x[..., 3 * g : 3 * g + 3], kernel[..., 2 * g : 2 * g + 2], padding="same") for g in (0, 1)]
    np.testing.assert_allclose(built(x), np.concatenate(halves, axis=-1), rtol=1e-4, atol=1e-5)


def test_grouped_convolution_trains_with_and_without_xla():
    built = network((8, 8, 4), lambda x: blocks.convolution(x, 4, 3, strides=2, groups=2, name="c"))
    x = tf.constant(normal((2, 8, 8, 4)))

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(built(x) ** 2)
        return tape.gradient(loss, built.trainable_variables[0].value)

    plain, compiled = tf.function(gradient)(), tf.function(gradient, jit_compile=True)()
    assert np.abs(plain).max() > 0
    np.testing.assert_allclose(plain, compiled, rtol=1e-3, atol=1e-3)


def test_padding_never_wins_a_pool():
    built = network((4, 4, 1), lambda x: blocks.max_pool(x, 3, 2, padding=1, name="p"))
    x = -1 - np.arange(16, dtype="float32").reshape((1, 4, 4, 1))
    np.testing.assert_array_equal(built(x)[0, ..., 0], [[-1, -2], [-5, -6]])


def test_same_and_centred_padding_differ_at_even_strides():
    x = normal((1, 8, 8, 1))
    results = []
    for padding in ("centred", "same"):
        built = network(
            (8, 8, 1), lambda x, padding=padding: blocks.convolution(x, 1, 3, strides=2, padding=padding, name="c")
        )
        built.get_layer("c").kernel.assign(np.ones((3, 3, 1, 1)))
        results.append(built(x).numpy()[0, ..., 0])
    image = x[0, ..., 0]
    assert results[0][0, 0] == pytest.approx(image[:2, :2].sum(), rel=1e-4)
    assert results[1][0, 0] == pytest.approx(image[:3, :3].sum(), rel=1e-4)


def test_depthwise_convolution_starts_with_he_variance():
    keras.utils.set_random_seed(0)
    built = network((8, 8, 500), lambda x: blocks.depthwise_convolution(x, 3, name="d"))
    kernel = built.get_layer("d").kernel.numpy()
    assert kernel.shape == (3, 3, 500, 1)
    assert kernel.var() == pytest.approx(0.774 * 2 / 9, rel=0.1)  # A normal, cut off at two deviations.


def test_dropped_branches_are_whole_and_keep_the_mean():
    keras.utils.set_random_seed(0)
    built = network((2, 2, 3), lambda x: blocks.drop_branch(x, 0.25, name="drop"))
    x = np.ones((4000, 2, 2, 3), "float32")
    y = built(x, training=True).numpy().reshape((4000, -1))
    assert (y == y[:, :1]).all()
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(built(x[:2]), x[:2])


def test_no_rate_no_layer():
    image = keras.Input((2, 2, 3))
    assert blocks.drop_branch(image, 0.0, name="drop") is image
