"""What a network for dense prediction says of each pixel, as the `loss` sections choose it: a class, depth, normals.

Keras is imported when something is built, not before, so that configs can be checked without it.

Shape legend: B images of H x W pixels, K classes, C numbers of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.errors import UserError

ClassWeights = Literal["none", "balanced", "median_frequency"] | tuple[Annotated[float, Field(ge=0)], ...]


class CrossEntropyConfig(Section):
    """Cross-entropy, the mean over all pixels that are not void."""

    name: Literal["cross_entropy"] = "cross_entropy"
    class_weights: ClassWeights = "none"
    """balanced: inversely proportional to the classes' training pixels; median_frequency: to their share of the images
    that show them, 1 for the median class (Eigen and Fergus 2015); or a number for each class."""
    border_weight: float = Field(0.0, ge=0)
    """U-Net's w_0, 10 in its paper: what background pixels between two objects weigh more, in training; it is added to
    the weight of their class. An object is a patch of pixels of one class other than the first."""
    border_sigma: float = Field(5.0, gt=0)
    """U-Net's sigma, in pixels."""


class FocalConfig(Section):
    """Cross-entropy times (1 - p)^gamma, so that easy pixels weigh little."""

    name: Literal["focal"]
    gamma: float = Field(2.0, ge=0)
    class_weights: ClassWeights = "none"
    """As of cross_entropy."""


class OverlapConfig(Section):
    """What the losses of overlapping regions can be told."""

    classes: Literal["present", "all"] = "present"
    """Which the mean goes over: those of the batch's masks, or all."""
    cross_entropy_weight: float = Field(0.0, ge=0)
    """Factor of cross-entropy that is added; overlaps alone have small gradients at the beginning."""


class DiceConfig(OverlapConfig):
    """1 minus the Dice coefficient of probabilities and masks."""

    name: Literal["dice"]


class JaccardConfig(OverlapConfig):
    """1 minus the intersection over union of probabilities and masks."""

    name: Literal["jaccard"]


class LovaszConfig(OverlapConfig):
    """The Lovász-softmax loss, the convex extension of intersection over union."""

    name: Literal["lovasz"]


class DepthConfig(Section):
    """Depth instead of classes: the difference to the truth, in metres."""

    name: Literal["depth"]
    penalty: Literal["absolute", "huber"] = "absolute"
    delta: float = Field(0.5, gt=0)
    """Of huber, in metres: smaller differences count squared."""


class NormalsConfig(Section):
    """Surface normals instead of classes: 1 minus the cosine of the angle to the truth."""

    name: Literal["normals"]


ClassLossConfig = CrossEntropyConfig | FocalConfig | DiceConfig | JaccardConfig | LovaszConfig
NumberLossConfig = DepthConfig | NormalsConfig
PixelLossConfig = Annotated[ClassLossConfig | NumberLossConfig, Field(discriminator="name")]


@dataclass(frozen=True)
class PixelHead:
    """What turns a network's last maps into answers.

    outputs: K, how many maps the network has.
    finish: maps, a Keras tensor (B, H, W, K) -> the network's outputs (B, H, W, C), float32.
    losses: (batch, outputs) -> {name: () float32}.
    truth: of the batch, what outputs are compared with: mask or target.
    metrics: "always" and "evaluation".
    values: outputs -> (B, H, W, C), what may be averaged over sizes and mirror images.
    describe: values -> named tensors for clients.
    mirror: values (H, W, C) that were mirrored in place -> those of the mirrored scene; None: the same.
    """

    outputs: int
    finish: Callable[[Any], Any]
    losses: Callable[[Mapping[str, Any], Any], dict[str, Any]]
    truth: Literal["mask", "target"]
    metrics: dict[str, list]
    values: Callable[[Any], Any]
    describe: Callable[[Any], dict[str, Any]]
    mirror: Callable[[Any], Any] | None = None


def build_pixel_head(config: ClassLossConfig | NumberLossConfig, facts: Mapping[str, Any]) -> PixelHead:
    """The head that `config` names, for data of these facts (see `tfdlcv.data.masks`)."""
    if isinstance(config, DepthConfig):
        return _depth_head(config)
    return _normals_head() if isinstance(config, NormalsConfig) else _class_head(config, facts)


