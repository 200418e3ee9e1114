"""Losses of every step of sequences, of which some steps, or whole sequences, do not count.

Shapes: B sequences, T steps, K classes or keys.
"""

from __future__ import annotations

import keras
from keras import ops


def step_cross_entropy(logits, targets):
    """Cross-entropy of each step, (B, T) float32, of logits (B, T, K) and integer targets (B, T)."""
    logits = ops.cast(logits, "float32")
    return keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)


def step_binary_cross_entropy(logits, targets):
    """Sum over K of the cross-entropies of yes and no, (B, T) float32, of logits and targets (B, T, K)."""
    logits = ops.cast(logits, "float32")
    targets = ops.cast(targets, "float32")
    # log(1 + e^-|x|) + max(x, 0) - x t, which overflows for no x.
    terms = ops.maximum(logits, 0.0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.sum(terms, axis=-1)


def step_weights(shape_like, *, counted=None, valid=None):
    """Weights (B, T) float32 of zeros and ones: steps that are counted, of sequences that are no padding."""
    weights = ops.ones_like(shape_like)
    if counted is not None:
        weights = weights * ops.cast(counted, weights.dtype)
    if valid is not None:
        weights = weights * ops.cast(valid, weights.dtype)[:, None]
    return weights


def mean_over_steps(losses, *, counted=None, valid=None):
    """Mean () of losses (B, T) over the steps that count; 0 where none does."""
    weights = step_weights(losses, counted=counted, valid=valid)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1.0)
