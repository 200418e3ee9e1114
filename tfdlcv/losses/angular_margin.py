"""Softmax cross-entropy over cosines, with a margin by which the own class must win.

CosFace: Wang et al. 2018, "CosFace: Large Margin Cosine Loss for Deep Face Recognition". ArcFace: Deng et al. 2019,
"ArcFace: Additive Angular Margin Loss for Deep Face Recognition". Both take the cosines between an embedding and one
trained direction for each class, which `tfdlcv.layers.CosineClassifier` gives; the margin is of training alone, and the
largest cosine is the prediction.

`loss(y_true, y_pred)` is Keras's; a `Task` takes `batch_mean(loss.call(y_true, y_pred), valid)`.

Shape legend: B examples, K classes.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from tfdlcv.losses.hyperspherical import class_cross_entropy


class _MarginLoss(keras.losses.Loss):
    def __init__(self, *, scale: float, margin: float, reduction: str, name: str):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if scale <= 0:
            raise ValueError(f"scale must be above 0. Received: scale={scale}")
        if margin < 0:
            raise ValueError(f"margin must be at least 0. Received: margin={margin}")
        self.scale = scale
        self.margin = margin

    def call(self, y_true, y_pred):
        cosines = ops.cast(y_pred, "float32")
        class_ids = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        own = ops.one_hot(class_ids, cosines.shape[-1], dtype="bool")
        return class_cross_entropy(self.scale * ops.where(own, self.handicap(cosines), cosines), class_ids)

    def handicap(self, cosines):
        """What stands for the cosine of the own class."""
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "margin": self.margin}


@keras.saving.register_keras_serializable(package="tfdlcv")
class CosFaceLoss(_MarginLoss):
    """Cross-entropy of `scale` * (cos - `margin` for the own class).

    Args:
        scale: s; the paper has 64.
        margin: m, in units of the cosine; the paper has 0.35.

    Call arguments:
        y_true: class ids (B,). One outside 0..K-1 is an error, as `tfdlcv.losses.hyperspherical` says.
        y_pred: cosines (B, K).
    """

    def __init__(
        self,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        reduction: str = "sum_over_batch_size",
        name: str = "cosface_loss",
    ):
        super().__init__(scale=scale, margin=margin, reduction=reduction, name=name)

    def handicap(self, cosines):
        return cosines - self.margin


@keras.saving.register_keras_serializable(package="tfdlcv")
class ArcFaceLoss(_MarginLoss):
    """Cross-entropy of `scale` * cos(angle + `margin` for the own class).

    Where angle + margin would pass pi, and the cosine would rise again, it is cos - margin * sin(margin) instead, as in
    the authors' code.

    Args:
        scale: s; the paper has 64.
        margin: m, in radians, less than pi; the paper has 0.5.

    Call arguments:
        y_true: class ids (B,). One outside 0..K-1 is an error, as `tfdlcv.losses.hyperspherical` says.
        y_pred: cosines (B, K).
    """

    def __init__(
        self,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str = "arcface_loss",
    ):
        super().__init__(scale=scale, margin=margin, reduction=reduction, name=name)
        if margin >= math.pi:
            raise ValueError(f"margin must be less than pi. Received: margin={margin}")

    def handicap(self, cosines):
        # The gradient of the root is infinite at 0, so it stays 1e-3 away; it moves the cosine by 1e-3 sin(m) at most.
        sines = ops.sqrt(ops.maximum(1.0 - ops.square(cosines), 1e-6))
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines < -math.cos(self.margin)  # angle > pi - margin
        return ops.where(beyond, cosines - self.margin * math.sin(self.margin), turned)
