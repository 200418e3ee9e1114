"""The public losses."""

from tfdlcv.losses.angular_margin import ArcFaceLoss, CosFaceLoss
from tfdlcv.losses.cross_entropy import balanced_class_weights, binary_cross_entropy, cross_entropy
from tfdlcv.losses.hyperspherical import (
    HypersphericalJointLoss,
    HypersphericalPrototypeLoss,
    HypersphericalRegressionLoss,
    MaximumSeparationLoss,
)
from tfdlcv.losses.metric_learning import ContrastiveLoss, NPairLoss, TripletLoss
from tfdlcv.losses.reduction import batch_mean

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
    "balanced_class_weights",
    "batch_mean",
    "binary_cross_entropy",
    "cross_entropy",
]
