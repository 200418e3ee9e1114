"""Labelled images in folders: one folder a class, of JPEG, PNG, BMP, GIF or WebP files.

Two layouts of `data.folder` are understood:

    <class>/…/<image>                              divided by data.validation_fraction and data.test_fraction
    train/<class>/…, val/<class>/…, test/<class>/…  as they are; without val, a part of train; without test, no test

A folder `train` that holds folders makes the second. `val` may also be called `validation` or `valid`. Classes are
numbered in the order of their names. Files with other endings and hidden ones are left alone. In the first layout an
example's part follows from a hash of its path inside the folder, so it hardly changes when other files come or go.

The batch dict is described in `tfdlcv.data.labelled_images`, how files become arrays in `tfdlcv.data.images`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.data import splits
from tfdlcv.data.image_listing import ImageFiles, Listing, list_image_files
from tfdlcv.data.labelled_images import LabelledImages, LabelledImagesConfig, listed
from tfdlcv.errors import UserError

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

_LOGGER = logging.getLogger(__name__)
_NAMED_FILES = 10  # So many of the unreadable files stand in a message.


class ImageFilesConfig(LabelledImagesConfig):
    """Options common to the data sets of image files."""

    folder: str = Field(min_length=1)
    """Where the files are."""
    image_size: tuple[int, int]
    """Height and width that every image is brought to."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """crop: the largest centred part; pad: all of the image on black; stretch: all of it, aspect ratio changed."""
    channels: Literal[1, 3] = 3
    """1: grey; 3: RGB."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Part of each class that is held out for testing, where the data set has no test examples of its own."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about files that cannot be read as images."""
    cache: Literal["none", "memory", "disk"] = "none"
    """Where decoded images are kept; none decodes each file whenever it is needed."""
    cache_folder: str | None = None
    """For cache: disk, and for what is known about unreadable files. Default: tfdlcv in the user's cache folder."""

    @model_validator(mode="after")
    def _sizes(self):
        if min(self.image_size) < 1:
            raise ValueError(f"image_size must be two numbers >= 1, not {list(self.image_size)}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validation_fraction ({self.validation_fraction}) and test_fraction ({self.test_fraction}) must leave "
                "a part for training"
            )
        return self


class ImageFolder(ImageFilesConfig):
    """Your own images: one folder a class."""

    name: Literal["image_folder"]
    folder: str = Field(min_length=1)
    """The folder of the class folders, or of train, val and test."""


def build(config: ImageFolder) -> LabelledImages:
    """Lists, checks and divides the files of `config.folder`.

    Raises:
        UserError: for a folder that is not laid out as above, unreadable files, and choices that it cannot meet.
    """
    folder = Path(config.folder).expanduser().absolute()
    return build_listed(config, list_image_files(folder, config.classes))


def build_listed(config: ImageFilesConfig, listing: Listing) -> LabelledImages:
    """Checks, divides and opens the files of `listing`; `config.classes` has been seen to.

    Raises:
        UserError: for unreadable files, and choices that they cannot meet.
    """
    from tfdlcv.data import decoded_files, images

    class_names = listing.class_names
    image_shape = (*config.image_size, config.channels)
    decode = images.decoder(image_shape, config.resize)
    cache_folder = (
        Path(config.cache_folder).expanduser() if config.cache_folder else decoded_files.default_cache_folder()
    )

    everything = ImageFiles.joined(listing.parts.values())
    paths = everything.paths.tolist()
    array = None
    if config.cache == "memory":
        array, faults = decoded_files.in_memory(paths, decode, image_shape)
    elif config.cache == "disk":
        array, faults = decoded_files.on_disk(paths, decode, image_shape, cache_folder, resize=config.resize)
    else:
        faults = decoded_files.find_unreadable(paths, cache_folder)
    _report(faults, everything, config)

    readable = np.ones(len(everything), bool)
    readable[list(faults)] = False
    parts = {name: part.of(np.flatnonzero(readable[part.rows])) for name, part in listing.parts.items()}
    parts = _divided(parts, config, class_names)

    def split_of(files: ImageFiles) -> Split:
        return _file_split(files, decode) if array is None else _cached_split(files, array)

    return LabelledImages(
        train=split_of(parts["train"]),
        validation=split_of(parts["validation"]),
        test=split_of(parts["test"]) if "test" in parts else None,
        class_names=class_names,
        image_shape=image_shape,
        class_counts=splits.class_counts(parts["train"].labels, len(class_names)),
        decode=decode,
    )


