"""The public losses."""

from tfdlcv.losses.angular_margin import ArcFaceLoss, CosFaceLoss
from tfdlcv.losses.border_weights import border_weights
from tfdlcv.losses.cross_entropy import balanced_class_weights, binary_cross_entropy, cross_entropy
from tfdlcv.losses.hyperspherical import (
    HypersphericalJointLoss,
    HypersphericalPrototypeLoss,
    HypersphericalRegressionLoss,
    MaximumSeparationLoss,
)
from tfdlcv.losses.metric_learning import ContrastiveLoss, NPairLoss, TripletLoss
from tfdlcv.losses.reduction import batch_mean
from tfdlcv.losses.restoration import absolute_error, half_squared_error
from tfdlcv.losses.segmentation import (
    dice_loss,
    focal_loss,
    jaccard_loss,
    lovasz_softmax_loss,
    mask_cross_entropy,
    median_frequency_weights,
)

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "HypersphericalJointLoss",
    "HypersphericalPrototypeLoss",
    "HypersphericalRegressionLoss",
    "MaximumSeparationLoss",
    "NPairLoss",
    "TripletLoss",
    "absolute_error",
    "balanced_class_weights",
    "batch_mean",
    "binary_cross_entropy",
    "border_weights",
    "cross_entropy",
    "dice_loss",
    "focal_loss",
    "half_squared_error",
    "jaccard_loss",
    "lovasz_softmax_loss",
    "mask_cross_entropy",
    "median_frequency_weights",
]