def add_border_weights(batch: dict[str, Any], config: CrossEntropyConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The batch with `pixel_weight` (B, H, W) float32 of its `mask`; runs within tf.data, on the host.

    Ronneberger, Fischer, Brox 2015, equation 2: the class's weight is part of it, and the loss takes no other.
    """
    import numpy as np
    import tensorflow as tf

    from tfdlcv.data.dense_examples import VOID
    from tfdlcv.losses import border_weights

    options = {"border_weight": config.border_weight, "border_sigma": config.border_sigma, "class_weights": (0.0, 0.0)}
    weights_of_labels = np.ones(VOID + 1, np.float32)
    weights = class_weights(config.class_weights, facts)
    if weights is not None:
        weights_of_labels[: len(weights)] = weights

    def weights_of(masks):
        return weights_of_labels[masks] + np.stack([border_weights(objects_of(mask), **options) for mask in masks])

    pixel_weights = tf.numpy_function(weights_of, [batch["mask"]], tf.float32, stateful=False)
    return {**batch, "pixel_weight": tf.ensure_shape(pixel_weights, batch["mask"].shape)}


def objects_of(mask):
    """Patches (H, W) int32 of touching pixels of one class, numbered from 1; 0 for class 0 and void."""
    import numpy as np
    from scipy import ndimage

    from tfdlcv.data.dense_examples import VOID

    objects, count = np.zeros(mask.shape, np.int32), 0
    for label in np.setdiff1d(mask, (0, VOID)):
        patches, found = ndimage.label(mask == label)
        objects[patches > 0] = patches[patches > 0] + count
        count += found
    return objects


def class_weights(choice: ClassWeights, facts: Mapping[str, Any]) -> tuple[float, ...] | None:
    """A factor for each class, or None.

    Raises:
        UserError: as many numbers as classes are not given, or a class has no training pixel to count.
    """
    import numpy as np

    from tfdlcv.losses import balanced_class_weights

    names = facts["class_names"]
    if choice == "none":
        return None
    if not isinstance(choice, str):
        if len(choice) != len(names):
            raise UserError(
                f"loss.class_weights ({len(choice)} numbers) must have one for each of the {len(names)} classes"
            )
        return choice
    absent = [name for name, pixels in zip(names, facts["class_pixels"], strict=True) if not pixels]
    if absent:
        raise UserError(f"loss.class_weights {choice} needs training pixels of every class. None: {', '.join(absent)}")
    if choice == "balanced":
        return balanced_class_weights(facts["class_pixels"])
    frequencies = np.array(facts["class_pixels"]) / np.array(facts["class_image_pixels"])
    return tuple((np.median(frequencies) / frequencies).tolist())


def _class_head(config: ClassLossConfig, facts: Mapping[str, Any]) -> PixelHead:
    from keras import ops

    from tfdlcv.metrics import mask_metrics

    num_classes = len(facts["class_names"])

    def describe(probabilities):
        return {
            "class_id": ops.cast(ops.argmax(probabilities, axis=-1), "int32"),
            "confidence": ops.max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    return PixelHead(
        outputs=num_classes,
        finish=lambda logits: logits,
        losses=_class_losses(config, class_weights(getattr(config, "class_weights", "none"), facts)),
        truth="mask",
        metrics=mask_metrics(num_classes),
        values=lambda logits: ops.softmax(ops.cast(logits, "float32"), axis=-1),
        describe=describe,
    )


def _class_losses(config: ClassLossConfig, weights: Sequence[float] | None):
    from tfdlcv import losses

    def cross_entropy(batch, logits):
        pixel_weights = batch.get("pixel_weight")  # They have those of the classes in them; validation has none.
        options = {"class_weights": weights if pixel_weights is None else None, "pixel_weights": pixel_weights}
        return losses.mask_cross_entropy(logits, batch["mask"], valid=batch["valid"], **options)

    def focal(batch, logits):
        options = {"gamma": config.gamma, "class_weights": weights}
        return losses.focal_loss(logits, batch["mask"], valid=batch["valid"], **options)

    if isinstance(config, CrossEntropyConfig):
        return lambda batch, logits: {"cross_entropy": cross_entropy(batch, logits)}
    if isinstance(config, FocalConfig):
        return lambda batch, logits: {"focal": focal(batch, logits)}
    functions = {"dice": losses.dice_loss, "jaccard": losses.jaccard_loss, "lovasz": losses.lovasz_softmax_loss}
    overlap = functions[config.name]

    def both(batch, logits):
        values = {config.name: overlap(logits, batch["mask"], valid=batch["valid"], classes=config.classes)}
        if config.cross_entropy_weight:
            values["cross_entropy"] = config.cross_entropy_weight * cross_entropy(batch, logits)
        return values

    return both


def _depth_head(config: DepthConfig) -> PixelHead:
    from keras import ops

    from tfdlcv.losses import dense_regression
    from tfdlcv.metrics.dense_regression import depth_metrics

    def losses(batch, depth):
        if config.penalty == "huber":
            value = dense_regression.masked_huber(depth, batch["target"], delta=config.delta, valid=batch["valid"])
        else:
            value = dense_regression.masked_absolute_error(depth, batch["target"], valid=batch["valid"])
        return {"depth": value}

    return PixelHead(
        outputs=2,  # The networks have at least two; the second is not looked at.
        finish=lambda maps: ops.softplus(maps[..., :1]),  # Nothing lies behind the camera.
        losses=losses,
        truth="target",
        metrics=depth_metrics(),
        values=lambda depth: ops.cast(depth, "float32"),
        describe=lambda depth: {"depth": depth[..., 0]},
    )


def _normals_head() -> PixelHead:
    from tfdlcv.losses.dense_regression import masked_cosine_distance
    from tfdlcv.metrics.dense_regression import normal_metrics
    from tfdlcv.ops import hypersphere

    def losses(batch, normals):
        return {"normals": masked_cosine_distance(normals, batch["target"], valid=batch["valid"])}

    return PixelHead(
        outputs=3,
        finish=hypersphere.normalize,
        losses=losses,
        truth="target",
        metrics=normal_metrics(),
        values=hypersphere.normalize,
        describe=lambda normals: {"normal": normals},
        mirror=lambda normals: normals * (-1, 1, 1),  # What looked to the right looks to the left.
    )
