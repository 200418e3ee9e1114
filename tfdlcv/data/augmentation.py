"""Random changes to the images of a training batch: the section of the config and the function made from it.

Training resumes at any step on the same pixels, and `tf.data` prepares batches in parallel and in any order; so the
changes are a pure function of the batch and a seed. Order: crop, flip, resized crop, translation, rotation, colour,
RandAugment, erasing; then mixup or cutmix over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    import tensorflow as tf

# (batch dict, seed (2,) int32) -> batch dict
Augmentation = Callable[[dict[str, "tf.Tensor"], "tf.Tensor"], dict[str, "tf.Tensor"]]


class ResizedCropConfig(Section):
    """A random part of the image, resized to the whole (Szegedy et al. 2015, Going Deeper with Convolutions)."""

    area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest part of the image's area."""
    aspect_ratio: tuple[float, float] = (0.75, 4 / 3)
    """Smallest and largest width / height of the part, in units of the image's own."""

    @model_validator(mode="after")
    def _ranges(self):
        _check_range("area", self.area, 0.0, 1.0)
        _check_range("aspect_ratio", self.aspect_ratio, 0.0, float("inf"))
        return self


class ColorJitterConfig(Section):
    """Random brightness, contrast, saturation and hue, in this order. x means a factor from 1 - x to 1 + x."""

    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    """RGB images only, as hue."""
    hue: float = Field(0.0, ge=0, le=0.5)
    """Largest turn of the hue to either side; 1 is all the way round."""


class RandAugmentConfig(Section):
    """`num_ops` operations drawn for each image (Cubuk et al. 2020, RandAugment)."""

    num_ops: int = Field(ge=1, le=16)
    magnitude: float = Field(ge=0, le=10)
    """Strength of the operations; at 10 they have the ranges of AutoAugment."""


class RandomErasingConfig(Section):
    """A rectangle of the image is overwritten (Zhong et al. 2020, Random Erasing Data Augmentation)."""

    probability: float = Field(gt=0, le=1)
    area: tuple[float, float] = (0.02, 0.33)
    """Smallest and largest part of the image's area."""
    fill: Literal["noise", "black"] = "noise"
    """noise: every value drawn from 0..255."""

    @model_validator(mode="after")
    def _ranges(self):
        _check_range("area", self.area, 0.0, 1.0)
        return self


class AugmentationConfig(Section):
    """Random changes to training images. The defaults change nothing."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirror left and right, top and bottom, or both, with probability 1/2 each."""
    crop_padding: int = Field(0, ge=0)
    """Pad by so many pixels and crop at random to the old size: a shift by whole pixels."""
    resized_crop: ResizedCropConfig | None = None
    translation: float = Field(0.0, ge=0, lt=1)
    """Largest shift, as part of height and width."""
    rotation_degrees: float = Field(0.0, ge=0, le=180)
    """Largest turn to either side."""
    fill_mode: Literal["constant", "nearest", "reflect"] = "constant"
    """What comes in from outside the image: black, its last pixel, or its mirror image."""
    color_jitter: ColorJitterConfig = ColorJitterConfig()
    rand_augment: RandAugmentConfig | None = None
    random_erasing: RandomErasingConfig | None = None
    mixup_alpha: float = Field(0.0, ge=0, le=10)
    """Blend pairs of images, with Beta(alpha, alpha) weights (Zhang et al. 2018, mixup); 0: none, else at least 0.1."""
    cutmix_alpha: float = Field(0.0, ge=0, le=1)
    """Paste a rectangle of another image (Yun et al. 2019, CutMix); 0: none, else at least 0.1. With mixup, each batch
    gets one or the other."""

    @model_validator(mode="after")
    def _alphas_that_can_be_drawn(self):
        for field in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, field)
            # Below, the two float32 gamma variables of which Keras makes a beta variable often both underflow, and
            # the weight becomes 1/2 where it should be 0 or 1.
            if 0 < value < 0.1:
                raise ValueError(f"{field} must be 0, for none, or at least 0.1, not {value}")
        return self


def build_augmentation(
    config: AugmentationConfig, num_classes: int, image_shape: tuple[int, int, int]
) -> Augmentation | None:
    """`config` as a function (batch dict, seed (2,) int32) -> batch dict, or None where it changes nothing.

    Takes `image` (B, H, W, C) uint8 or float32 and `label` (B,) of a batch; gives `image` float32, 0..255, and with
    mixup or cutmix `soft_label` (B, K) float32 and as `label` the class with the largest share. All else is kept. The
    function is pure: one seed gives the same bits, in any order of calls.

    Args:
        num_classes: K.
        image_shape: H, W and C.

    Raises:
        UserError: when `config` asks for something that images of `image_shape` cannot have.
    """
    if config == AugmentationConfig():
        return None
    _check_config(config, image_shape)

    from tfdlcv.data import augmentation_layers

    return augmentation_layers.compose(config, num_classes, image_shape)


def _check_config(config: AugmentationConfig, image_shape: tuple[int, int, int]) -> None:
    height, width, channels = image_shape
    if config.crop_padding >= min(height, width):
        raise UserError(
            f"data.augmentation.crop_padding ({config.crop_padding}) must be smaller than the images' "
            f"height ({height}) and width ({width})"
        )
    for field in ("saturation", "hue"):
        value = getattr(config.color_jitter, field)
        if channels == 1 and value:
            raise UserError(f"data.augmentation.color_jitter.{field} ({value}) needs RGB images; these are grey")


def _check_range(field: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    if not lowest < values[0] <= values[1] <= highest:
        raise ValueError(
            f"{field} must be two numbers with {lowest:g} < first <= second <= {highest:g}, not {list(values)}"
        )
