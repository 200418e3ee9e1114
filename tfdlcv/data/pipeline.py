"""From examples that can be drawn by index to the batches of a run: order, shuffling, sharding, resuming, padding.

The order of training is a pure function of (seed, step): step s of epoch e takes its slice of a permutation of the
examples that is keyed by (seed, e) and computed element by element, without a shuffle buffer. So a run resumes at any
step without reading what came before, every worker of a cluster reads only its own part, and the examples of any step
can be named afterwards.

Shape legend: B examples of a step over all workers, W workers (input pipelines).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tfdlcv.errors import UserError

_AUGMENTATION_STREAM = 0x5EED  # Keeps the seeds of augmentation apart from those of the order.

# Fixed, because tf.data's tuning is switched off (see `_finish`). A map holds as many batches as it has calls.
_PARALLEL_CALLS = min(os.cpu_count() or 1, 16)
_PREFETCHED_BATCHES = 2


@dataclass(frozen=True)
class Split:
    """Examples that are drawn by index.

    fetch: pure function, traced inside `tf.data`'s `map`: indices (B,) int64 -> batch dict of tensors (B, ...); with
        `fetch_per_example`, index () -> dict of one example.
    describe: index -> the name by which a person knows the example (a file name, say).
    fetch_per_example: examples are fetched one by one in parallel, which pays where each is decoded from a file.
    """

    num_examples: int
    fetch: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    describe: Callable[[int], str]
    fetch_per_example: bool = False


@dataclass(frozen=True)
class Datasets:
    """What a system's `build_datasets` returns.

    facts: what a network must know of the data (class names, image shape, ...), JSON-able; saved as dataset.json.
    augment: (batch dict, seed (2,) int32) -> batch dict; pure, for the batches of training alone.
    """

    train: Split
    validation: Split
    test: Split | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    augment: Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]] | None = None


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in one pass over `split`; the remainder is dropped, and differs from epoch to epoch."""
    if split.num_examples < batch_size:
        raise UserError(
            f"trainer.batch_size ({batch_size}) is larger than the number of training examples ({split.num_examples})"
        )
    return split.num_examples // batch_size


