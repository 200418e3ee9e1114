"""Random changes to training images that their masks, boxes and per-pixel numbers follow.

As in `tfdlcv.data.augmentation`, the changes are a pure function of the batch and a seed. Order: flip, scale and crop,
colour.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.augmentation import Augmentation, ColorJitterConfig
from tfdlcv.data.dense_examples import TargetFacts
from tfdlcv.errors import UserError

Length = Annotated[int, Field(ge=1)]


class ScaleCropConfig(Section):
    """The image is enlarged or shrunk, and a part of it taken; what comes in from outside is black and void."""

    scale: tuple[float, float] = (0.5, 2.0)  # Chen et al. 2017 (DeepLabV3), section 4.1.
    """Smallest and largest factor."""
    size: tuple[Length, Length] | None = None
    """Height and width of the part; by default those of the image."""

    @model_validator(mode="after")
    def _ranges(self):
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two numbers with 0 < first <= second, not {list(self.scale)}")
        return self


class MaskAugmentation(Section):
    """Random changes to training images and what belongs to their pixels. The defaults change nothing."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirror left and right, top and bottom, or both, with probability 1/2 each."""
    scale_crop: ScaleCropConfig | None = None
    color_jitter: ColorJitterConfig = ColorJitterConfig()


def build_mask_augmentation(
    config: MaskAugmentation, *, image_shape: tuple[int, int, int], target: TargetFacts | None = None
) -> Augmentation | None:
    """`config` as a function (batch dict, seed (2,) int32) -> batch dict, or None where it changes nothing.

    Of a batch are changed, where they are in it:
        image: (B, H, W, C) uint8 or float32, 0..255, to float32, 0..255.
        mask: (B, H, W) int32; void, 255, comes in from outside.
        instances: (B, H, W) of integers; 0 comes in from outside.
        target: (B, H, W, C) float32; NaN comes in from outside. Depth is divided by the factor of scaling, for so much
            nearer the scene looks; normals are mirrored with the image.
        boxes: (B, M, 4) float32, x0, y0, x1, y1 in pixels, and labels: (B, M) int32. Boxes are cut to the image or,
            where `instances` are known, drawn anew around what is seen of them (k + 1 stands for object k). A box of
            which too little is left gets label -1 and, as all padding, the place -1.

    Args:
        image_shape: H, W and C.
        target: what `target` is.

    Raises:
        UserError: when `config` asks for something that images of `image_shape` cannot have.
    """
    if config == MaskAugmentation():
        return None
    if target is not None and target.name == "normals" and config.scale_crop is not None:
        low, high = config.scale_crop.scale
        if low != high:
            raise UserError(
                f"data.augmentation.scale_crop.scale {[low, high]}: enlarging changes the directions of normals "
                "against the camera; both numbers must be the same"
            )

    from tfdlcv.data import mask_augmentation_layers

    return mask_augmentation_layers.compose(config, image_shape=image_shape, target=target)