def _report(faults: dict[int, str], files: ImageFiles, config: ImageFilesConfig) -> None:
    """Stops or warns about unreadable files."""
    if not faults:
        return
    first = [f"  {files.names[index]}: {fault}" for index, fault in sorted(faults.items())[:_NAMED_FILES]]
    if len(faults) > _NAMED_FILES:
        first.append(f"  and {len(faults) - _NAMED_FILES:,} more")
    text = f"{len(faults):,} of {len(files):,} image files in {config.folder} cannot be read"
    if config.on_error == "stop":
        raise UserError("\n".join([f"{text} (data.on_error: skip would leave them out):", *first]))
    _LOGGER.warning("%s", "\n".join([f"{text} and are left out:", *first]))


def _divided(
    parts: dict[str, ImageFiles], config: ImageFilesConfig, class_names: tuple[str, ...]
) -> dict[str, ImageFiles]:
    """The parts train, validation and, where there is one, test."""
    train = parts.get("all", parts.get("train"))
    counts = splits.class_counts(train.labels, len(class_names))
    gone = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if gone:
        raise UserError(f"no file of these classes can be read as an image: {listed(gone)}")

    divided = {name: part for name, part in parts.items() if name in ("validation", "test")}
    for name, part in divided.items():
        if not len(part):
            raise UserError(f"the {name} folder of {config.folder} has no readable image of the wanted classes")
    order = splits.hashed_order(train.names)
    if "all" in parts and config.test_fraction:
        order, held = splits.held_out(order, train.labels, splits.fraction_of(config.test_fraction))
        divided["test"] = _not_empty(train.of(np.sort(held)), "test_fraction", config.test_fraction, train)
    if "validation" not in parts:
        if config.validation_fraction:
            # Of the whole class, not of what the test examples leave.
            share = config.validation_fraction / (1 - config.test_fraction if "all" in parts else 1)
            order, held = splits.held_out(order, train.labels, splits.fraction_of(share))
            divided["validation"] = _not_empty(
                train.of(np.sort(held)), "validation_fraction", config.validation_fraction, train
            )
        elif "test" in divided:
            divided["validation"] = divided["test"]
        else:
            raise UserError("data.validation_fraction is 0, and there are no test examples to validate with either")
    order = splits.limited(
        order,
        train.labels,
        train_limit=config.train_limit,
        examples_per_class=config.examples_per_class,
        class_names=class_names,
    )
    return {"train": train.of(np.sort(order)), **divided}


def _not_empty(part: ImageFiles, field: str, fraction: float, files: ImageFiles) -> ImageFiles:
    if not len(part):
        raise UserError(f"data.{field} ({fraction}) of {len(files)} images leaves no example in any class")
    return part


def _file_split(files: ImageFiles, decode: Callable[[tf.Tensor], tf.Tensor]) -> Split:
    """Examples that are read and decoded whenever they are needed."""
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    with tf.device("CPU:0"):
        paths, labels = tf.constant(files.paths.tolist(), tf.string), tf.constant(files.labels, tf.int32)

    def fetch(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": decode(tf.io.read_file(tf.gather(paths, index))), "label": tf.gather(labels, index)}

    return Split(num_examples=len(files), fetch=fetch, describe=files.names.__getitem__, fetch_per_example=True)


def _cached_split(files: ImageFiles, array: np.ndarray) -> Split:
    """Examples in rows of `array` (N, H, W, C) uint8, in memory or on disk."""
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    with tf.device("CPU:0"):
        labels = tf.constant(files.labels, tf.int32)

    def gather(indices: np.ndarray) -> np.ndarray:
        return array[files.rows[indices]]

    def fetch(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        # Not a tensor of all images: that would hold a cache on disk in memory, and one in memory twice.
        images = tf.numpy_function(gather, [indices], tf.uint8, stateful=False)
        images.set_shape((*indices.shape, *array.shape[1:]))
        return {"image": images, "label": tf.gather(labels, indices)}

    return Split(num_examples=len(files), fetch=fetch, describe=files.names.__getitem__)
