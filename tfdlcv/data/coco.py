"""COCO's instances as classes of pixels: 118,287 and 5,000 photographs with 80 classes and the background.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context". In `data.folder`:

    annotations/instances_train2017.json, annotations/instances_val2017.json
    train2017/<name>.jpg, val2017/<name>.jpg

Other files of the same format have other names in the config. Class 0 is the background; the others are the
categories in the order of their ids. Where objects overlap, the smaller one is seen: the format does not say which is
in front, and a large one would hide small ones altogether. Crowds are void where no object is marked.

Needs pycocotools, which the extra `coco` installs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tfdlcv.data.dense_examples import VOID, DenseData
from tfdlcv.data.labelled_images import selected_classes
from tfdlcv.data.mask_files import MaskedImages, MaskFilesConfig, MaskReader, build_listed
from tfdlcv.data.voc import palette
from tfdlcv.errors import UserError

_SOURCE = "the site of the COCO data set, as train2017.zip, val2017.zip and annotations_trainval2017.zip"
_KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "segmentation"),
    "categories": ("id", "name"),
}


class COCOConfig(MaskFilesConfig):
    """COCO, or your own files in its format."""

    name: Literal["coco"]
    folder: str = Field(min_length=1)
    """The folder that the files below are in."""
    train_annotations: str = "annotations/instances_train2017.json"
    train_images: str = "train2017"
    test_annotations: str = "annotations/instances_val2017.json"
    """Those of COCO's test images are not published."""
    test_images: str = "val2017"
    classes: tuple[str | int, ...] | None = Field(None, min_length=1)
    """Keep these categories alone, by name or by place in the order of ids; all else is background."""
    images: Literal["all", "with_objects"] = "all"
    """with_objects: leave out images without an object of the classes."""
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Part of the training images. With 0, validation uses the test part, as published results do."""


def build(config: COCOConfig) -> DenseData:
    """Lists, checks and opens the files.

    Raises:
        UserError: for files that are missing or faulty, and without pycocotools.
    """
    try:
        from pycocotools import mask as run_lengths
    except ImportError:
        raise UserError("data coco needs pycocotools: pip install 'tfdlcv[coco]'") from None
    folder = Path(config.folder).expanduser().absolute()
    files = {
        "train": (folder / config.train_annotations, folder / config.train_images),
        "test": (folder / config.test_annotations, folder / config.test_images),
    }
    contents = {part: _read(annotations) for part, (annotations, _) in files.items()}
    names = _category_names(contents, files)
    chosen, new_number = selected_classes(config.classes, list(names.values()))
    # 0 where the category is not wanted, and so background.
    label_of = {category: int(new_number[place]) + 1 for place, category in enumerate(names)}
    parts = {
        part: _listed(contents[part], *files[part], folder, label_of, only_with_objects=config.images == "with_objects")
        for part in files
    }

    def read(image: dict[str, Any]) -> np.ndarray:
        return semantic_mask(image, label_of, run_lengths)

    class_names = ("background", *chosen)
    reader = MaskReader(
        read=read,
        class_names=class_names,
        palette=palette(len(class_names)),
        files=[str(annotations) for annotations, _ in files.values()],
        options={"classes": chosen, "images": config.images},
    )
    return build_listed(config, parts, reader, config.validation_fraction)


def semantic_mask(image: dict[str, Any], label_of: dict[int, int], run_lengths: Any) -> np.ndarray:
    """Mask (H, W) uint8 of an image of a COCO file.

    Args:
        image: its record, with its `annotations`, each as in the file.
        label_of: category id -> class number; 0 for those that count as background.
        run_lengths: the module pycocotools.mask.

    Raises:
        UserError: an annotation cannot be drawn, or does not fit the image.
    """
    height, width = image["height"], image["width"]
    mask = np.zeros((height, width), np.uint8)
    drawn = []
    for annotation in image["annotations"]:
        label = label_of[annotation["category_id"]]
        if label:
            inside = _inside(annotation, image, run_lengths)
            drawn.append((bool(annotation.get("iscrowd")), int(inside.sum()), label, inside))
    # Crowds first, then objects from large to small.
    for is_crowd, _, label, inside in sorted(drawn, key=lambda item: (not item[0], -item[1])):
        mask[inside] = VOID if is_crowd else label
    return mask


def _inside(annotation: dict[str, Any], image: dict[str, Any], run_lengths: Any) -> np.ndarray:
    """The pixels (H, W) bool of an annotation: polygons, or run lengths as numbers or as text."""
    height, width = image["height"], image["width"]
    segmentation = annotation["segmentation"]
    where = f"annotation {annotation['id']} of image {image['file_name']}"
    if isinstance(segmentation, list):
        bad = [polygon for polygon in segmentation if len(polygon) < 6 or len(polygon) % 2]
        if bad or not segmentation:
            raise UserError(
                f"{where}: polygons are lists of x and y of three points or more, not {bad[0] if bad else []}"
            )
        return run_lengths.decode(run_lengths.merge(run_lengths.frPyObjects(segmentation, height, width))).astype(bool)
    try:
        size, counts = list(segmentation["size"]), segmentation["counts"]
    except (TypeError, KeyError):
        raise UserError(f"{where}: its segmentation is neither polygons nor run lengths") from None
    if size != [height, width]:
        raise UserError(f"{where}: its mask is of size {size}, but the image is of [{height}, {width}]")
    if isinstance(counts, list):
        if sum(counts) != height * width:
            raise UserError(f"{where}: its run lengths add up to {sum(counts)} pixels, not to {height} x {width}")
        return run_lengths.decode(run_lengths.frPyObjects(segmentation, height, width)).astype(bool)
    return run_lengths.decode(segmentation).astype(bool)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no {path}; COCO's files are on {_SOURCE}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    for key, fields in _KEYS.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{path} is no file of COCO's instances: it has no list {key}")
        for record in content[key]:
            lacking = [field for field in fields if field not in record]
            if lacking:
                raise UserError(f"{path}: one of its {key} lacks {', '.join(lacking)}: {str(record)[:200]}")
    return content


def _category_names(contents: dict[str, dict], files: dict[str, tuple[Path, Path]]) -> dict[int, str]:
    """Category id -> name, by id; the same in all files."""
    found = {
        part: {record["id"]: record["name"] for record in sorted(content["categories"], key=lambda item: item["id"])}
        for part, content in contents.items()
    }
    if found["train"] != found["test"]:
        raise UserError(f"{files['train'][0]} and {files['test'][0]} have different categories")
    if not found["train"]:
        raise UserError(f"{files['train'][0]} has no categories")
    return found["train"]


def _listed(
    content: dict[str, Any],
    annotations: Path,
    image_folder: Path,
    folder: Path,
    label_of: dict[int, int],
    *,
    only_with_objects: bool,
) -> MaskedImages:
    """The images of one file with their annotations."""
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation["category_id"] not in label_of:
            raise UserError(
                f"{annotations}: annotation {annotation['id']} has category_id {annotation['category_id']}, which is "
                f"none of its categories: {', '.join(map(str, label_of))}"
            )
        by_image[annotation["image_id"]].append(annotation)
    images = [{**image, "annotations": by_image.pop(image["id"], [])} for image in content["images"]]
    if by_image:
        stray = next(iter(by_image))
        raise UserError(f"{annotations}: annotation {by_image[stray][0]['id']} is of image {stray}, which it lacks")
    if only_with_objects:
        images = [image for image in images if any(label_of[item["category_id"]] for item in image["annotations"])]
    if not images:
        raise UserError(f"{annotations} has no images" + (" with objects of data.classes" if only_with_objects else ""))
    existing = {path.name for path in image_folder.iterdir()} if image_folder.is_dir() else set()
    missing = [image["file_name"] for image in images if image["file_name"] not in existing]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(images)} images of {annotations} are not in {image_folder}, such as {missing[0]}; "
            f"COCO's are on {_SOURCE}"
        )
    paths = [image_folder / image["file_name"] for image in images]
    return MaskedImages.listed(
        [str(path) for path in paths], [path.relative_to(folder).as_posix() for path in paths], images
    )
