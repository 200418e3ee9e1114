from tfdlcv.metrics.average_precision import MeanAveragePrecision
from tfdlcv.metrics.boundary_f1 import BoundaryF1
from tfdlcv.metrics.calibration import ExpectedCalibrationError
from tfdlcv.metrics.classification import classification_metrics
from tfdlcv.metrics.confusion_matrix import (
    Accuracy,
    ConfusionMatrix,
    MeanClassAccuracy,
    PerClassAccuracy,
    per_class_accuracy,
)
from tfdlcv.metrics.embedding_retrieval import RecallAtK, RetrievalAveragePrecision
from tfdlcv.metrics.hyperspherical import CosineAccuracy, HypersphericalMeanAbsoluteError, MeanAngle
from tfdlcv.metrics.intersection_over_union import (
    FrequencyWeightedIoU,
    MeanIoU,
    PartIoU,
    PerClassIoU,
    frequency_weighted_iou,
    per_class_iou,
)
from tfdlcv.metrics.restoration import (
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from tfdlcv.metrics.retrieval import mean_average_precision, recall_at_k
from tfdlcv.metrics.segmentation import class_table, confusion_scores, mask_metrics, segmentation_metrics
from tfdlcv.metrics.volumes import DistanceError, InsideIoU

__all__ = [
    "Accuracy",
    "BoundaryF1",
    "ConfusionMatrix",
    "CosineAccuracy",
    "DistanceError",
    "ExpectedCalibrationError",
    "FrequencyWeightedIoU",
    "HypersphericalMeanAbsoluteError",
    "InsideIoU",
    "MeanAngle",
    "MeanAveragePrecision",
    "MeanClassAccuracy",
    "MeanIoU",
    "PartIoU",
    "PeakSignalToNoiseRatio",
    "PerClassAccuracy",
    "PerClassIoU",
    "RecallAtK",
    "RetrievalAveragePrecision",
    "StructuralSimilarity",
    "class_table",
    "classification_metrics",
    "confusion_scores",
    "frequency_weighted_iou",
    "mask_metrics",
    "mean_average_precision",
    "peak_signal_to_noise_ratio",
    "per_class_accuracy",
    "per_class_iou",
    "recall_at_k",
    "segmentation_metrics",
    "structural_similarity",
]
