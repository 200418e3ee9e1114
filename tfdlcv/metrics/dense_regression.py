"""How near numbers for each pixel come to the truth, where it is known: depth and surface normals.

Eigen, Puhrsch, Fergus 2014, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network", section 4.

Shape legend: B images of H x W pixels, C channels.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.losses.dense_regression import known_pixels, known_values
from tfdlcv.ops import hypersphere


def depth_metrics() -> dict[str, list[keras.metrics.Metric]]:
    """Metrics of depths; the keys are those of `segmentation_metrics`."""
    return {"always": [RootMeanSquaredError(name="rmse")], "evaluation": [ShareWithinFactor(name="within_1.25")]}


def normal_metrics() -> dict[str, list[keras.metrics.Metric]]:
    """Metrics of surface normals; the keys are those of `segmentation_metrics`."""
    return {"always": [MeanAngularError(name="angle_degrees")], "evaluation": []}


class _KnownMean(keras.metrics.Metric):
    """A mean over the known pixels.

    Call arguments:
        y_true: (B, H, W, C) float, NaN where unknown.
        y_pred: (B, H, W, C) float.
        sample_weight: (B,); images with weight 0 do not count.

    Result:
        () float32; 0 before the first known pixel.
    """

    def __init__(self, *, name: str, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        valid = None if sample_weight is None else ops.cast(sample_weight, "float32") > 0
        known = known_pixels(y_true, valid)
        values = self._of_pixels(known_values(y_true), ops.cast(y_pred, "float32"))  # (B, H, W)
        self.total.assign_add(ops.sum(ops.where(known, values, ops.zeros_like(values))))
        self.count.assign_add(ops.sum(ops.cast(known, self.dtype)))

    def result(self):
        return self.total / ops.maximum(self.count, ops.ones_like(self.count))


@keras.saving.register_keras_serializable(package="tfdlcv")
class RootMeanSquaredError(_KnownMean):
    """Root of the mean squared difference over channels and known pixels; call arguments as of its base."""

    def __init__(self, *, name: str = "rmse", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def _of_pixels(self, truth, values):
        return ops.mean(ops.square(values - truth), axis=-1)

    def result(self):
        return ops.sqrt(super().result())


@keras.saving.register_keras_serializable(package="tfdlcv")
class ShareWithinFactor(_KnownMean):
    """Share of known pixels with max(prediction / truth, truth / prediction) below a factor.

    Args:
        factor: above 1; 1.25 and its powers are usual.
    """

    def __init__(self, factor: float = 1.25, *, name: str = "within_1.25", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if factor <= 1:
            raise ValueError(f"factor must be above 1. Received: factor={factor}")
        self.factor = factor

    def _of_pixels(self, truth, values):
        # Products, not quotients: unknown truth is 0.
        near = ops.logical_and(values < self.factor * truth, truth < self.factor * values)
        return ops.cast(ops.all(near, axis=-1), "float32")

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="tfdlcv")
class MeanAngularError(_KnownMean):
    """Mean angle in degrees between the vectors of known pixels, of any length; call arguments as of its base."""

    def __init__(self, *, name: str = "angle_degrees", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def _of_pixels(self, truth, values):
        return hypersphere.angle_degrees(hypersphere.cosine(values, truth))
