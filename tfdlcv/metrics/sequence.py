"""Metrics of sequences that are not means themselves, but functions of one."""

from __future__ import annotations

import math

import keras
from keras import ops


class Perplexity(keras.metrics.Mean):
    """exp of the mean of cross-entropies in nats: of how many equally likely tokens the choice was.

    `update_state` takes cross-entropies of any shape and their weights, as `keras.metrics.Mean` does.
    """

    def result(self):
        """() float32."""
        return ops.exp(super().result())


class BitsPerToken(keras.metrics.Mean):
    """The mean of cross-entropies in nats, in bits; of characters: bits per character."""

    def result(self):
        """() float32."""
        return super().result() / math.log(2)
