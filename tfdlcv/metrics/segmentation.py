"""The metrics by which every segmentation of this package is judged."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from tfdlcv.metrics.average_precision import MeanAveragePrecision
from tfdlcv.metrics.boundary_f1 import BoundaryF1
from tfdlcv.metrics.confusion_matrix import Accuracy, ConfusionMatrix, MeanClassAccuracy, per_class_accuracy
from tfdlcv.metrics.intersection_over_union import (
    FrequencyWeightedIoU,
    MeanIoU,
    PerClassIoU,
    frequency_weighted_iou,
    per_class_iou,
)


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


def mask_metrics(num_classes: int, *, boundary_tolerance: float = 2.0) -> dict[str, list[keras.metrics.Metric]]:
    """Metrics of masks (B, H, W), logits (B, H, W, K) and a `sample_weight` (B,); labels outside 0..K-1 are void.

    Args:
        num_classes: K, at least 2.
        boundary_tolerance: of `BoundaryF1`, in pixels.

    Returns:
        "always": `accuracy` (of pixels) and `mean_iou`.
        "evaluation": `mean_class_accuracy`, `frequency_weighted_iou`, `boundary_f1` (scalars), `per_class_iou` (K,),
        `confusion_matrix` (K, K).
    """
    always = [Accuracy(num_classes), MeanIoU(num_classes)]
    evaluation = [
        MeanClassAccuracy(num_classes),
        FrequencyWeightedIoU(num_classes),
        BoundaryF1(num_classes, tolerance=boundary_tolerance),
        PerClassIoU(num_classes),
        ConfusionMatrix(num_classes),
    ]
    return {"always": always, "evaluation": evaluation}


def confusion_scores(matrix: np.ndarray) -> dict[str, float]:
    """Everything that a confusion matrix (K, K), rows true classes, says in one number; NaN for a matrix of zeros."""
    matrix = np.asarray(matrix, "float64")
    accuracies, shares = np.asarray(per_class_accuracy(matrix)), np.asarray(per_class_iou(matrix))
    if not matrix.sum():
        return dict.fromkeys(("accuracy", "mean_class_accuracy", "mean_iou", "frequency_weighted_iou"), float("nan"))
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "mean_class_accuracy": float(np.nanmean(accuracies)),
        "mean_iou": float(np.nanmean(shares)),
        "frequency_weighted_iou": float(frequency_weighted_iou(matrix)),
    }


def class_table(matrix: np.ndarray, class_names: Sequence[str] = ()) -> str:
    """A line for each class, with how many are of it, accuracy, precision and intersection over union; then the means.

    Args:
        matrix: confusion matrix (K, K), rows are true classes.
        class_names: K names; default: the classes' numbers.
    """
    matrix = np.asarray(matrix, "float64")
    names = class_names or [str(number) for number in range(len(matrix))]
    if len(names) != len(matrix):
        raise ValueError(f"class_names ({len(names)}) must be as many as the classes ({len(matrix)})")
    columns = {
        "accuracy": np.asarray(per_class_accuracy(matrix)),
        "precision": np.asarray(per_class_accuracy(matrix.T)),
        "IoU": np.asarray(per_class_iou(matrix)),
    }
    width = max(len(name) for name in (*names, "mean"))
    lines = [" ".join([" " * width, f"{'count':>12}", *(f"{column:>9}" for column in columns)])]
    rows = [(name, matrix[k].sum(), [values[k] for values in columns.values()]) for k, name in enumerate(names)]
    means = [values[~np.isnan(values)].mean() if not np.isnan(values).all() else np.nan for values in columns.values()]
    for name, count, shares in [*rows, ("mean", matrix.sum(), means)]:
        cells = ("-" if np.isnan(share) else f"{share:.4f}" for share in shares)
        lines.append(" ".join([name.ljust(width), f"{count:12,.0f}", *(f"{cell:>9}" for cell in cells)]))
    return "\n".join(lines)
