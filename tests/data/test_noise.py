"""Noise: its statistics, what it depends on, and levels out of range."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from scipy import stats

from tfdlcv.data.noise import NoiseConfig, draw_noise, with_fixed_noise, without_noise
from tfdlcv.data.pipeline import Split


def grey_split(level=128, count=40):
    targets = tf.fill((count, 24, 24, 1), tf.constant(level, tf.uint8))
    return Split(count, lambda indices: {"target": tf.gather(targets, indices)}, str)


def all_of(split):
    batch = split.fetch(tf.range(split.num_examples, dtype=tf.int64))
    return {name: value.numpy() for name, value in batch.items()}


def test_training_noise_is_gaussian_independent_and_of_the_level():
    draw = draw_noise(NoiseConfig(sigma=25))
    target = tf.fill((64, 30, 30, 3), tf.constant(10, tf.uint8))
    batch = draw(target, tf.constant([3, 4]))
    assert batch["image"].dtype == batch["target"].dtype == tf.float32
    noise = (batch["image"] - batch["target"]).numpy()
    assert noise.std() == pytest.approx(25, rel=0.01) and abs(noise.mean()) < 0.3
    assert stats.kstest(noise.ravel()[::7] / 25, "norm").pvalue > 1e-3
    for axis in (1, 2):  # Neighbours, and the channels of a pixel, have nothing in common.
        assert abs(np.mean(noise * np.roll(noise, 1, axis=axis))) < 625 * 0.02
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < 625 * 0.02
    assert batch["image"].numpy().min() < 0  # Nothing is cut off.
    np.testing.assert_array_equal(batch["sigma"], np.full(64, 25, "float32"))
    again, other = draw(target, tf.constant([3, 4])), draw(target, tf.constant([3, 5]))
    np.testing.assert_array_equal(batch["image"], again["image"])
    assert not np.array_equal(batch["image"], other["image"])


def test_a_range_gives_each_example_its_own_level():
    batch = draw_noise(NoiseConfig(sigma=(5, 50)))(tf.zeros((400, 24, 24, 1), tf.uint8), tf.constant([0, 1]))
    sigma = batch["sigma"].numpy()
    assert sigma.min() >= 5 and sigma.max() <= 50
    assert stats.kstest(sigma, stats.uniform(5, 45).cdf).pvalue > 1e-3
    np.testing.assert_allclose(batch["image"].numpy().std(axis=(1, 2, 3)), sigma, rtol=0.15)


def test_the_noise_of_evaluation_belongs_to_the_example():
    noise = NoiseConfig(sigma=(0, 55), evaluation_seed=7)
    validation = with_fixed_noise(grey_split(), noise, "validation")
    batch = all_of(validation)
    assert (batch["sigma"] == 27.5).all()
    assert (batch["image"] - 128).std() == pytest.approx(27.5, rel=0.03)
    some = validation.fetch(tf.constant([31, 2], tf.int64))["image"]
    np.testing.assert_array_equal(some, batch["image"][[31, 2]])
    assert not np.array_equal(batch["image"][0], batch["image"][1])
    for other in (
        with_fixed_noise(grey_split(), noise, "test"),
        with_fixed_noise(grey_split(), noise.model_copy(update={"evaluation_seed": 8}), "validation"),
    ):
        correlation = np.mean((all_of(other)["image"] - 128) * (batch["image"] - 128), axis=(1, 2, 3)) / 27.5**2
        assert abs(correlation).max() < 0.25  # Of 576 pixels: six deviations.
    traced = tf.function(validation.fetch).get_concrete_function(tf.TensorSpec((None,), tf.int64))
    np.testing.assert_array_equal(traced(tf.constant([2], tf.int64))["image"], batch["image"][[2]])


def test_noise_as_files_store_it():
    noise = NoiseConfig(sigma=60, pixels="uint8")
    image = all_of(with_fixed_noise(grey_split(level=20), noise, "test"))["image"]
    assert image.min() == 0 and image.max() <= 255 and (image == np.round(image)).all()
    drawn = draw_noise(noise)(tf.fill((2, 24, 24, 1), 240), tf.constant([0, 0]))["image"].numpy()
    assert drawn.max() == 255 and (drawn == np.round(drawn)).all()


def test_examples_without_noise():
    split = with_fixed_noise(grey_split(level=9), None, "train")
    batch = all_of(split)
    assert (batch["image"] == 9).all() and (batch["target"] == 9).all() and (batch["sigma"] == 0).all()
    assert without_noise(tf.zeros((2, 3, 3, 1), tf.uint8))["image"].dtype == tf.float32


def test_the_level_of_evaluation():
    assert NoiseConfig(sigma=15).sigma_of_evaluation == 15
    assert NoiseConfig(sigma=(10, 20)).sigma_of_evaluation == 15
    assert NoiseConfig(sigma=(10, 20), evaluation_sigma=0).sigma_of_evaluation == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sigma": 0.0}, "sigma must be more than 0"),
        ({"sigma": -1.0}, "greater than or equal to 0"),
        ({"sigma": 256.0}, "less than or equal to 255"),
        ({"sigma": (30.0, 300.0)}, "less than or equal to 255"),
        ({"sigma": (30.0, 20.0)}, r"two with first < second, not \[30.0, 20.0\]"),
        ({"evaluation_sigma": 300.0}, "less than or equal to 255"),
        ({"pixels": "uint16"}, "'float' or 'uint8'"),
    ],
)
def test_levels_out_of_range(options, message):
    with pytest.raises(ValidationError, match=message):
        NoiseConfig(**options)
