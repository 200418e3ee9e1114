"""Hashed random numbers: the published sequence, uniformity, and independence of keys, indices and places."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import counter_random


def test_mix_is_that_of_splitmix64():
    """The first outputs of SplitMix64 from seed 1234567 (test vector of the reference implementation)."""
    golden = counter_random._GOLDEN
    states = tf.constant([(1234567 + golden * n) % 2**64 for n in (1, 2, 3)], tf.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert counter_random._mix(states).numpy().tolist() == expected


def test_uniform_and_uncorrelated():
    numbers = counter_random.uniform(tf.range(400), 400, key=(0, 1)).numpy()
    assert numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_allclose(np.histogram(numbers, 20, (0, 1))[0] / numbers.size, 0.05, atol=0.003)
    for axis in (0, 1):
        first, second = np.take(numbers, range(399), axis), np.take(numbers, range(1, 400), axis)
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01
    others = [counter_random.uniform(tf.range(400), 400, key=key).numpy() for key in ((0, 2), (1, 1), (0,))]
    for other in others:
        assert abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.01


def test_an_index_has_its_numbers_whatever_the_batch():
    whole = counter_random.integers(tf.range(10), 6, 3, 9, key=(5,)).numpy()
    assert {*whole.ravel()} == {*range(3, 9)}
    np.testing.assert_array_equal(counter_random.integers(tf.constant([7, 2]), 6, 3, 9, key=(5,)), whole[[7, 2]])


@pytest.mark.parametrize("high", [2, 5])
def test_bounds_that_differ(high):
    drawn = counter_random.integers(tf.range(300), 1, 1, tf.fill((300, 1), high), key=(0,)).numpy()
    assert {*drawn.ravel()} == {*range(1, high)}
