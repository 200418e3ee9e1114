"""Losses of masks: a class for every pixel, of which some do not count.

Shape legend: B images, H rows, W columns, K classes.

Every loss takes logits (B, H, W, K) of any float type and a mask (B, H, W) of integers, and gives the mean as ()
float32. A pixel whose label is not in 0..K-1, such as 255, is void: it does not count and has no gradient. Neither have
the pixels of images for which `valid` (B,) is False. A batch without any pixel that counts gives 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from keras import ops

from tfdlcv.losses.reduction import batch_mean


def counted_pixels(mask, num_classes: int, valid=None):
    """(B, H, W) bool: labels in 0..K-1, of images that are no padding."""
    counted = ops.logical_and(mask >= 0, mask < num_classes)
    if valid is None:
        return counted
    return ops.logical_and(counted, ops.cast(valid, "bool")[:, None, None])


def mask_cross_entropy(
    logits,
    mask,
    *,
    valid=None,
    class_weights: Sequence[float] | None = None,
    pixel_weights=None,
):
    """Cross-entropy, the mean over the pixels that count.

    Args:
        logits, mask, valid: See the module.
        class_weights: K factors for pixels of each class, such as `median_frequency_weights`. As in `cross_entropy`,
            and unlike in PyTorch, the sum is divided by the number of pixels, not by the sum of their weights.
        pixel_weights: (B, H, W) further factors, such as `border_weights`, of which those of classes are a part.
    """
    return focal_loss(logits, mask, gamma=0.0, valid=valid, class_weights=class_weights, pixel_weights=pixel_weights)


def focal_loss(
    logits,
    mask,
    *,
    gamma: float = 2.0,
    valid=None,
    class_weights: Sequence[float] | None = None,
    pixel_weights=None,
):
    """Cross-entropy times (1 - p)^gamma, with the probability p of the pixel's class: what is easy weighs little.

    Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, with softmax.

    Args:
        gamma: At least 0, which is cross-entropy; the paper has 2.
        logits, mask, valid, class_weights, pixel_weights: As of `mask_cross_entropy`.
    """
    num_classes = logits.shape[-1]
    if gamma < 0:
        raise ValueError(f"gamma must be at least 0. Received: gamma={gamma}")
    if class_weights is not None and len(class_weights) != num_classes:
        raise ValueError(f"class_weights ({len(class_weights)}) must be as many as the classes ({num_classes})")
    counted = counted_pixels(mask, num_classes, valid)
    labels = ops.where(counted, ops.cast(mask, "int32"), 0)
    losses = ops.sparse_categorical_crossentropy(labels, ops.cast(logits, "float32"), from_logits=True)  # (B, H, W)
    if gamma:
        # 1 - p = -expm1(-loss); the bound keeps the derivative of a power below 1 finite where p is 1.
        losses = losses * ops.maximum(-ops.expm1(-losses), 1e-7) ** gamma
    if class_weights is not None:
        losses = losses * ops.take(ops.convert_to_tensor(class_weights, dtype="float32"), labels, axis=0)
    if pixel_weights is not None:
        losses = losses * ops.cast(pixel_weights, "float32")
    return batch_mean(ops.reshape(losses, (-1,)), ops.reshape(counted, (-1,)))


def dice_loss(logits, mask, *, valid=None, classes: Literal["present", "all"] = "present", smoothing: float = 1.0):
    """1 - 2 |P ∩ T| / (|P| + |T|) of each class, with probabilities for the set P, the mean over classes.

    Milletari, Navab, Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
    3DV 2016, without the squares of its denominator. Sets are those of the whole batch.

    Args:
        logits, mask, valid: See the module.
        classes: Which the mean goes over: those of the batch's masks, or all, of which those in no mask ask for
            probabilities of 0.
        smoothing: Pixels that are added to both sides of the fraction.
    """
    overlap, predicted, true = _soft_counts(logits, mask, valid)
    losses = 1 - (2 * overlap + smoothing) / (predicted + true + smoothing)
    return _mean_over_classes(losses, true, classes)


def jaccard_loss(logits, mask, *, valid=None, classes: Literal["present", "all"] = "present", smoothing: float = 1.0):
    """1 - |P ∩ T| / |P ∪ T| of each class, with probabilities for the set P; see `dice_loss`.

    Rahman, Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation", ISVC 2016.
    """
    overlap, predicted, true = _soft_counts(logits, mask, valid)
    losses = 1 - (overlap + smoothing) / (predicted + true - overlap + smoothing)
    return _mean_over_classes(losses, true, classes)


def lovasz_softmax_loss(logits, mask, *, valid=None, classes: Literal["present", "all"] = "present"):
    """The convex extension of 1 - intersection over union of each class, the mean over classes.

    Berman, Rannen Triki, Blaschko, "The Lovász-Softmax Loss: A Tractable Surrogate for the Optimization of the
    Intersection-Over-Union Measure in Neural Networks", CVPR 2018, algorithm 1. For probabilities of 0 and 1 it is the
    loss of the hard prediction. Sets are those of the whole batch; it sorts their pixels once for each class.

    Args:
        logits, mask, valid: See the module.
        classes: As of `dice_loss`.
    """
    probabilities, targets, counted = _flat(logits, mask, valid)  # (K, P) twice, (P,)
    # Void pixels come last, where an error of 0 weighs nothing and moves nothing.
    errors = ops.where(counted, ops.abs(targets - probabilities), ops.zeros_like(targets))
    order = ops.argsort(-errors, axis=-1)
    errors = ops.take_along_axis(errors, order, axis=-1)
    hits = ops.take_along_axis(targets, order, axis=-1)
    true = ops.sum(targets, axis=-1, keepdims=True)  # (K, 1)
    intersection = true - ops.cumsum(hits, axis=-1)
    union = true + ops.cumsum(1 - hits, axis=-1)
    jaccard = 1 - intersection / union  # (K, P) if the pixels up to here were wrong.
    steps = ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=-1)
    return _mean_over_classes(ops.sum(errors * steps, axis=-1), true[:, 0], classes)


def median_frequency_weights(masks: Iterable[np.ndarray], num_classes: int) -> tuple[float, ...]:
    """Weights that make rare classes count as much as those of median frequency: median(f) / f_c.

    Eigen, Fergus, "Predicting Depth, Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional
    Architecture", ICCV 2015, section 6.3.2: f_c is the share of the class among the pixels of the images that show it.

    Args:
        masks: Of each image, (H, W) integers; labels outside 0..K-1 do not count.
        num_classes: K.

    Returns:
        K weights; the class of median frequency has 1.

    Raises:
        ValueError: a class is in no mask.
    """
    pixels, pixels_of_images = np.zeros(num_classes), np.zeros(num_classes)
    for mask in masks:
        labels = np.asarray(mask).reshape(-1)
        labels = labels[(labels >= 0) & (labels < num_classes)]
        counts = np.bincount(labels.astype(np.int64), minlength=num_classes)
        pixels += counts
        pixels_of_images += np.where(counts > 0, counts.sum(), 0)
    if (pixels == 0).any():
        raise ValueError(f"every class needs a pixel. Without any: {np.flatnonzero(pixels == 0).tolist()}")
    frequencies = pixels / pixels_of_images
    return tuple((np.median(frequencies) / frequencies).tolist())


def _flat(logits, mask, valid):
    """-> probabilities (K, P) and targets (K, P) float32, 0 for the targets of void, and what counts (P,) bool."""
    num_classes = logits.shape[-1]
    counted = ops.reshape(counted_pixels(mask, num_classes, valid), (-1,))
    labels = ops.where(counted, ops.reshape(ops.cast(mask, "int32"), (-1,)), -1)
    targets = ops.transpose(ops.one_hot(labels, num_classes, dtype="float32"))
    probabilities = ops.reshape(ops.softmax(ops.cast(logits, "float32"), axis=-1), (-1, num_classes))
    return ops.transpose(probabilities), targets, counted


def _soft_counts(logits, mask, valid):
    """-> (K,) each: of pixels of a class, the probability of it; of all pixels, that probability; and their number."""
    probabilities, targets, counted = _flat(logits, mask, valid)
    # `where`, not a product: the logits of padding may be NaN.
    probabilities = ops.where(counted, probabilities, ops.zeros_like(probabilities))
    overlap = ops.sum(ops.where(targets > 0, probabilities, ops.zeros_like(probabilities)), axis=-1)
    return overlap, ops.sum(probabilities, axis=-1), ops.sum(targets, axis=-1)


def _mean_over_classes(losses, true, classes: str):
    """() of losses (K,): over the classes of which `true` (K,) counts a pixel, or over all if there is any pixel."""
    if classes not in ("present", "all"):
        raise ValueError(f"classes must be 'present' or 'all'. Received: classes={classes!r}")
    weights = ops.cast(true > 0, "float32")
    if classes == "all":
        weights = ops.ones_like(weights) * ops.max(weights)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1.0)
