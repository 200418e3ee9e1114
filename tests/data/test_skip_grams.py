"""Skip-grams: the window, the noise, the formula of subsampling."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import skip_grams
from tfdlcv.errors import UserError


def test_neighbours_lie_within_the_window_and_nearer_ones_come_more_often():
    split = skip_grams.build(
        np.arange(200, dtype="int32"),
        vocabulary_size=200,
        window=3,
        negatives=2,
        subsampling=None,
        seed=0,
        pairs_per_word=10,
    )
    batch = {name: value.numpy() for name, value in split.fetch(tf.range(2000, dtype=tf.int64)).items()}
    np.testing.assert_array_equal(batch["center"], np.tile(np.arange(200), 10))
    distance = np.abs(batch["candidates"][:, 0] - batch["center"])
    counts = np.bincount(distance, minlength=4)
    assert counts[0] == 0 and len(counts) == 4
    # A window of 1, 2 or 3 with equal chance: 1 has (1 + 1/2 + 1/3) / 3 of the pairs, 3 has 1/9.
    assert counts[1] / 2000 == pytest.approx(11 / 18, abs=0.05)
    assert counts[3] / 2000 == pytest.approx(1 / 9, abs=0.03)


def test_noise_follows_the_counts():
    ids = np.repeat([0, 1, 2], [10, 80, 640]).astype("int32")
    split = skip_grams.build(ids, vocabulary_size=3, window=2, negatives=20, subsampling=None, seed=0)
    noise = split.fetch(tf.range(700, dtype=tf.int64))["candidates"].numpy()[:, 1:]
    expected = np.array([10, 80, 640]) ** 0.75
    np.testing.assert_allclose(np.bincount(noise.ravel()) / noise.size, expected / expected.sum(), atol=0.01)
    np.testing.assert_allclose(skip_grams.noise_distribution(np.array([10, 80, 640])), expected / expected.sum())


def test_subsampling_by_hand():
    keep = skip_grams.keep_probabilities(np.array([1, 99]), 0.01)
    np.testing.assert_allclose(keep, [1.0, (np.sqrt(99) + 1) / 99])
    with pytest.raises(UserError, match="words are left"):
        skip_grams.build(np.zeros(1, "int32"), vocabulary_size=1, window=1, negatives=1, subsampling=None, seed=0)