def evaluation_steps(split: Split, batch_size: int) -> int:
    """Batches that cover `split`, the last one padded."""
    return -(-split.num_examples // batch_size)


def step_indices(
    step, *, num_examples: int, batch_size: int, seed: int, shard_index: int = 0, num_shards: int = 1
) -> tf.Tensor:
    """Indices (B / W,) int64 of the examples that shard `shard_index` trains on at global step `step`, () int64."""
    steps = num_examples // batch_size
    step = tf.convert_to_tensor(step, tf.int64)
    epoch = step // steps
    shard_size = batch_size // num_shards
    first_slot = (step % steps) * batch_size + shard_index * shard_size
    slots = first_slot + tf.range(shard_size, dtype=tf.int64)
    key = tf.stack([tf.cast(seed, tf.int64), epoch])
    return tf.random.experimental.index_shuffle(slots, seed=key, max_index=num_examples - 1)


def training_dataset(
    datasets: Datasets,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    shard_index: int = 0,
    num_shards: int = 1,
    replicas_per_shard: int = 1,
) -> tf.data.Dataset:
    """Endless batches from global step `start_step` on.

    Args:
        batch_size: B, over all shards and replicas.
        shard_index, num_shards: which part of each step's examples this pipeline reads.
        replicas_per_shard: a step's part is cut into so many batches, one a device, after augmentation. So one device
            and several on one machine train on the very same pixels; augmentation differs between numbers of workers.
    """
    split = datasets.train

    def indices_of(step):
        indices = step_indices(
            step,
            num_examples=split.num_examples,
            batch_size=batch_size,
            seed=seed,
            shard_index=shard_index,
            num_shards=num_shards,
        )
        return step, indices

    def finish(step, batch):
        if datasets.augment is None:
            return batch
        key = tf.stack([tf.cast(seed + _AUGMENTATION_STREAM, tf.int32), tf.cast(shard_index, tf.int32)])
        return datasets.augment(batch, tf.random.experimental.stateless_fold_in(key, tf.cast(step, tf.int32)))

    shard_size = batch_size // num_shards
    steps = tf.data.Dataset.counter(start_step).map(_as_written(indices_of))
    dataset = _fetch(steps, split, shard_size)
    dataset = dataset.map(_as_written(finish), num_parallel_calls=_PARALLEL_CALLS)
    return _finish(dataset, shard_size, replicas_per_shard)


def evaluation_dataset(
    split: Split, *, batch_size: int, shard_index: int = 0, num_shards: int = 1, replicas_per_shard: int = 1
) -> tf.data.Dataset:
    """The examples of `split` in order, endlessly; the last batch of a pass is padded, with `valid` False."""
    steps = evaluation_steps(split, batch_size)
    shard_size = batch_size // num_shards

    def indices_of(step):
        slots = (step % steps) * batch_size + shard_index * shard_size + tf.range(shard_size, dtype=tf.int64)
        return step, slots

    steps_of_pass = tf.data.Dataset.counter(0).map(_as_written(indices_of))
    dataset = _fetch(steps_of_pass, split, shard_size).map(_as_written(lambda step, batch: batch))
    return _finish(dataset, shard_size, replicas_per_shard)


def distribute(strategy: tf.distribute.Strategy, build: Callable[..., tf.data.Dataset], batch_size: int) -> Any:
    """`build(shard_index=, num_shards=, replicas_per_shard=)` as the input of every replica of `strategy`."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"batch size ({batch_size}) must be divisible by the number of replicas ({replicas})")

    def build_shard(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return build(
            shard_index=context.input_pipeline_id,
            num_shards=context.num_input_pipelines,
            replicas_per_shard=replicas // context.num_input_pipelines,
        )

    return strategy.distribute_datasets_from_function(build_shard)


@contextlib.contextmanager
def faults_of_examples():
    """Turns a UserError that was raised in a `tf.numpy_function`, of a damaged file, say, into one again.

    TensorFlow hands such errors on as text, within its own.
    """
    try:
        yield
    except tf.errors.UnknownError as error:
        found = re.search(r"(?:^|\}\} )UserError: (.+)$", error.message, re.MULTILINE)
        if found is None:
            raise
        raise UserError(found.group(1)) from None


def _fetch(steps: tf.data.Dataset, split: Split, shard_size: int) -> tf.data.Dataset:
    """(step, slots) -> (step, batch with `id` and `valid`); slots beyond the last example are padding."""

    def add_identity(slots, batch):
        last = tf.constant(split.num_examples - 1, tf.int64)
        return {**batch, "id": tf.minimum(slots, last), "valid": slots <= last}

    def fetch(step, slots):
        return step, add_identity(slots, split.fetch(tf.minimum(slots, split.num_examples - 1)))

    if not split.fetch_per_example:
        return steps.map(_as_written(fetch), num_parallel_calls=_PARALLEL_CALLS)
    examples = steps.flat_map(
        _as_written(lambda step, slots: tf.data.Dataset.from_tensor_slices((tf.repeat(step, shard_size), slots)))
    )
    batches = examples.map(_as_written(fetch), num_parallel_calls=_PARALLEL_CALLS).batch(
        shard_size, drop_remainder=True
    )
    return batches.map(_as_written(lambda steps_of_batch, batch: (steps_of_batch[0], batch)))


def _as_written(function: Callable) -> Callable:
    """`function` for `map`, without AutoGraph, which nothing here needs and which takes seconds to convert Keras."""
    return tf.autograph.experimental.do_not_convert(function)


def _finish(dataset: tf.data.Dataset, shard_size: int, replicas_per_shard: int) -> tf.data.Dataset:
    if replicas_per_shard > 1:
        dataset = dataset.rebatch(shard_size // replicas_per_shard, drop_remainder=True)
    options = tf.data.Options()
    options.deterministic = True
    # The thread that tunes a pipeline sleeps for 10 ms, 20 ms, ... up to a minute, and misses the call to stop while
    # the cores are busy: deleting an iterator then waits for it to wake. In TensorFlow 2.21 the end of `fit` stood
    # still for as long as it had run, and each validation likewise.
    options.autotune.enabled = False
    # Shards are made by index, above; TensorFlow must not shard once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options).prefetch(_PREFETCHED_BATCHES)
