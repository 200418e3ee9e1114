"""Counts of (true class, predicted class) pairs, and the accuracies that follow from them.

Shape legend: N predictions of any leading shape (images, points, pixels), K classes.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.metrics import weights


@keras.saving.register_keras_serializable(package="tfdlcv")
class ConfusionMatrix(keras.metrics.Metric):
    """Sums of weights over the examples of each true class (row) that were predicted as each class (column).

    Every count is exact up to 2^24, where float32 stops resolving ones. State is summed over the replicas of a
    strategy, and every operation compiles under XLA.

    Args:
        num_classes: K, at least 2.

    Call arguments:
        y_true: integer labels (N...). A label outside 0..K-1, such as the padding label -1, is not counted.
        y_pred: logits or probabilities (N..., K); the largest one is the prediction, the first one of a tie.
        sample_weight: bool or float that broadcasts to (N...) from the left, so (B,) weighs whole examples.

    Result:
        (K, K) float32, rows are true classes.
    """

    def __init__(self, num_classes: int, *, name: str = "confusion_matrix", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
        self.num_classes = num_classes
        self.counts = self.add_variable((num_classes, num_classes), "zeros", dtype=self.dtype, name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        if y_pred.shape[-1] != self.num_classes:
            raise ValueError(
                f"y_pred must have num_classes ({self.num_classes}) values in its last axis. "
                f"Received: y_pred.shape={tuple(y_pred.shape)}"
            )
        labels = weights.flat_labels(y_true, y_pred)  # (N,)
        predicted = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))  # (N,)
        counted = ops.logical_and(labels >= 0, labels < self.num_classes)
        example_weights = weights.flat_weights(sample_weight, y_pred, dtype=self.dtype)  # (N,)
        # `where`, not a product: the weight of padding may be anything.
        example_weights = ops.where(counted, example_weights, ops.zeros_like(example_weights))
        cells = ops.where(counted, labels, 0) * self.num_classes + predicted
        sums = ops.segment_sum(example_weights, cells, num_segments=self.num_classes**2)
        self.counts.assign_add(ops.reshape(sums, (self.num_classes, self.num_classes)))

    def result(self):
        return ops.convert_to_tensor(self.counts)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def per_class_accuracy(matrix):
    """Share of each true class that was predicted right.

    Args:
        matrix: confusion matrix (K, K), rows are true classes.

    Returns:
        (K,) of the matrix's float type; NaN for a class without examples.
    """
    matrix = ops.convert_to_tensor(matrix)
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be a square (K, K) confusion matrix. Received: shape={tuple(matrix.shape)}")
    if not keras.backend.is_float_dtype(matrix.dtype):
        matrix = ops.cast(matrix, "float32")
    examples = ops.sum(matrix, axis=1)  # (K,)
    present = examples > 0
    # The inner `where` keeps 0/0 out of the graph, where it would trip numeric checks.
    share = ops.diagonal(matrix) / ops.where(present, examples, ops.ones_like(examples))
    return ops.where(present, share, ops.full_like(share, float("nan")))


@keras.saving.register_keras_serializable(package="tfdlcv")
class Accuracy(ConfusionMatrix):
    """Share of the examples that were predicted right: () float32; 0 without any.

    Unlike Keras's accuracies it leaves out labels outside 0..K-1, such as 255 of void pixels.
    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "accuracy", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        matrix = super().result()
        examples = ops.sum(matrix)
        return ops.sum(ops.diagonal(matrix)) / ops.where(examples > 0, examples, ops.ones_like(examples))


@keras.saving.register_keras_serializable(package="tfdlcv")
class PerClassAccuracy(ConfusionMatrix):
    """Accuracy of each class: (K,) float32, NaN for a class of which no example was seen.

    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "per_class_accuracy", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        return per_class_accuracy(super().result())


@keras.saving.register_keras_serializable(package="tfdlcv")
class MeanClassAccuracy(ConfusionMatrix):
    """Mean over classes of their accuracies, also called balanced accuracy: () float32.

    Classes of which no example was seen are left out of the mean; without any example it is 0, as Keras's metrics are.
    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "mean_class_accuracy", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        accuracies = per_class_accuracy(super().result())
        absent = ops.isnan(accuracies)
        total = ops.sum(ops.where(absent, ops.zeros_like(accuracies), accuracies))
        present = ops.sum(ops.cast(ops.logical_not(absent), accuracies.dtype))
        return total / ops.maximum(present, ops.ones_like(present))
