"""Expected calibration error: by how much a classifier's confidence misses its accuracy.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

Shape legend: N predictions of any leading shape, K classes, M bins.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.metrics import weights


@keras.saving.register_keras_serializable(package="tfdlcv")
class ExpectedCalibrationError(keras.metrics.Metric):
    """Mean over examples of |accuracy - confidence| of their confidence bin.

    Confidence is the largest class probability. The M bins split (0, 1] evenly, and bin m holds the confidences in
    ((m - 1) / M, m / M], as in the paper. State is summed over the replicas of a strategy, so the result is that of
    the whole data set and not a mean over batches.

    Args:
        num_bins: M. Default: 15, as in the paper's tables.
        from_logits: whether `y_pred` holds logits; probabilities otherwise.

    Call arguments:
        y_true: integer labels (N...). A negative label is padding and not counted.
        y_pred: (N..., K) logits, or probabilities.
        sample_weight: bool or float that broadcasts to (N...) from the left, so (B,) weighs whole examples.

    Result:
        () float32 in [0, 1]; 0 without any example.
    """

    def __init__(
        self,
        num_bins: int = 15,
        *,
        from_logits: bool = True,
        name: str = "expected_calibration_error",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        if num_bins < 1:
            raise ValueError(f"num_bins must be at least 1. Received: num_bins={num_bins}")
        self.num_bins = num_bins
        self.from_logits = from_logits
        self.bin_weight = self.add_variable((num_bins,), "zeros", dtype=self.dtype, name="bin_weight")
        self.bin_correct = self.add_variable((num_bins,), "zeros", dtype=self.dtype, name="bin_correct")
        self.bin_confidence = self.add_variable((num_bins,), "zeros", dtype=self.dtype, name="bin_confidence")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = weights.flat_labels(y_true, y_pred)  # (N,)
        probabilities = ops.cast(y_pred, self.dtype)
        if self.from_logits:
            probabilities = ops.softmax(probabilities, axis=-1)
        predicted = ops.cast(ops.argmax(probabilities, axis=-1, keepdims=True), "int32")  # (N..., 1)
        # Not `ops.max`, which refuses an empty batch.
        confidence = ops.reshape(ops.take_along_axis(probabilities, predicted, axis=-1), (-1,))  # (N,)
        correct = ops.cast(ops.equal(ops.reshape(predicted, (-1,)), labels), self.dtype)

        example_weights = weights.flat_weights(sample_weight, y_pred, dtype=self.dtype)  # (N,)
        # Padding may hold NaN, and NaN times a weight of 0 is NaN: so `where`, and not a product, takes it out.
        counted = ops.logical_and(labels >= 0, ops.not_equal(example_weights, 0))
        zeros = ops.zeros_like(example_weights)
        example_weights = ops.where(counted, example_weights, zeros)
        confidence = ops.where(counted, confidence, zeros)

        inner_edges = ops.arange(1, self.num_bins, dtype=self.dtype) / self.num_bins  # (M - 1,)
        above = ops.expand_dims(confidence, -1) > inner_edges  # (N, M - 1); `>`: a bin holds its upper edge
        bins = ops.sum(ops.cast(above, "int32"), axis=-1)  # (N,)
        for state, values in (
            (self.bin_weight, example_weights),
            (self.bin_correct, example_weights * correct),
            (self.bin_confidence, example_weights * confidence),
        ):
            state.assign_add(ops.segment_sum(values, bins, num_segments=self.num_bins))

    def result(self):
        # weight * |correct / weight - confidence / weight| of a bin, without the division.
        gaps = ops.abs(ops.convert_to_tensor(self.bin_correct) - ops.convert_to_tensor(self.bin_confidence))
        total = ops.sum(self.bin_weight)
        return ops.divide_no_nan(ops.sum(gaps), total)

    def get_config(self):
        return {**super().get_config(), "num_bins": self.num_bins, "from_logits": self.from_logits}
