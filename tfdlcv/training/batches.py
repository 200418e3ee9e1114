"""What a task reads from a batch, a dict of named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]


def network_inputs(network: keras.Model, batch: Batch):
    """The tensors of `batch` that `network` takes, found by the names of its inputs."""
    names = [tensor.name for tensor in network.inputs]
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(f"the batch lacks the network's inputs {missing}. Received: {sorted(batch)}")
    return batch[names[0]] if len(names) == 1 else {name: batch[name] for name in names}


def batch_weight(batch: Batch) -> tf.Tensor:
    """How many examples of a replica's batch count, () float32: those that `valid` (B,) marks, where there is one."""
    if "valid" in batch:
        return tf.reduce_sum(tf.cast(batch["valid"], tf.float32))
    return tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0], tf.float32)


def default_metric_inputs(batch: Batch, outputs):
    """Labels, outputs and, where the batch marks padding, sample weights."""
    if "valid" in batch:
        return batch["label"], outputs, tf.cast(batch["valid"], tf.float32)
    return batch["label"], outputs
