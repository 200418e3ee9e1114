"""Reading and writing variables around a step that is pure in them, inside a replica."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

# Far apart, so that the seeds of two replicas never meet; an odd prime, so that it keeps its effect modulo 2^32.
_SEED_STRIDE = 1_000_003


def read(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """The values of `variables` on this replica."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]


def read_for_replica(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """Like `read`, but the seeds of random layers are shifted by the replica's number.

    Every replica holds the same seed; without the shift all would draw the same dropout masks.
    """
    return [
        value + _seed_shift(value.dtype) if is_seed(variable) else value
        for variable, value in zip(variables, read(variables), strict=True)
    ]


def write_from_replica(variables_and_values: Sequence[tuple[keras.Variable, tf.Tensor]]):
    """Assigns what one replica computed: seeds lose their shift, statistics are averaged over replicas."""
    context = tf.distribute.get_replica_context()
    averaged = []
    for variable, value in variables_and_values:
        if is_seed(variable):
            variable.assign(value - _seed_shift(value.dtype))
        elif value.dtype.is_floating and context.num_replicas_in_sync > 1:
            averaged.append((variable, value))
        else:
            variable.assign(value)
    if averaged:
        values = context.all_reduce(tf.distribute.ReduceOp.MEAN, [value for _, value in averaged])
        for (variable, _), value in zip(averaged, values, strict=True):
            variable.assign(value)


def is_seed(variable: keras.Variable) -> bool:
    """Whether `variable` is the state of a `keras.random.SeedGenerator`, (2,): seed and counter."""
    return variable.path.endswith("seed_generator_state")


def _seed_shift(dtype) -> tf.Tensor:
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    shift = tf.cast(replica, dtype) * tf.constant(_SEED_STRIDE, dtype)
    return tf.stack([shift, tf.zeros((), dtype)])
