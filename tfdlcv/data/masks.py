"""Images with a class, or numbers, for each pixel: the data sets of dense prediction.

Batch dict of the area, for B images of K classes:
    image: (B, H, W, 3) uint8, 0..255; float32, 0..255, behind an augmentation.
    mask: (B, H, W) int32, 0..K-1, or 255 for void: neither trained on nor scored.
    target: (B, H, W, C) float32 in place of `mask` where numbers are wanted; NaN is void. Of depth C is 1, in metres;
        of normals 3, x to the right, y down and z away from the camera, of length 1.
    id: (B,) int64 and valid: (B,) bool, as everywhere.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tfdlcv.data.cityscapes import CityscapesConfig
from tfdlcv.data.coco import COCOConfig
from tfdlcv.data.image_mask_folder import ImageMaskFolder
from tfdlcv.data.mask_augmentation import build_mask_augmentation
from tfdlcv.data.motorcycle import MotorcycleConfig
from tfdlcv.data.scenes import ScenesConfig
from tfdlcv.data.shapes import ShapesConfig
from tfdlcv.data.voc import VOC2012Config

if TYPE_CHECKING:
    from tfdlcv.data.dense_examples import DenseData
    from tfdlcv.data.mask_decoding import MaskFormat
    from tfdlcv.data.pipeline import Datasets

SegmentationDataConfig = Annotated[
    ShapesConfig | VOC2012Config | CityscapesConfig | COCOConfig | ImageMaskFolder, Field(discriminator="name")
]
RegressionDataConfig = Annotated[ScenesConfig | MotorcycleConfig, Field(discriminator="name")]


def build(config: SegmentationDataConfig | RegressionDataConfig) -> DenseData:
    """Reads or generates the data set that `config` names.

    Raises:
        UserError: for files that are missing or damaged, and for choices that the data cannot meet.
    """
    from tfdlcv.data import cityscapes, coco, image_mask_folder, motorcycle, scenes, shapes, voc

    reader = {
        ShapesConfig: shapes,
        VOC2012Config: voc,
        CityscapesConfig: cityscapes,
        COCOConfig: coco,
        ImageMaskFolder: image_mask_folder,
        ScenesConfig: scenes,
        MotorcycleConfig: motorcycle,
    }
    return reader[type(config)].build(config)


def mask_format(config: SegmentationDataConfig, num_classes: int) -> MaskFormat:
    """How true masks of a user's images are saved: as those of the data set, or as class numbers."""
    from tfdlcv.data import cityscapes, image_mask_folder
    from tfdlcv.data.mask_decoding import MaskFormat, value_table

    if isinstance(config, ImageMaskFolder):
        return image_mask_folder.mask_format(config)
    if isinstance(config, CityscapesConfig):
        return cityscapes.mask_format()
    return MaskFormat(value_table(range(num_classes)), lambda stem: f"{stem}.png")


def build_datasets(config: SegmentationDataConfig | RegressionDataConfig) -> Datasets:
    """`build`, with augmentation and the facts that networks, losses and pictures need.

    Facts: `image_shape` (H, W, 3) of validation and testing; of classes `class_names`, `palette`, `class_pixels` and
    `class_image_pixels` (see `DenseData`); of numbers `target` with `name`, `channels` and `unit`, and otherwise None.
    """
    from tfdlcv.data.pipeline import Datasets

    data = build(config)
    facts = {
        "image_shape": list(data.image_shape),
        "class_names": list(data.class_names),
        "palette": [list(color) for color in data.palette],
        "class_pixels": list(data.class_pixels),
        "class_image_pixels": list(data.class_image_pixels),
        "target": None if data.target is None else dataclasses.asdict(data.target),
    }
    augment = build_mask_augmentation(config.augmentation, image_shape=data.image_shape, target=data.target)
    return Datasets(data.train, data.validation, data.test, facts, augment)
