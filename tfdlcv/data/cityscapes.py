"""Cityscapes: 2,975 and 500 photographs of streets, with the pixels of 19 classes.

Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding". In `data.folder`:

    leftImg8bit/{train,val}/<city>/<name>_leftImg8bit.png
    gtFine/{train,val}/<city>/<name>_gtFine_labelIds.png

The files hold 34 label numbers, of which 19 are classes (`trainId` of the authors' scripts) and the others void. The
masks of the test images are not published: `val` is the test part, as most results have it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tfdlcv.data.dense_examples import VOID, DenseData
from tfdlcv.data.mask_decoding import MaskFormat, read_mask, value_table
from tfdlcv.data.mask_files import MaskedImages, MaskFilesConfig, MaskReader, build_listed
from tfdlcv.errors import UserError

# Name, label number in the files, and colour, in the order of trainId; of cityscapesscripts/helpers/labels.py.
_CLASSES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
CLASS_NAMES = tuple(name for name, _, _ in _CLASSES)
_NUM_LABELS = 34  # 0..33; a number plate, -1, is 255 in a file of bytes.
_SOURCE = "the site of the Cityscapes data set, as leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip"
_PARTS = {"train": "train", "test": "val"}


class CityscapesConfig(MaskFilesConfig):
    """Cityscapes with fine masks."""

    name: Literal["cityscapes"]
    folder: str = Field(min_length=1)
    """The folder of leftImg8bit and gtFine."""
    image_size: tuple[int, int] = (1024, 2048)
    """Height and width that every image is brought to; as published by default."""
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Part of train. With 0, validation uses the test part, as published results do."""


def mask_format() -> MaskFormat:
    """That of `labelIds`."""
    table = value_table([number for _, number, _ in _CLASSES])
    table[:_NUM_LABELS][table[:_NUM_LABELS] < 0] = VOID
    return MaskFormat(table, lambda stem: f"{stem.removesuffix('_leftImg8bit')}_gtFine_labelIds.png")


def build(config: CityscapesConfig) -> DenseData:
    """Lists, checks and opens the files.

    Raises:
        UserError: for files that are missing or faulty.
    """
    folder = Path(config.folder).expanduser().absolute()
    parts = {part: _listed(folder, subfolder) for part, subfolder in _PARTS.items()}
    table = mask_format().table
    reader = MaskReader(
        read=lambda path: read_mask(path, table),
        class_names=CLASS_NAMES,
        palette=tuple(color for _, _, color in _CLASSES),
        files=[path for part in parts.values() for path in part.masks],
        options={"numbers": "labelIds"},
    )
    return build_listed(config, parts, reader, config.validation_fraction)


def _listed(folder: Path, part: str) -> MaskedImages:
    image_folder, mask_folder = folder / "leftImg8bit" / part, folder / "gtFine" / part
    for wanted in (image_folder, mask_folder):
        if not wanted.is_dir():
            raise UserError(f"data.folder {folder} lacks {wanted.relative_to(folder)}. It is on {_SOURCE}.")
    images = sorted(image_folder.glob("*/*_leftImg8bit.png"))
    if not images:
        raise UserError(f"{image_folder} holds no <city>/<name>_leftImg8bit.png. They are on {_SOURCE}.")
    names = [path.name.removesuffix("_leftImg8bit.png") for path in images]
    name_of = mask_format().file_name
    masks = [mask_folder / path.parent.name / name_of(path.stem) for path in images]
    missing = [path for path in masks if not path.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(images)} images in {image_folder} have no mask, such as {missing[0]}. They are on "
            f"{_SOURCE}."
        )
    return MaskedImages.listed([str(path) for path in images], names, [str(path) for path in masks])
