"""Rosenblatt's rule of learning as a loss.

Rosenblatt, "The Perceptron", Psychological Review 1958; for several classes as Duda and Hart 1973, "Pattern
Classification and Scene Analysis", section 5.12 (Kesler's construction).

Shapes: B examples, K classes.
"""

from __future__ import annotations

from keras import ops


def perceptron_loss(logits, labels, *, valid=None):
    """Mean over the examples of how far the winning logit lies above the label's, () float32.

    Its gradient for the weights of one example x is x for the winner and -x for the label's class, and zero where these
    are the same: Rosenblatt's correction, which only mistakes cause. One example a step, with plain gradient descent,
    is the rule itself. A rival's equal logit counts as a mistake, since zero weights have to begin somewhere.

    Args:
        logits: (B, K) float.
        labels: (B,) integer.
        valid: (B,) bool; False marks padding, which does not count. A batch of padding alone gives 0.
    """
    logits = ops.cast(logits, "float32")
    targets = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    label_logits = ops.sum(logits * targets, axis=-1)  # (B,)
    rivals = ops.one_hot(ops.argmax(logits - 1e30 * targets, axis=-1), logits.shape[-1], dtype="float32")
    excess = ops.sum(logits * rivals, axis=-1) - label_logits
    losses = ops.where(excess >= 0, excess, 0.0)  # Unlike ReLU with a gradient at 0, where two logits are equal.
    if valid is None:
        return ops.mean(losses)
    valid = ops.cast(valid, "float32")
    return ops.sum(losses * valid) / ops.maximum(ops.sum(valid), 1.0)
