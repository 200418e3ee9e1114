"""The metrics by which every segmentation of this package is judged."""

from __future__ import annotations

import keras

from tfdlcv.metrics.average_precision import MeanAveragePrecision
from tfdlcv.metrics.confusion_matrix import ConfusionMatrix
from tfdlcv.metrics.intersection_over_union import MeanIoU, PerClassIoU


def segmentation_metrics(num_classes: int) -> dict[str, list[keras.metrics.Metric]]:
    """Metrics of labels (N...), logits (N..., K) and a `sample_weight` (N...).

    Args:
        num_classes: K, at least 2.

    Returns:
        "always": scalars that are cheap enough for training steps: `accuracy` and `mean_iou`.
        "evaluation": `mean_average_precision` (scalar), `per_class_iou` (K,), `confusion_matrix` (K, K).
    """
    always = [keras.metrics.SparseCategoricalAccuracy(name="accuracy"), MeanIoU(num_classes, name="mean_iou")]
    evaluation = [
        MeanAveragePrecision(num_classes, name="mean_average_precision"),
        PerClassIoU(num_classes, name="per_class_iou"),
        ConfusionMatrix(num_classes, name="confusion_matrix"),
    ]
    return {"always": always, "evaluation": evaluation}
