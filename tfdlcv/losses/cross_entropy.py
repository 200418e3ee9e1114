"""Cross-entropy for classifiers, of softmax or of a yes or no for each class, with soft labels and padding.

Label smoothing: Szegedy et al. 2016, Rethinking the Inception Architecture, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tfdlcv.losses.reduction import batch_mean


def cross_entropy(
    logits,
    labels,
    *,
    soft_labels=None,
    valid=None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
):
    """Mean over the examples of a batch, () float32.

    Args:
        logits: (B, K) float.
        labels: (B,) integer; not looked at where `soft_labels` are given.
        soft_labels: (B, K) float, rows that add up to 1.
        valid: (B,) bool; False marks padding, which does not count. A batch of padding alone gives 0.
        label_smoothing: Share of each target that is spread evenly over all K classes, in [0, 1).
        class_weights: K factors for the terms of each class. As in Keras, and unlike PyTorch, the sum is divided by
            the number of examples, not by the sum of their weights.
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)  # (B, K)
    num_classes = log_probabilities.shape[-1]
    targets = ops.one_hot(labels, num_classes, dtype="float32") if soft_labels is None else soft_labels
    if label_smoothing:
        targets = targets * (1.0 - label_smoothing) + label_smoothing / num_classes
    if class_weights is not None:
        if len(class_weights) != num_classes:
            raise ValueError(f"class_weights ({len(class_weights)}) must be as many as the classes ({num_classes})")
        targets = targets * ops.convert_to_tensor(class_weights, dtype="float32")
    return batch_mean(-ops.sum(targets * log_probabilities, axis=-1), valid)


def binary_cross_entropy(
    logits, labels, *, soft_labels=None, valid=None, label_smoothing: float = 0.0, target_threshold: float | None = None
):
    """A yes or no for each class, whether the image shows it: sum over classes, mean over examples, () float32.

    An image that mixup or cutmix made of two shows both classes, which softmax cannot say (Wightman et al. 2021,
    "ResNet strikes back").

    Args:
        logits, labels, soft_labels, valid, label_smoothing: As of `cross_entropy`.
        target_threshold: Soft labels above it count as 1, all others as 0; None: they are targets as they are.
    """
    logits = ops.cast(logits, "float32")
    num_classes = logits.shape[-1]
    targets = ops.one_hot(labels, num_classes, dtype="float32") if soft_labels is None else soft_labels
    if target_threshold is not None:
        targets = ops.cast(targets > target_threshold, "float32")
    if label_smoothing:
        targets = targets * (1.0 - label_smoothing) + label_smoothing / num_classes
    losses = ops.softplus(logits) - targets * logits  # (B, K); -t log s(x) - (1 - t) log (1 - s(x)), s the sigmoid.
    return batch_mean(ops.sum(losses, axis=-1), valid)


def balanced_class_weights(class_counts: Sequence[int]) -> tuple[float, ...]:
    """Weights inversely proportional to the classes' frequencies, whose mean over all examples is 1."""
    if min(class_counts) < 1:
        raise ValueError(f"every class needs an example. Received: class_counts={list(class_counts)}")
    total, num_classes = sum(class_counts), len(class_counts)
    return tuple(total / (num_classes * count) for count in class_counts)
