"""The adding problem and copy memory: their rules, baselines, and that an index always is the same example."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import memory_tasks
from tfdlcv.data.memory_tasks import AddingConfig, CopyConfig


def test_adding():
    train, validation, test = memory_tasks.build_adding(AddingConfig(name="adding", steps=20))
    assert (train.num_examples, validation.num_examples, test.num_examples) == (50_000, 1000, 1000)
    batch = {name: value.numpy() for name, value in train.fetch(tf.range(1000, dtype=tf.int64)).items()}
    numbers, marks = batch["sequence"][..., 0], batch["sequence"][..., 1]
    assert numbers.min() >= 0 and numbers.max() < 1 and numbers.mean() == pytest.approx(0.5, abs=0.01)
    assert set(np.unique(marks)) == {0, 1} and (marks.sum(axis=1) == 2).all()
    assert marks.mean(axis=0).min() > 0.05  # Every step is marked at times.
    np.testing.assert_allclose(batch["label"], (numbers * marks).sum(axis=1), rtol=1e-6)
    assert ((batch["label"] - 1) ** 2).mean() == pytest.approx(memory_tasks.adding_baseline(), rel=0.1)


def test_copy():
    train, *_ = memory_tasks.build_copy(CopyConfig(name="copy", blanks=5))
    batch = {name: value.numpy() for name, value in train.fetch(tf.range(500, dtype=tf.int64)).items()}
    inputs, targets = batch["sequence"][..., 0], batch["targets"]
    assert inputs.shape == targets.shape == (500, 25)
    assert (inputs[:, 10:14] == 0).all() and (inputs[:, 14:] == 9).all()
    assert (targets[:, :15] == 0).all()
    np.testing.assert_array_equal(targets[:, 15:], inputs[:, :10])
    assert set(np.unique(inputs[:, :10])) == {*range(1, 9)}
    assert memory_tasks.copy_baseline(1000) == pytest.approx(0.0204, abs=5e-5)


@pytest.mark.parametrize("config", [AddingConfig(name="adding", steps=9), CopyConfig(name="copy", blanks=9)])
def test_an_example_is_a_function_of_seed_part_and_index(config):
    build = memory_tasks.build_adding if config.name == "adding" else memory_tasks.build_copy
    train, validation, _ = build(config)
    first = train.fetch(tf.constant([5, 900], tf.int64))["sequence"].numpy()
    np.testing.assert_array_equal(build(config)[0].fetch(tf.constant([900, 5], tf.int64))["sequence"], first[::-1])
    others = [validation, build(config.model_copy(update={"data_seed": 1}))[0]]
    for other in others:
        assert (other.fetch(tf.constant([5, 900], tf.int64))["sequence"].numpy() != first).any()
    assert train.describe(5) == f"{config.name} train example 5"
