"""Your own images and masks, in two folders of files with the same names.

Two layouts of `data.folder` are understood:

    images/a.jpg, masks/a.png                                   divided by validation_fraction and test_fraction
    train/images/…, train/masks/…, val/images/…, val/masks/…    as they are; without val, a part of train

The part for validation may also be called `validation` or `valid`; there may be a `test`. Images are JPEG, PNG, BMP,
GIF or WebP; masks are PNG files of one number a pixel, grey or with a palette. In the first layout an example's part
follows from a hash of its name, so it hardly changes when other files come or go.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.data import splits
from tfdlcv.data.dense_examples import VOID, DenseData
from tfdlcv.data.image_listing import ENDINGS
from tfdlcv.data.labelled_images import listed
from tfdlcv.data.mask_decoding import MaskFormat, read_mask, value_table
from tfdlcv.data.mask_files import MaskedImages, MaskFilesConfig, MaskReader, build_listed, part_of
from tfdlcv.data.voc import palette
from tfdlcv.errors import UserError

_PARTS = {"train": "train", "val": "validation", "validation": "validation", "valid": "validation", "test": "test"}

Byte = Annotated[int, Field(ge=0, le=255)]


class ImageMaskFolder(MaskFilesConfig):
    """Your own images and masks."""

    name: Literal["image_mask_folder"]
    folder: str = Field(min_length=1)
    """The folder of images and masks, or of train, val and test."""
    class_names: tuple[str, ...] = Field(min_length=2, max_length=255)
    """In the order of their numbers; the first is often the background."""
    values: tuple[Byte, ...] | None = None
    """What the files hold for each class, such as [0, 255]; by default 0, 1, 2, ..."""
    void_value: Byte = VOID
    """What the files hold where the class is not known. 255 in `values` is a class and not void."""
    images: str = Field("images", min_length=1)
    """The folder of the images."""
    masks: str = Field("masks", min_length=1)
    """The folder of the masks."""
    mask_suffix: str = ""
    """What stands between an image's name and `.png` in that of its mask, such as _mask."""
    validation_fraction: float = Field(0.1, ge=0, lt=1)
    """Part of the examples, where there is no folder of them. With 0, validation uses the test examples."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """In the first layout."""

    @model_validator(mode="after")
    def _values_fit(self):
        if self.values is not None:
            if len(self.values) != len(self.class_names):
                raise ValueError(
                    f"values ({len(self.values)} numbers) must have one for each of the {len(self.class_names)} classes"
                )
            if len(set(self.values)) != len(self.values):
                raise ValueError(f"values must differ, not {list(self.values)}")
        values = self.values_of_classes
        if self.void_value != VOID and self.void_value in values:
            raise ValueError(f"void_value ({self.void_value}) must not be among the values of classes {values}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validation_fraction ({self.validation_fraction}) and test_fraction ({self.test_fraction}) must leave "
                "a part for training"
            )
        return self

    @property
    def values_of_classes(self) -> list[int]:
        """`values`, or what stands for them."""
        return list(range(len(self.class_names)) if self.values is None else self.values)


def mask_format(config: ImageMaskFolder) -> MaskFormat:
    """As `config` says."""
    table = value_table(config.values_of_classes, config.void_value)
    return MaskFormat(table, lambda stem: f"{stem}{config.mask_suffix}.png")


def build(config: ImageMaskFolder) -> DenseData:
    """Lists, checks, divides and opens the files.

    Raises:
        UserError: for a folder that is not laid out as above, images without masks, and faulty files.
    """
    folder = Path(config.folder).expanduser().absolute()
    parts = _listed_parts(folder, config)
    validation_fraction = config.validation_fraction
    if "all" in parts:
        everything = parts.pop("all")
        order = splits.hashed_order(everything.names.tolist())
        if config.test_fraction:
            order, held = splits.held_out(order, np.zeros(len(order), np.int64), part_of(config.test_fraction))
            parts["test"] = everything.of(np.sort(held))
        parts["train"] = everything.of(np.sort(order))
        validation_fraction /= 1 - config.test_fraction  # Of the whole, not of what testing leaves.
    table = mask_format(config).table
    reader = MaskReader(
        read=lambda path: read_mask(path, table),
        class_names=config.class_names,
        palette=palette(len(config.class_names)),
        files=[path for part in parts.values() for path in part.masks],
        options={"values": config.values_of_classes, "void_value": config.void_value},
    )
    data = build_listed(config, parts, reader, validation_fraction)
    if sum(count > 0 for count in data.class_pixels) == 1 and config.check == "once":
        only = next(name for name, count in zip(config.class_names, data.class_pixels, strict=True) if count)
        raise UserError(
            f"all training pixels of {folder} are of class {only} or void: there is nothing to tell apart. Where "
            "masks hold 0 and 255 for two classes, set data.values: [0, 255]"
        )
    return data


def _listed_parts(folder: Path, config: ImageMaskFolder) -> dict[str, MaskedImages]:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"data.folder {folder} {what}")
    if (folder / config.images).is_dir():
        return {"all": _listed(folder, folder, config)}
    found = {name: part for name, part in _PARTS.items() if (folder / name / config.images).is_dir()}
    if "train" not in found:
        raise UserError(
            f"{folder} has neither {config.images}/ nor train/{config.images}/: images must be in the one or the other"
        )
    doubled = [name for name, part in found.items() if part == "validation"]
    if len(doubled) > 1:
        raise UserError(f"{folder} has several folders for validation: {listed(doubled)}")
    return {part: _listed(folder / name, folder, config) for name, part in found.items()}


def _listed(part_folder: Path, folder: Path, config: ImageMaskFolder) -> MaskedImages:
    """The pairs of one part."""
    image_folder, mask_folder = part_folder / config.images, part_folder / config.masks
    if not mask_folder.is_dir():
        raise UserError(f"{part_folder} has a folder {config.images}, but none that is called {config.masks}")
    images = _files(image_folder, ENDINGS)
    if not images:
        raise UserError(f"{image_folder} holds no images; they end in {', '.join(ENDINGS)}")
    name_of = mask_format(config).file_name
    masks = {path: mask_folder / name_of(path.stem) for path in images}
    doubled = [stem for stem, count in Counter(path.stem for path in images).items() if count > 1]
    if doubled:
        raise UserError(f"{image_folder} has several images for one mask: {listed(doubled)}")
    missing = [path.name for path in images if not masks[path].is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(images)} images in {image_folder} have no mask in {mask_folder}, such as "
            f"{masks[image_folder / missing[0]].name}: {listed(missing, 5)}"
        )
    used = set(masks.values())
    unused = [path.name for path in _files(mask_folder, (".png",)) if path not in used]
    if unused:
        raise UserError(f"{len(unused)} masks in {mask_folder} have no image in {image_folder}: {listed(unused, 5)}")
    return MaskedImages.listed(
        [str(path) for path in images],
        [path.relative_to(folder).as_posix() for path in images],
        [str(masks[path]) for path in images],
    )


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name for entry in entries if entry.name.lower().endswith(endings) and not entry.name.startswith(".")
        )
    return [folder / name for name in names]
