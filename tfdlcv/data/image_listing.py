"""Listing the image files of a folder that has one folder a class.

The two layouts are described in `tfdlcv.data.image_folder`.

Shape legend: N files.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfdlcv.data import splits
from tfdlcv.data.labelled_images import listed, selected_classes
from tfdlcv.errors import UserError

_LOGGER = logging.getLogger(__name__)
ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp")
_VALIDATION_FOLDERS = ("val", "validation", "valid")


@dataclass(frozen=True)
class ImageFiles:
    """Image files of a data set.

    paths: (N,) of text.
    names: (N,) of text, the paths relative to the data set's folder, with `/` between their parts.
    labels: (N,) int32.
    rows: (N,) int64, where each file stands among all files that were listed.
    """

    paths: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, indices: np.ndarray) -> ImageFiles:
        return ImageFiles(self.paths[indices], self.names[indices], self.labels[indices], self.rows[indices])

    @classmethod
    def joined(cls, parts: Iterable[ImageFiles]) -> ImageFiles:
        """The files of all `parts`, one after another."""
        parts = list(parts)
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in dataclasses.fields(cls)
            }
        )


@dataclass(frozen=True)
class Listing:
    """What a folder holds: in the first layout `parts` has the key "all", in the second "train" and others."""

    parts: dict[str, ImageFiles]
    class_names: tuple[str, ...]


def list_image_files(folder: Path, classes: Sequence[str | int] | None = None) -> Listing:
    """Lists the images of `classes`, by default all.

    Raises:
        UserError: for a folder in neither layout, fewer than two classes, or a class without images.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"data.folder {folder} {what}")
    part_folders = _part_folders(folder)
    main_folder = part_folders.get("train", folder)
    class_names = _subfolders(main_folder)
    if not class_names:
        raise UserError(
            f"{main_folder} has no class folders: the images of each class must be in a folder of their own, as in "
            f"{main_folder / 'cat' / '1.jpg'}"
        )
    if len(class_names) == 1:
        raise UserError(f"{main_folder} has a single class folder, {class_names[0]}; a classifier needs two or more")
    for part_folder in part_folders.values():
        names = _subfolders(part_folder)
        if not names:
            raise UserError(f"{part_folder} has no class folders, so its images have no labels; rename or move it")
        unknown = [name for name in names if name not in class_names]
        if unknown:
            raise UserError(f"{part_folder} has class folders that {main_folder} lacks: {listed(unknown)}")
    chosen_names, new_number = selected_classes(classes, class_names)
    parts, first_row, num_ignored = {}, 0, 0
    for part, part_folder in part_folders.items() or [("all", folder)]:
        files, ignored = _listed_files(part_folder, folder, class_names, new_number, first_row)
        parts[part] = files
        first_row += len(files)
        num_ignored += ignored
    if num_ignored:
        _LOGGER.info("%d files under %s do not end in %s and are left alone", num_ignored, folder, ", ".join(ENDINGS))
    counts = splits.class_counts(next(iter(parts.values())).labels, len(chosen_names))
    empty = [name for name, count in zip(chosen_names, counts, strict=True) if not count]
    if empty:
        raise UserError(
            f"no images in these class folders of {main_folder}: {listed(empty)}; images end in {', '.join(ENDINGS)}"
        )
    return Listing(parts, chosen_names)


def _part_folders(folder: Path) -> dict[str, Path]:
    """The folders train, validation and test of the second layout; none in the first."""
    if not (folder / "train").is_dir() or not _subfolders(folder / "train"):
        return {}
    found = {"train": folder / "train"}
    validation = [folder / name for name in _VALIDATION_FOLDERS if (folder / name).is_dir()]
    if len(validation) > 1:
        raise UserError(f"{folder} has several folders for validation: {listed([path.name for path in validation])}")
    if validation:
        found["validation"] = validation[0]
    if (folder / "test").is_dir():
        found["test"] = folder / "test"
    return found


def _listed_files(
    part_folder: Path, folder: Path, class_names: tuple[str, ...], new_number: np.ndarray, first_row: int
) -> tuple[ImageFiles, int]:
    """The images of the wanted classes, by class and name, and the number of other files beside them."""
    paths, labels, num_ignored = [], [], 0
    for class_name, label in zip(class_names, new_number.tolist(), strict=True):
        if label < 0:
            continue
        for parent, subfolders, file_names in os.walk(part_folder / class_name):
            subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
            visible = sorted(name for name in file_names if not _is_hidden(name))
            images = [name for name in visible if name.lower().endswith(ENDINGS)]
            num_ignored += len(visible) - len(images)
            paths += [os.path.join(parent, name) for name in images]
            labels += [label] * len(images)
    names = [Path(path).relative_to(folder).as_posix() for path in paths]
    files = ImageFiles(
        paths=np.array(paths, object),
        names=np.array(names, object),
        labels=np.array(labels, np.int32),
        rows=np.arange(first_row, first_row + len(paths)),
    )
    return files, num_ignored


def _subfolders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not _is_hidden(entry.name)))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # The latter is what macOS adds to zip archives.
