"""Order, shards, resuming and padding, as functions of (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import pipeline
from tfdlcv.errors import UserError


def split(size=23, per_example=False):
    def fetch(index):
        return {"square": index * index}

    return pipeline.Split(size, fetch, lambda i: f"example {i}", per_example)


def datasets(size=23, per_example=False, augment=None):
    return pipeline.Datasets(split(size, per_example), split(size, per_example), augment=augment)


def take(dataset, count):
    return [{name: value.numpy() for name, value in batch.items()} for batch in dataset.take(count)]


def train_ids(steps=10, batch_size=5, seed=1, **options):
    data = pipeline.training_dataset(datasets(), batch_size=batch_size, seed=seed, **options)
    return [tuple(batch["id"]) for batch in take(data, steps)]


def test_an_epoch_has_no_example_twice_and_the_next_has_another_order():
    """23 examples, batches of 5: 4 steps an epoch, 3 examples left out, other ones each time."""
    ids = train_ids(8)
    first, second = np.ravel(ids[:4]), np.ravel(ids[4:])
    assert len(set(first)) == len(set(second)) == 20
    assert set(first) <= set(range(23)) and set(first) != set(second) and tuple(first) != tuple(second)


def test_every_example_comes_up_over_the_epochs():
    assert set(np.ravel(train_ids(40))) == set(range(23))


def test_same_seed_same_order_other_seed_other_order():
    assert train_ids(4) == train_ids(4)
    assert train_ids(4) != train_ids(4, seed=2)


@pytest.mark.parametrize("start_step", [1, 4, 7])
def test_starting_at_a_step_continues_the_same_stream(start_step):
    assert train_ids(3, start_step=start_step) == train_ids(10)[start_step : start_step + 3]


@pytest.mark.parametrize("per_example", [False, True])
def test_batches_hold_what_fetch_gives_in_the_order_of_their_ids(per_example):
    data = pipeline.training_dataset(datasets(per_example=per_example), batch_size=5, seed=1)
    for batch in take(data, 6):
        np.testing.assert_array_equal(batch["square"], batch["id"] ** 2)
        assert batch["valid"].all() and batch["square"].shape == (5,)
    assert [tuple(batch["id"]) for batch in take(data, 6)] == train_ids(6)


def test_shards_and_replicas_together_make_the_global_batch():
    whole = train_ids(3, batch_size=8)
    parts = [train_ids(6, batch_size=8, shard_index=i, num_shards=2, replicas_per_shard=2) for i in range(2)]
    for step in range(3):
        together = [i for shard in parts for replica in shard[2 * step : 2 * step + 2] for i in replica]
        assert tuple(together) == whole[step]


def test_step_indices_names_the_examples_of_a_step():
    """What a message about a bad batch relies on."""
    ids = [tuple(pipeline.step_indices(s, num_examples=23, batch_size=5, seed=1).numpy()) for s in range(10)]
    assert ids == train_ids(10)


def noisy(batch, seed):
    noise = tf.random.stateless_uniform(tf.shape(batch["id"]), seed=seed)
    return {**batch, "noise": noise}


def test_augmentation_depends_on_seed_and_step_alone():
    def noise(start_step=0, seed=1, **options):
        data = pipeline.training_dataset(
            datasets(augment=noisy), batch_size=4, seed=seed, start_step=start_step, **options
        )
        return [tuple(batch["noise"]) for batch in take(data, 4)]

    assert noise() == noise()
    assert noise(start_step=2)[:2] == noise()[2:]
    assert len(set(noise())) == 4
    assert noise(seed=2) != noise()
    halves = noise(replicas_per_shard=2)
    assert [a + b for a, b in zip(halves[::2], halves[1::2], strict=True)] == noise()[:2]


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("num_shards", [1, 2])
def test_evaluation_covers_each_example_once_and_marks_padding(per_example, num_shards):
    seen, lengths = [], []
    for shard in range(num_shards):
        data = pipeline.evaluation_dataset(
            split(per_example=per_example), batch_size=8, shard_index=shard, num_shards=num_shards
        )
        for batch in take(data, pipeline.evaluation_steps(split(), 8)):
            seen += [int(i) for i, valid in zip(batch["id"], batch["valid"], strict=True) if valid]
            lengths.append(len(batch["id"]))
            np.testing.assert_array_equal(batch["square"], batch["id"] ** 2)
    assert sorted(seen) == list(range(23))
    assert set(lengths) == {8 // num_shards}


def test_evaluation_repeats_so_that_every_pass_starts_at_the_first_example():
    first, _, again = take(pipeline.evaluation_dataset(split(12), batch_size=8), 3)
    np.testing.assert_array_equal(first["id"], again["id"])


def test_errors_name_the_numbers():
    with pytest.raises(UserError, match=r"batch_size \(32\) is larger than the number of training examples \(23\)"):
        pipeline.steps_per_epoch(split(), 32)
    strategy = type("TwoReplicas", (), {"num_replicas_in_sync": 2})()
    with pytest.raises(UserError, match=r"batch size \(3\) must be divisible by the number of replicas \(2\)"):
        pipeline.distribute(strategy, lambda **shard: None, 3)


def test_a_large_order_is_a_permutation():
    n = 10_007
    ids = np.concatenate(
        [pipeline.step_indices(s, num_examples=n, batch_size=10, seed=3).numpy() for s in range(0, n // 10)]
    )
    assert len(set(ids)) == len(ids) == 10_000
    assert abs(np.corrcoef(ids, np.arange(len(ids)))[0, 1]) < 0.05
