import numpy as np
import tensorflow as tf

from tfdlcv.losses import batch_mean


def test_mean_over_the_valid():
    assert float(batch_mean(tf.constant([1.0, 2.0, 6.0]))) == 3
    assert float(batch_mean(tf.constant([1.0, 2.0, 6.0]), tf.constant([True, False, True]))) == 3.5
    assert float(batch_mean(tf.constant([1.0, 2.0]), tf.constant([False, False]))) == 0


def test_padding_may_be_nan_in_value_and_gradient():
    values = tf.constant([1.0, float("nan")])
    with tf.GradientTape() as tape:
        tape.watch(values)
        mean = batch_mean(values, tf.constant([True, False]))
    assert float(mean) == 1
    np.testing.assert_array_equal(tape.gradient(mean, values), [1, 0])
