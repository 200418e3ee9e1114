"""Random numbers as functions of an example's index, for a whole batch at once.

TensorFlow's stateless generators take one seed a call, so that each example of a batch would be a call of its own.
Here a number is a hash of its place: the output function of SplitMix64 (Steele,
Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014) of a counter.

Shapes: B examples, N numbers of each.
"""

from __future__ import annotations

import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15  # Paper, figure 16: the odd number next to 2^64 / golden ratio, the step of the counter.
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # Paper, figure 16: mix64variant13.


def uniform(indices: tf.Tensor, count: int, *, key: tuple[int, ...]) -> tf.Tensor:
    """Numbers (B, N) float64, uniform in [0, 1), for indices (B,) integer.

    Args:
        count: N.
        key: Integers that tell seeds, splits and purposes apart.
    """
    counter = tf.range(count, dtype=tf.int64)
    state = tf.zeros((), tf.uint64)
    for part in key:
        state = _mix(state + tf.cast(part, tf.uint64) + _constant(_GOLDEN))
    state = _mix(state + tf.cast(indices, tf.uint64) * _constant(_GOLDEN))[:, None]
    bits = _mix(state + tf.cast(counter + 1, tf.uint64) * _constant(_GOLDEN))
    # float64 has 53 bits. Through int64, since not every device casts from uint64.
    bits = tf.cast(tf.bitwise.right_shift(bits, tf.constant(11, tf.uint64)), tf.int64)
    return tf.cast(bits, tf.float64) * 2.0**-53


def integers(indices: tf.Tensor, count: int, low: int, high, *, key: tuple[int, ...]) -> tf.Tensor:
    """Integers (B, N) int32, uniform in low..high - 1; `high` may be a tensor that broadcasts."""
    span = tf.cast(high - low, tf.float64)
    return low + tf.cast(uniform(indices, count, key=key) * span, tf.int32)


def _mix(z: tf.Tensor) -> tf.Tensor:
    for shift, factor in _MIX:
        z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(shift, tf.uint64))) * _constant(factor)
    return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(31, tf.uint64)))


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)
