from tfdlcv.metrics.calibration import ExpectedCalibrationError
from tfdlcv.metrics.classification import classification_metrics
from tfdlcv.metrics.confusion_matrix import ConfusionMatrix, MeanClassAccuracy, PerClassAccuracy, per_class_accuracy

__all__ = [
    "ConfusionMatrix",
    "ExpectedCalibrationError",
    "MeanClassAccuracy",
    "PerClassAccuracy",
    "classification_metrics",
    "per_class_accuracy",
]
