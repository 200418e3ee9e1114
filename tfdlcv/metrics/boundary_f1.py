"""How well the outlines of classes are found.

Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013.

Shape legend: B images, H rows, W columns, K classes.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

VOID = -1


@keras.saving.register_keras_serializable(package="tfdlcv")
class BoundaryF1(keras.metrics.Metric):
    """Mean over classes of the mean over images of the F1 score of a class's boundary pixels: () float32.

    A pixel of a class is on its boundary if one of its four neighbours is of another class; pixels of the image's
    border have fewer neighbours, and void is none. A predicted boundary pixel is right if a true one of the class lies
    within `tolerance`, and a true one is found if a predicted one does. An image counts for a class of which its truth
    or prediction has a boundary. What is predicted where the truth is void does not count.

    Args:
        num_classes: K, at least 2.
        tolerance: Euclidean distance in pixels, at least 0. Csurka et al.: 0.75 % of the image's diagonal.

    Call arguments:
        y_true: (B, H, W) integers; labels outside 0..K-1 are void.
        y_pred: (B, H, W, K) logits or probabilities.
        sample_weight: (B,) bool or float; images weigh as much, and pixels of weight 0 in (B, H, W) are void.

    Result:
        () float32; 0 before the first boundary.
    """

    def __init__(self, num_classes: int, *, tolerance: float = 2.0, name: str = "boundary_f1", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
        if tolerance < 0:
            raise ValueError(f"tolerance must be at least 0. Received: tolerance={tolerance}")
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.sums = self.add_variable((num_classes,), "zeros", dtype=self.dtype, name="sums")
        self.images = self.add_variable((num_classes,), "zeros", dtype=self.dtype, name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        if len(y_pred.shape) != 4 or y_pred.shape[-1] != self.num_classes:
            raise ValueError(
                f"y_pred must be (B, H, W, {self.num_classes}). Received: y_pred.shape={tuple(y_pred.shape)}"
            )
        labels = ops.cast(y_true, "int32")
        counted = ops.logical_and(labels >= 0, labels < self.num_classes)
        image_weights = ops.ones_like(ops.cast(labels[:, 0, 0], self.dtype))  # (B,)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            if len(sample_weight.shape) == 1:
                image_weights = sample_weight
            else:
                counted = ops.logical_and(counted, sample_weight > 0)
        true = self._boundaries(ops.where(counted, labels, VOID))  # (B, H, W, K)
        predicted = self._boundaries(ops.where(counted, ops.cast(ops.argmax(y_pred, axis=-1), "int32"), VOID))
        found = ops.sum(true * self._near(predicted), axis=(1, 2))  # (B, K)
        right = ops.sum(predicted * self._near(true), axis=(1, 2))
        of_true, of_predicted = ops.sum(true, axis=(1, 2)), ops.sum(predicted, axis=(1, 2))
        precision = right / ops.maximum(of_predicted, 1.0)
        recall = found / ops.maximum(of_true, 1.0)
        scores = 2 * precision * recall / ops.maximum(precision + recall, 1e-7)
        weights = ops.cast(of_true + of_predicted > 0, self.dtype) * image_weights[:, None]
        self.sums.assign_add(ops.sum(ops.cast(scores, self.dtype) * weights, axis=0))
        self.images.assign_add(ops.sum(weights, axis=0))

    def result(self):
        present = ops.cast(self.images > 0, self.dtype)
        means = self.sums / ops.where(self.images > 0, self.images, ops.ones_like(self.images))
        return ops.sum(means * present) / ops.maximum(ops.sum(present), 1.0)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "tolerance": self.tolerance}

    def _boundaries(self, labels):
        """(B, H, W) -> (B, H, W, K) float32 of zeros and ones."""
        padded = ops.pad(labels, ((0, 0), (1, 1), (1, 1)), constant_values=VOID)
        differs = ops.zeros_like(ops.equal(labels, 0))
        for neighbour in (padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]):
            other = ops.logical_and(ops.not_equal(neighbour, labels), ops.not_equal(neighbour, VOID))
            differs = ops.logical_or(differs, other)
        return ops.one_hot(ops.where(differs, labels, VOID), self.num_classes, dtype="float32")

    def _near(self, maps):
        """1 where a pixel within the tolerance is 1: (B, H, W, K) -> the same."""
        reach = int(self.tolerance)
        offsets = np.arange(-reach, reach + 1)
        disc = (offsets[:, None] ** 2 + offsets**2 <= self.tolerance**2).astype("float32")
        kernel = np.repeat(disc[:, :, None, None], self.num_classes, axis=2)  # (k, k, K, 1)
        return ops.cast(ops.depthwise_conv(maps, kernel, padding="same", data_format="channels_last") > 0.5, "float32")
