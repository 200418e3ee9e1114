"""The metrics by which every classifier of this package is judged."""

from __future__ import annotations

import keras

from tfdlcv.metrics.calibration import ExpectedCalibrationError
from tfdlcv.metrics.confusion_matrix import ConfusionMatrix, PerClassAccuracy


def classification_metrics(num_classes: int) -> dict[str, list[keras.metrics.Metric]]:
    """Metrics of integer labels (B,), logits (B, K) and an optional `sample_weight` (B,).

    Top-5 accuracy is left out for K <= 5: it would be 1 whatever the network says, and not every Keras backend can
    take the five best of fewer classes.

    Args:
        num_classes: K, at least 2.

    Returns:
        "always": scalars that are cheap enough for training steps: `accuracy`, and `top5_accuracy` for K > 5.
        "evaluation": `expected_calibration_error` (scalar), `per_class_accuracy` (K,), `confusion_matrix` (K, K).
    """
    always = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    if num_classes > 5:
        always.append(keras.metrics.SparseTopKCategoricalAccuracy(k=5, name="top5_accuracy"))
    evaluation = [
        ExpectedCalibrationError(name="expected_calibration_error"),
        PerClassAccuracy(num_classes, name="per_class_accuracy"),
        ConfusionMatrix(num_classes, name="confusion_matrix"),
    ]
    return {"always": always, "evaluation": evaluation}
