"""PASCAL VOC 2012: 2,913 photographs with the pixels of 20 classes and the background.

Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge". In `data.folder`, or VOC2012 or
VOCdevkit/VOC2012 in it:

    ImageSets/Segmentation/train.txt, val.txt    names, one a line
    JPEGImages/<name>.jpg
    SegmentationClass/<name>.png                 palette; 255 is void: the borders of objects, and what is none

The 10,582 images that most results train on have masks of SBD (Hariharan et al. 2011), converted to such PNGs: with
`train_list: trainaug` and `train_masks: SegmentationClassAug`, as they are commonly laid beside the others.

The masks of the test images are not published: `val.txt` is the test part, as most results have it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.data.dense_examples import Color, DenseData
from tfdlcv.data.mask_decoding import read_mask, value_table
from tfdlcv.data.mask_files import MaskedImages, MaskFilesConfig, MaskReader, build_listed
from tfdlcv.errors import UserError

CLASS_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_SOURCE = "the PASCAL VOC 2012 page of the University of Oxford, as VOCtrainval_11-May-2012.tar"


class VOC2012Config(MaskFilesConfig):
    """PASCAL VOC 2012."""

    name: Literal["voc2012"]
    folder: str = Field(min_length=1)
    """VOC2012, or a folder that holds it."""
    image_size: tuple[int, int] = (512, 512)  # No image is larger than 500 x 500; a multiple of every stride.
    """Height and width that every image is brought to."""
    resize: Literal["none", "pad", "crop", "stretch"] = "none"
    """As of other mask files."""
    train_list: str = Field("train", pattern=r"^[\w.-]+$")
    """File of ImageSets/Segmentation, without `.txt`."""
    train_masks: str = Field("SegmentationClass", pattern=r"^[\w.-]+$")
    """Folder of the masks of `train_list`."""
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Part of `train_list`. With 0, validation uses the test part, as published results do."""


def build(config: VOC2012Config) -> DenseData:
    """Lists, checks and opens the files.

    Raises:
        UserError: for files that are missing or faulty.
    """
    folder = _found(Path(config.folder).expanduser().absolute())
    parts = {
        "train": _listed(folder, config.train_list, config.train_masks),
        "test": _listed(folder, "val", "SegmentationClass"),
    }
    table = value_table(range(len(CLASS_NAMES)))
    reader = MaskReader(
        read=lambda path: read_mask(path, table),
        class_names=CLASS_NAMES,
        palette=palette(len(CLASS_NAMES)),
        files=[path for part in parts.values() for path in part.masks],
        options={},
    )
    return build_listed(config, parts, reader, config.validation_fraction)


def palette(num_classes: int) -> tuple[Color, ...]:
    """The colours of VOC's masks: the bits of a class number, from the lowest, go to the high bits of R, G and B in
    turn (the development kit's VOClabelcolormap)."""
    numbers = np.arange(num_classes)
    colors = np.zeros((num_classes, 3), np.int64)
    for place in range(8):
        for channel in range(3):
            colors[:, channel] |= (numbers >> (3 * place + channel) & 1) << (7 - place)
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


def _found(folder: Path) -> Path:
    for candidate in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012"):
        if (candidate / "ImageSets" / "Segmentation").is_dir():
            return candidate
    raise UserError(f"data.folder {folder} holds no VOC2012 with ImageSets/Segmentation. It is on {_SOURCE}.")


def _listed(folder: Path, part: str, masks_folder: str) -> MaskedImages:
    listing = folder / "ImageSets" / "Segmentation" / f"{part}.txt"
    try:
        names = listing.read_text("utf-8").split()
    except OSError as error:
        raise UserError(f"cannot read {listing}: {error.strerror}. It is on {_SOURCE}.") from error
    images = [folder / "JPEGImages" / f"{name}.jpg" for name in names]
    masks = [folder / masks_folder / f"{name}.png" for name in names]
    missing = [path for path in [*images, *masks] if not path.is_file()]
    if missing:
        raise UserError(
            f"{listing} names {len(names)} examples, of which {len(missing)} files are missing, such as {missing[0]}. "
            f"They are on {_SOURCE}."
        )
    return MaskedImages.listed([str(path) for path in images], names, [str(path) for path in masks])
