"""Pixels in sequence: their order, and that the images are those of the digits reader."""

import numpy as np
import pydantic
import pytest
import tensorflow as tf

from tfdlcv.data import digits, sequences
from tfdlcv.data.sequences import SequentialDigits8x8, SequentialMnist5k


def test_rows():
    config = SequentialDigits8x8(name="digits8x8")
    data, images = sequences.build(config), digits.build(digits.Digits8x8(name="digits8x8"))
    batch, expected = data.train.fetch(tf.constant([3, 5])), images.train.fetch(tf.constant([3, 5]))
    assert batch["sequence"].dtype == "float32"
    np.testing.assert_array_equal(batch["sequence"], np.asarray(expected["image"]).reshape(2, 64, 1))
    np.testing.assert_array_equal(batch["label"], expected["label"])
    assert data.train.describe(3) == images.train.describe(3)


def test_permuted_is_one_order_for_all_images_that_its_seed_draws():
    rows = sequences.build(SequentialMnist5k(name="mnist5k")).test.fetch(tf.range(4))["sequence"].numpy()
    config = SequentialMnist5k(name="mnist5k", order="permuted", permutation_seed=7)
    permuted = sequences.build(config).test.fetch(tf.range(4))["sequence"].numpy()
    order = sequences.pixel_order(config, 784)
    np.testing.assert_array_equal(permuted, rows[:, order])
    assert sorted(order) == [*range(784)] and (order != np.arange(784)).any()
    other = sequences.pixel_order(SequentialMnist5k(name="mnist5k", order="permuted", permutation_seed=8), 784)
    assert (other != order).any()


def test_augmentation_is_refused():
    with pytest.raises(pydantic.ValidationError, match="augmentation must be left out"):
        SequentialMnist5k.model_validate({"name": "mnist5k", "augmentation": {"translation": 0.1}})
