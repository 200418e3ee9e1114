"""Pooling with indices and its reverse: the lecture's example, TensorFlow's own operations, gradients, XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import MaxPoolingWithIndices2D, MaxUnpooling2D

LECTURE = np.array([[3, 2, 4, 4], [1, 5, 2, 3], [0, 1, 2, 5], [0, 1, 1, 3]], "float32").reshape((1, 4, 4, 1))
UNPOOLED = np.array([[0, 0, 4, 0], [0, 5, 0, 0], [0, 1, 0, 5], [0, 0, 0, 0]], "float32")


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_example_of_lecture_4_whose_ties_go_to_the_first():
    values, indices = MaxPoolingWithIndices2D()(LECTURE)
    assert np.ravel(values).tolist() == [5, 4, 1, 5]
    assert np.ravel(indices).tolist() == [5, 2, 9, 11]
    assert indices.dtype == "int32"
    np.testing.assert_array_equal(MaxUnpooling2D()([values, indices])[0, :, :, 0], UNPOOLED)


@pytest.mark.parametrize(("size", "shape"), [(2, (3, 6, 8, 5)), (2, (2, 5, 7, 3)), (3, (2, 9, 10, 4))])
def test_equal_to_tensorflow_s_operation_and_a_scatter(size, shape):
    x = np.round(images(*shape), 1)  # With ties.
    values, indices = MaxPoolingWithIndices2D(size)(x)
    # Channels are counted there, in windows that are padded at both sides: so one at a time, of padded images.
    below, right = -shape[1] % size, -shape[2] % size
    padded = np.pad(x, ((0, 0), (0, below), (0, right), (0, 0)), constant_values=-np.inf)
    expected, places = tf.nn.max_pool_with_argmax(padded, size, size, "VALID")
    np.testing.assert_array_equal(values, expected)
    rows, columns = np.divmod(places.numpy() // shape[3], padded.shape[2])
    np.testing.assert_array_equal(indices, rows * shape[2] + columns)
    scattered = np.zeros_like(x)
    b, _, _, c = np.indices(values.shape)
    scattered[b, rows, columns, c] = values
    np.testing.assert_array_equal(MaxUnpooling2D(size)([values, indices, x]), scattered)


def test_without_a_reference_the_size_is_a_multiple_of_the_pool_s():
    values, indices = MaxPoolingWithIndices2D()(images(2, 6, 4, 3))
    assert MaxUnpooling2D()([values, indices]).shape == (2, 6, 4, 3)


@pytest.mark.parametrize(("size", "shape"), [(2, (2, 5, 7, 3)), (3, (1, 7, 10, 2)), (2, (1, 4, 6, 1))])
def test_an_output_size_is_as_good_as_a_reference(size, shape):
    x = images(*shape)
    pooled = MaxPoolingWithIndices2D(size)(x)
    layer = MaxUnpooling2D(size, output_size=shape[1:3])
    unpooled = layer(pooled)
    np.testing.assert_array_equal(unpooled, MaxUnpooling2D(size)([*pooled, x]))
    kept = np.asarray(unpooled) != 0
    np.testing.assert_array_equal(np.asarray(unpooled)[kept], x[kept])  # Everything is where it was.
    assert layer.compute_output_shape([value.shape for value in pooled]) == shape
    assert layer([keras.KerasTensor((None, None, None, 3)), keras.KerasTensor((None, None, None, 3))]).shape == (
        None,
        *shape[1:3],
        3,
    )


def test_gradient_goes_to_the_first_maximum_alone():
    x = tf.constant(LECTURE)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values, _ = MaxPoolingWithIndices2D()(x)
        loss = tf.reduce_sum(values * tf.reshape([1.0, 2.0, 3.0, 4.0], (1, 2, 2, 1)))
    expected = [[0, 0, 2, 0], [0, 1, 0, 0], [0, 3, 0, 4], [0, 0, 0, 0]]
    np.testing.assert_array_equal(tape.gradient(loss, x)[0, :, :, 0], expected)


def test_gradient_of_unpooling_takes_what_stands_at_the_indices():
    values, indices = MaxPoolingWithIndices2D()(images(2, 5, 6, 3))
    factors, reference = images(2, 5, 6, 3, seed=1), tf.zeros((2, 5, 6, 1))
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = tf.reduce_sum(MaxUnpooling2D()([values, indices, reference]) * factors)
    expected = np.take_along_axis(factors.reshape((2, 30, 3)), np.reshape(indices, (2, -1, 3)), axis=1)
    np.testing.assert_array_equal(np.reshape(tape.gradient(loss, values), (2, -1, 3)), expected)


def test_compiles_for_images_of_any_size_and_keeps_infinities_apart():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, MaxUnpooling2D()([*MaxPoolingWithIndices2D()(image), image]))
    assert network.output_shape == (None, None, None, 3)
    compiled = tf.function(network, jit_compile=True)
    for shape in ((2, 4, 6, 3), (1, 3, 5, 3)):
        x = images(*shape)
        x[0, 0, 0] = -np.inf
        np.testing.assert_array_equal(compiled(x), network(x))
        assert np.isfinite(np.asarray(network(x))).all()


def test_dtypes_under_mixed_precision():
    values, indices = MaxPoolingWithIndices2D(dtype="mixed_bfloat16")(LECTURE)
    assert (values.dtype, indices.dtype) == ("bfloat16", "int32")
    assert MaxUnpooling2D(dtype="mixed_bfloat16")([values, indices]).dtype == "bfloat16"


def test_wrong_arguments():
    for layer in (MaxPoolingWithIndices2D, MaxUnpooling2D):
        with pytest.raises(ValueError, match="pool_size must be at least 1. Received: pool_size=0"):
            layer(0)
    pooled = MaxPoolingWithIndices2D()(LECTURE)
    with pytest.raises(
        ValueError, match=r"output_size \(5, 4\) has pooled maps of 3 x 2 at .* Received: values of 2 x 2"
    ):
        MaxUnpooling2D(output_size=(5, 4))(pooled)
    with pytest.raises(ValueError, match=r"takes output_size \(\(4, 4\)\) or a third tensor, not both"):
        MaxUnpooling2D(output_size=(4, 4))([*pooled, LECTURE])
    with pytest.raises(ValueError, match=r"takes \[values, indices\] or"):
        MaxUnpooling2D()(LECTURE)
    with pytest.raises(ValueError, match=r"of one shape. Received: \(1, 4, 4, 1\) and \(1, 2, 4, 1\)"):
        MaxUnpooling2D()([LECTURE, np.zeros((1, 2, 4, 1), "int32")])
