"""What embeddings on the hypersphere say: the class of the nearest prototype, angles, and values between two poles.

Shape legend: B examples, K classes, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdlcv.ops import hypersphere
from tfdlcv.ops.prototypes import check_prototypes


class _PrototypeMetric(keras.metrics.Mean):
    def __init__(self, prototypes: np.ndarray | Sequence[Sequence[float]], *, name: str, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.prototypes = check_prototypes(prototypes).astype("float32")

    def get_config(self):
        return {**super().get_config(), "prototypes": self.prototypes.tolist()}


@keras.saving.register_keras_serializable(package="tfdlcv")
class CosineAccuracy(_PrototypeMetric):
    """Share of embeddings whose nearest prototype, by cosine, is that of their class.

    Args:
        prototypes: (K, d) of norm 1.

    Call arguments:
        y_true: class ids (B,) or (B, 1).
        y_pred: embeddings (B, d) of any length.
        sample_weight: (B,).
    """

    def __init__(self, prototypes, *, name: str = "accuracy", dtype=None):
        super().__init__(prototypes, name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        predicted = hypersphere.classify(y_pred, self.prototypes)["class_id"]
        class_ids = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        super().update_state(ops.cast(ops.equal(predicted, class_ids), self.dtype), sample_weight)


@keras.saving.register_keras_serializable(package="tfdlcv")
class MeanAngle(_PrototypeMetric):
    """Mean angle, in degrees, between embeddings and the prototypes of their classes.

    Arguments and call arguments are `CosineAccuracy`'s.
    """

    def __init__(self, prototypes, *, name: str = "angle_degrees", dtype=None):
        super().__init__(prototypes, name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        class_ids = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        own = ops.take(ops.convert_to_tensor(self.prototypes), class_ids, axis=0)
        super().update_state(hypersphere.angle_degrees(hypersphere.cosine(y_pred, own)), sample_weight)


@keras.saving.register_keras_serializable(package="tfdlcv")
class HypersphericalMeanAbsoluteError(keras.metrics.Mean):
    """Mean absolute error, in the units of the values, of what embeddings say by their cosine to the upper pole.

    Args:
        pole: (d,) of norm 1, the place of `upper`.
        lower, upper: the range of the values.

    Call arguments:
        y_true: values (B,) or (B, 1).
        y_pred: embeddings (B, d) of any length.
        sample_weight: (B,).
    """

    def __init__(
        self,
        pole: np.ndarray | Sequence[float],
        lower: float,
        upper: float,
        *,
        name: str = "mean_absolute_error",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        hypersphere.check_interval(lower, upper)
        self.pole = np.asarray(pole, np.float32)
        self.lower, self.upper = float(lower), float(upper)

    def update_state(self, y_true, y_pred, sample_weight=None):
        cosine = hypersphere.cosine(y_pred, self.pole)
        predicted = hypersphere.cosine_to_value(cosine, lower=self.lower, upper=self.upper)
        error = ops.abs(predicted - ops.reshape(ops.cast(y_true, "float32"), (-1,)))
        super().update_state(error, sample_weight)

    def get_config(self):
        return {**super().get_config(), "pole": self.pole.tolist(), "lower": self.lower, "upper": self.upper}
