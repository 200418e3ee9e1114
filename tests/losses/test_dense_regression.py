import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses.dense_regression import (
    known_pixels,
    masked_absolute_error,
    masked_cosine_distance,
    masked_huber,
)

NAN = float("nan")
TARGETS = np.array([[[[1.0], [NAN]], [[3.0], [2.0]]]], "float32")  # One image of 2 x 2 pixels.
VALUES = np.array([[[[2.0], [9.0]], [[3.5], [2.0]]]], "float32")


def test_unknown_pixels_do_not_count():
    assert float(masked_absolute_error(VALUES, TARGETS)) == pytest.approx((1 + 0.5 + 0) / 3)


def test_huber_is_squared_below_delta_and_meets_the_absolute_error_less_half_of_it():
    # 1 - 0.5 / 2, 0.5^2 / (2 * 0.5), 0.
    assert float(masked_huber(VALUES, TARGETS, delta=0.5)) == pytest.approx((0.75 + 0.25) / 3)
    with pytest.raises(ValueError, match="delta must be above 0. Received: delta=0"):
        masked_huber(VALUES, TARGETS, delta=0)


def test_cosine_distance():
    targets = np.array([[[[0, 0, 1], [0, 1, 0]], [[1, 0, NAN], [0, -1, 0]]]], "float32")
    values = np.array([[[[0, 0, 1], [1, 0, 0]], [[1, 0, 0], [0, 1, 0]]]], "float32")
    assert float(masked_cosine_distance(values, targets)) == pytest.approx((0 + 1 + 2) / 3)
    np.testing.assert_array_equal(known_pixels(targets)[0], [[True, True], [False, True]])


@pytest.mark.parametrize("loss", [masked_absolute_error, masked_huber, masked_cosine_distance])
def test_padding_and_images_of_which_nothing_is_known(loss):
    targets, values = np.concatenate([TARGETS, TARGETS + 5]), np.concatenate([VALUES, VALUES])
    both = loss(values, targets, valid=[True, False])
    assert float(both) == pytest.approx(float(loss(VALUES, TARGETS)))
    unknown = tf.Variable(np.ones((2, 3, 3, 1), "float32"))
    with tf.GradientTape() as tape:
        value = loss(unknown, np.full((2, 3, 3, 1), NAN, "float32"))
    assert float(value) == 0
    np.testing.assert_array_equal(tape.gradient(value, unknown), np.zeros((2, 3, 3, 1)))


def test_unknown_pixels_have_no_gradient():
    values = tf.Variable(VALUES)
    with tf.GradientTape() as tape:
        value = masked_absolute_error(values, TARGETS)
    gradient = tape.gradient(value, values).numpy()[0, ..., 0]
    np.testing.assert_allclose(gradient, [[1 / 3, 0], [1 / 3, 0]], atol=1e-7)
