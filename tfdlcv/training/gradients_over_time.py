"""How strongly a network's output at the last step depends on each step before: vanishing and exploding gradients.

Lecture 3: in a simple recurrence A_t = theta^t A_0 the gradient grows or shrinks with the powers of theta's
eigenvalues, and tanh shrinks it further; the LSTM's cell lets it pass. Pascanu, Mikolov and Bengio, "On the difficulty
of training recurrent neural networks", 2013.

Shape legend: B sequences, T steps, C channels.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def gradient_norms_over_time(network: keras.Model, sequences: np.ndarray) -> np.ndarray:
    """Mean over sequences of the length of d(last output . u) / d(input of step t), (T,) float32.

    Args:
        network: Takes (B, T, C) float and returns (B, K) or (B, T, K).
        sequences: (B, T, C).
    """
    x = tf.convert_to_tensor(sequences, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = tf.cast(network(x, training=False), tf.float32)
        last = outputs[:, -1] if len(outputs.shape) == 3 else outputs  # (B, K)
        # u is random and fixed, for any number of outputs; a plain sum would be constant behind a softmax.
        direction = tf.random.stateless_normal(last.shape[1:], seed=(0, 0))
        projection = tf.reduce_sum(last * (direction / tf.norm(direction)))
    gradient = tape.gradient(projection, x)
    # Squares of vanishing gradients would underflow in float32.
    lengths = tf.norm(tf.cast(gradient, tf.float64), axis=-1)  # (B, T)
    return tf.cast(tf.reduce_mean(lengths, axis=0), tf.float32).numpy()
