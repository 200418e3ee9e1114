"""Caltech-UCSD Birds-200-2011 from its published files: 11,788 photographs of 200 species.

Wah, Branson, Welinder, Perona, Belongie 2011, "The Caltech-UCSD Birds-200-2011 Dataset".

    CUB_200_2011/images.txt               <image id> <path inside images/>
    CUB_200_2011/image_class_labels.txt   <image id> <class id, from 1>
    CUB_200_2011/train_test_split.txt     <image id> <1 for training, 0 for testing>
    CUB_200_2011/classes.txt              <class id, from 1> <name>
    CUB_200_2011/images/<path>
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.data import image_folder
from tfdlcv.data.image_folder import ImageFilesConfig
from tfdlcv.data.image_listing import ImageFiles, Listing
from tfdlcv.data.labelled_images import LabelledImages, selected_classes
from tfdlcv.errors import UserError

_FOLDER = "CUB_200_2011"


class Cub200(ImageFilesConfig):
    """Caltech-UCSD Birds-200-2011."""

    name: Literal["cub200"]
    folder: str = Field(min_length=1)
    """CUB_200_2011, or the folder that it is in."""


def build(config: Cub200) -> LabelledImages:
    """Reads the lists and opens the images.

    Raises:
        UserError: for files that are missing or do not belong together.
    """
    folder = Path(config.folder).expanduser().absolute()
    folder = folder / _FOLDER if (folder / _FOLDER).is_dir() else folder
    paths = _read_pairs(folder, "images.txt")
    labels = _read_pairs(folder, "image_class_labels.txt", paths)
    is_training = _read_pairs(folder, "train_test_split.txt", paths)
    names = _read_pairs(folder, "classes.txt")
    # 001.Black_footed_Albatross
    class_names = tuple(name.partition(".")[2].replace("_", " ") or name for name in names.values())
    position = {class_id: index for index, class_id in enumerate(names)}
    unknown = sorted(set(labels.values()) - set(position))
    if unknown:
        raise UserError(f"{folder / 'image_class_labels.txt'} has class {unknown[0]}, which classes.txt lacks")
    class_names, new_number = selected_classes(config.classes, class_names)

    parts, first_row = {}, 0
    for part, mark in (("train", "1"), ("test", "0")):
        chosen = [i for i in paths if is_training[i] == mark and new_number[position[labels[i]]] >= 0]
        if not chosen:
            raise UserError(f"{folder / 'train_test_split.txt'} has no image for the {part} part")
        files = [folder / "images" / paths[i] for i in chosen]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise UserError(
                f"{len(missing):,} of {len(files):,} images of the {part} part do not exist, among them {missing[0]}"
            )
        parts[part] = ImageFiles(
            paths=np.array([str(file) for file in files], object),
            names=np.array([f"images/{paths[i]}" for i in chosen], object),
            labels=np.array([new_number[position[labels[i]]] for i in chosen], np.int32),
            rows=np.arange(first_row, first_row + len(chosen)),
        )
        first_row += len(chosen)
    return image_folder.build_listed(config, Listing(parts, class_names))


def _read_pairs(folder: Path, name: str, like: dict[str, str] | None = None) -> dict[str, str]:
    """{first word: rest} of each line; with `like`, for the same first words."""
    path = folder / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}. data.folder must hold CUB-200-2011, from the page of the "
            "Caltech Vision Lab"
        ) from error
    pairs = {}
    for number, line in enumerate(lines, 1):
        first, _, rest = line.strip().partition(" ")
        if not rest:
            raise UserError(f"{path}:{number} must have two words. Received: {line!r}")
        pairs[first] = rest
    if like is not None and pairs.keys() != like.keys():
        raise UserError(f"{path} ({len(pairs):,} lines) and images.txt ({len(like):,} lines) list different images")
    if not pairs:
        raise UserError(f"{path} is empty")
    return pairs
