"""Intersection over union of classes, from counts of (true class, predicted class) pairs, and of parts of shapes.

Shape legend: N predictions of any leading shape (points, pixels), K classes; for parts: B shapes, N points, K parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from tfdlcv.metrics.confusion_matrix import ConfusionMatrix


def per_class_iou(matrix):
    """True positives over true positives, false positives and false negatives together.

    Args:
        matrix: confusion matrix (K, K), rows are true classes.

    Returns:
        (K,) of the matrix's float type; NaN for a class that neither stands nor was predicted anywhere.
    """
    matrix = ops.convert_to_tensor(matrix)
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be a square (K, K) confusion matrix. Received: shape={tuple(matrix.shape)}")
    if not keras.backend.is_float_dtype(matrix.dtype):
        matrix = ops.cast(matrix, "float32")
    right = ops.diagonal(matrix)
    union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - right
    present = union > 0
    # The inner `where` keeps 0/0 out of the graph, where it would trip numeric checks.
    share = right / ops.where(present, union, ops.ones_like(union))
    return ops.where(present, share, ops.full_like(share, float("nan")))


@keras.saving.register_keras_serializable(package="tfdlcv")
class PerClassIoU(ConfusionMatrix):
    """Intersection over union of each class: (K,) float32, NaN for a class that is nowhere.

    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "per_class_iou", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        return per_class_iou(super().result())


@keras.saving.register_keras_serializable(package="tfdlcv")
class MeanIoU(ConfusionMatrix):
    """Mean over classes of their intersection over union: () float32; 0 before the first update.

    Classes that are nowhere are left out of the mean. Unlike `keras.metrics.MeanIoU` it takes logits, and labels
    outside 0..K-1 are not counted.
    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "mean_iou", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        shares = per_class_iou(super().result())
        absent = ops.isnan(shares)
        total = ops.sum(ops.where(absent, ops.zeros_like(shares), shares))
        present = ops.sum(ops.cast(ops.logical_not(absent), shares.dtype))
        return total / ops.maximum(present, ops.ones_like(present))


def frequency_weighted_iou(matrix):
    """Mean over classes of their intersection over union, each as often as its pixels are: () float; 0 without any.

    Args:
        matrix: confusion matrix (K, K), rows are true classes.
    """
    shares = per_class_iou(matrix)
    pixels = ops.sum(ops.cast(matrix, shares.dtype), axis=1)
    shares = ops.where(pixels > 0, shares, ops.zeros_like(shares))  # NaN of a class that is nowhere.
    return ops.sum(shares * pixels) / ops.maximum(ops.sum(pixels), 1.0)


@keras.saving.register_keras_serializable(package="tfdlcv")
class FrequencyWeightedIoU(ConfusionMatrix):
    """Mean over classes of their intersection over union, each as often as its pixels are: () float32.

    Arguments and call arguments are `ConfusionMatrix`'s.
    """

    def __init__(self, num_classes: int, *, name: str = "frequency_weighted_iou", dtype=None):
        super().__init__(num_classes, name=name, dtype=dtype)

    def result(self):
        return frequency_weighted_iou(super().result())


@keras.saving.register_keras_serializable(package="tfdlcv")
class PartIoU(keras.metrics.Metric):
    """Intersection over union of the parts of shapes, as ShapeNet-part is scored.

    The category of a shape is taken as known: its points are given to the parts of the category alone. A shape's score
    is the mean over all parts of its category, of which a part that neither stands nor was predicted counts 1 (Qi et
    al. 2017, PointNet, section 5.1).

    Args:
        part_category: category of each of the K parts.
        average: class: the mean over categories of the mean over their shapes; instance: the mean over all shapes.

    Call arguments:
        y_true: part (B, N) of each point; labels outside 0..K-1 are not counted. All of a shape's are of one category.
        y_pred: logits or probabilities (B, N, K).
        sample_weight: (B,) or (B, N); a shape counts in so far as any of its points does.

    Result:
        () float32.
    """

    def __init__(self, part_category: Sequence[int], *, average: str = "class", name: str | None = None, dtype=None):
        super().__init__(name=name or f"{average}_mean_iou", dtype=dtype)
        if average not in ("class", "instance"):
            raise ValueError(f"average must be 'class' or 'instance'. Received: average={average!r}")
        if len(part_category) < 2 or min(part_category) < 0:
            raise ValueError(f"part_category must be a category of each part. Received: {list(part_category)}")
        self.part_category = [int(category) for category in part_category]
        self.average = average
        self.num_categories = max(self.part_category) + 1
        self.sums = self.add_variable((self.num_categories,), "zeros", dtype=self.dtype, name="sums")
        self.shapes = self.add_variable((self.num_categories,), "zeros", dtype=self.dtype, name="shapes")

    def update_state(self, y_true, y_pred, sample_weight=None):
        parts = len(self.part_category)
        if y_pred.shape[-1] != parts:
            raise ValueError(
                f"y_pred must have a value for each of the {parts} parts in its last axis. "
                f"Received: y_pred.shape={tuple(y_pred.shape)}"
            )
        labels = ops.cast(y_true, "int32")  # (B, N)
        counted = ops.logical_and(labels >= 0, labels < parts)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.expand_dims(weight, -1) if len(weight.shape) == 1 else weight
            counted = ops.logical_and(counted, weight > 0)
        category_of = ops.convert_to_tensor(self.part_category, dtype="int32")
        categories = ops.where(counted, ops.take(category_of, ops.clip(labels, 0, parts - 1), axis=0), -1)
        category = ops.max(categories, axis=1)  # (B,), -1 of a shape without a counted point.
        own = ops.equal(ops.expand_dims(category, -1), category_of)  # (B, K)
        scores = ops.cast(y_pred, "float32")
        lowest = ops.full_like(scores, float("-inf"))
        predicted = ops.argmax(ops.where(ops.expand_dims(own, 1), scores, lowest), axis=-1)  # (B, N)
        weights = ops.expand_dims(ops.cast(counted, "float32"), -1)
        truth = ops.one_hot(labels, parts, dtype="float32") * weights
        guess = ops.one_hot(predicted, parts, dtype="float32") * weights
        both = ops.sum(truth * guess, axis=1)  # (B, K)
        union = ops.sum(truth, axis=1) + ops.sum(guess, axis=1) - both
        share = ops.where(union > 0, both / ops.maximum(union, 1.0), 1.0)
        own = ops.cast(own, "float32")
        score = ops.sum(share * own, axis=1) / ops.maximum(ops.sum(own, axis=1), 1.0)  # (B,)
        exists = ops.cast(category >= 0, "float32")
        place = ops.maximum(category, 0)
        self.sums.assign_add(ops.segment_sum(score * exists, place, num_segments=self.num_categories))
        self.shapes.assign_add(ops.segment_sum(exists, place, num_segments=self.num_categories))

    def result(self):
        if self.average == "instance":
            return ops.sum(self.sums) / ops.maximum(ops.sum(self.shapes), 1.0)
        present = ops.cast(self.shapes > 0, self.dtype)
        means = self.sums / ops.maximum(self.shapes, 1.0)
        return ops.sum(means * present) / ops.maximum(ops.sum(present), 1.0)

    def get_config(self):
        return {**super().get_config(), "part_category": self.part_category, "average": self.average}
