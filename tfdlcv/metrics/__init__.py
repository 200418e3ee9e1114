from tfdlcv.metrics.average_precision import MeanAveragePrecision
from tfdlcv.metrics.calibration import ExpectedCalibrationError
from tfdlcv.metrics.classification import classification_metrics
from tfdlcv.metrics.confusion_matrix import ConfusionMatrix, MeanClassAccuracy, PerClassAccuracy, per_class_accuracy
from tfdlcv.metrics.embedding_retrieval import RecallAtK, RetrievalAveragePrecision
from tfdlcv.metrics.hyperspherical import CosineAccuracy, HypersphericalMeanAbsoluteError, MeanAngle
from tfdlcv.metrics.intersection_over_union import MeanIoU, PartIoU, PerClassIoU, per_class_iou
from tfdlcv.metrics.retrieval import mean_average_precision, recall_at_k
from tfdlcv.metrics.segmentation import segmentation_metrics

__all__ = [
    "ConfusionMatrix",
    "CosineAccuracy",
    "ExpectedCalibrationError",
    "HypersphericalMeanAbsoluteError",
    "MeanAngle",
    "MeanAveragePrecision",
    "MeanClassAccuracy",
    "MeanIoU",
    "PartIoU",
    "PerClassAccuracy",
    "PerClassIoU",
    "RecallAtK",
    "RetrievalAveragePrecision",
    "classification_metrics",
    "mean_average_precision",
    "per_class_accuracy",
    "per_class_iou",
    "recall_at_k",
    "segmentation_metrics",
]
