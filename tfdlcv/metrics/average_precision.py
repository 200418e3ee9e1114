"""Average precision of each class over all points, from histograms of probabilities.

Shape legend: N predictions of any leading shape (points, pixels), K classes, T thresholds.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.metrics import weights


@keras.saving.register_keras_serializable(package="tfdlcv")
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean over classes of the area under the precision-recall curve of "this point is of the class".

    Each class's area is the sum over falling thresholds of precision times the recall that the threshold adds, as in
    scikit-learn's `average_precision_score`; points between two thresholds count as tied, so that the result differs
    from that of exact ranking by less than the share of the points that stand in one such step.

    Args:
        num_classes: K, at least 2.
        thresholds: T; they lie evenly in the logarithm of the odds, from e^-12 to e^12, since trained networks give
            probabilities near 0 and 1.

    Call arguments:
        y_true: integer labels (N...). A label outside 0..K-1 is not counted.
        y_pred: logits (N..., K).
        sample_weight: bool or float that broadcasts to (N...) from the left.

    Result:
        () float32: the mean over classes that are there.
    """

    def __init__(self, num_classes: int, *, thresholds: int = 1000, name: str = "mean_average_precision", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
        if thresholds < 2:
            raise ValueError(f"thresholds must be at least 2. Received: thresholds={thresholds}")
        self.num_classes = num_classes
        self.thresholds = thresholds
        shape = (num_classes, thresholds)
        self.positives = self.add_variable(shape, "zeros", dtype=self.dtype, name="positives")
        self.everything = self.add_variable(shape, "zeros", dtype=self.dtype, name="everything")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = weights.flat_labels(y_true, y_pred)  # (N,)
        counted = ops.logical_and(labels >= 0, labels < self.num_classes)
        point_weights = weights.flat_weights(sample_weight, y_pred, dtype=self.dtype)  # (N,)
        point_weights = ops.where(counted, point_weights, ops.zeros_like(point_weights))
        logits = ops.cast(ops.reshape(y_pred, (-1, self.num_classes)), "float32")
        log_probabilities = ops.log_softmax(logits, axis=-1)
        # log(p / (1 - p)); of p = 1, where 1 - p is 0 in float32, any large number.
        odds = log_probabilities - ops.log(ops.maximum(-ops.expm1(log_probabilities), 1e-12))
        step = ops.cast((odds + 12.0) * (self.thresholds / 24.0), "int32")
        step = ops.clip(step, 0, self.thresholds - 1)  # (N, K)
        cells = ops.reshape(step + ops.arange(self.num_classes, dtype="int32") * self.thresholds, (-1,))
        every = ops.reshape(ops.repeat(ops.expand_dims(point_weights, -1), self.num_classes, axis=-1), (-1,))
        own = ops.one_hot(ops.where(counted, labels, 0), self.num_classes, dtype=self.dtype)
        positive = ops.reshape(own * ops.expand_dims(point_weights, -1), (-1,))
        for variable, values in ((self.everything, every), (self.positives, positive)):
            sums = ops.segment_sum(values, cells, num_segments=self.num_classes * self.thresholds)
            variable.assign_add(ops.reshape(sums, (self.num_classes, self.thresholds)))

    def per_class(self):
        """(K,) float32, NaN for a class that is nowhere."""
        positives, everything = ops.flip(self.positives, axis=1), ops.flip(self.everything, axis=1)
        precision = ops.cumsum(positives, axis=1) / ops.maximum(ops.cumsum(everything, axis=1), 1e-12)
        total = ops.sum(positives, axis=1)
        areas = ops.sum(precision * positives, axis=1) / ops.maximum(total, 1e-12)
        return ops.where(total > 0, areas, ops.full_like(areas, float("nan")))

    def result(self):
        areas = self.per_class()
        absent = ops.isnan(areas)
        total = ops.sum(ops.where(absent, ops.zeros_like(areas), areas))
        present = ops.sum(ops.cast(ops.logical_not(absent), areas.dtype))
        return total / ops.maximum(present, 1.0)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "thresholds": self.thresholds}
