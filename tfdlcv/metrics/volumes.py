"""How good a volume of signed distances is: overlap of what is inside, and the mean error.

As OctNetFusion's code scores them (Riegler et al. 2017): the mean over volumes, of which an empty one that stays empty
has an overlap of 1; inside is what has a distance of at most 0.

Shape legend: B volumes, S voxels along each axis.
"""

from __future__ import annotations

import keras
from keras import ops


class _VolumeMean(keras.metrics.Metric):
    """The mean over volumes of a score of each.

    Call arguments:
        y_true: (B, S, S, S, 1) float, signed distances; or (B, S, S, S, 2), of which the second is the plain average.
        y_pred: (B, S, S, S, 1).
        sample_weight: (B,).

    Args:
        of: prediction: `y_pred` is scored; average: the second channel of `y_true`, a baseline.
    """

    def __init__(self, *, of: str = "prediction", name: str | None = None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if of not in ("prediction", "average"):
            raise ValueError(f"of must be 'prediction' or 'average'. Received: of={of!r}")
        self.of = of
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, self.dtype)
        scored = y_true[..., 1:2] if self.of == "average" else ops.cast(y_pred, self.dtype)
        if scored.shape[-1] != 1:
            raise ValueError(
                "y_true must have the average as its second channel, and y_pred one channel. "
                f"Received: shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
            )
        scores = ops.cast(self.scores(y_true[..., :1], scored), self.dtype)
        weights = ops.ones_like(scores) if sample_weight is None else ops.cast(sample_weight, self.dtype)
        self.total.assign_add(ops.sum(scores * weights))
        self.count.assign_add(ops.sum(weights))

    def scores(self, y_true, y_pred):
        """(B,) of (B, S, S, S, 1) both."""
        raise NotImplementedError

    def result(self):
        return self.total / ops.maximum(self.count, 1.0)

    def get_config(self):
        return {**super().get_config(), "of": self.of}


@keras.saving.register_keras_serializable(package="tfdlcv")
class InsideIoU(_VolumeMean):
    """Intersection over union of the voxels inside: () float32 in 0..1."""

    def __init__(self, *, of: str = "prediction", name: str = "iou", dtype=None):
        super().__init__(of=of, name=name, dtype=dtype)

    def scores(self, y_true, y_pred):
        truth, guess = y_true <= 0, y_pred <= 0
        axes = tuple(range(1, len(y_true.shape)))
        both = ops.sum(ops.cast(ops.logical_and(truth, guess), "float32"), axis=axes)
        union = ops.sum(ops.cast(ops.logical_or(truth, guess), "float32"), axis=axes)
        return ops.where(union > 0, both / ops.maximum(union, 1.0), 1.0)


@keras.saving.register_keras_serializable(package="tfdlcv")
class DistanceError(_VolumeMean):
    """Mean absolute difference of signed distances: () float32, in units of the truncation."""

    def __init__(self, *, of: str = "prediction", name: str = "distance_error", dtype=None):
        super().__init__(of=of, name=name, dtype=dtype)

    def scores(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=tuple(range(1, len(y_true.shape))))
