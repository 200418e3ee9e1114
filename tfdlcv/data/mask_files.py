"""Image files with masks: their check before the first step, their division, and their examples.

Files are read when they are needed. Before the first step every image and mask is read once, so that a run does not
stop at a damaged one after hours; what was found, with the pixels of each class, is kept in the cache folder under a
key of all paths, sizes and times of change.

Shape legend: N examples, images H x W, K classes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import splits
from tfdlcv.data.dense_examples import VOID, ClassPixels, Color, DenseData
from tfdlcv.data.mask_augmentation import MaskAugmentation
from tfdlcv.data.mask_decoding import check_usable
from tfdlcv.data.renamed_files import written_then_renamed
from tfdlcv.errors import UserError

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

_LOGGER = logging.getLogger(__name__)
_NAMED_FILES = 10  # So many of the faulty files stand in a message.
_COUNTED_MASKS = 200  # Where no file is checked: enough for the classes' shares to a few percent.


class MaskFilesConfig(Section):
    """Options common to the data sets of image files with masks."""

    folder: str = Field(min_length=1)
    """Where the files are."""
    image_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """Height and width that every image is brought to. Training may take parts of it: augmentation.scale_crop."""
    resize: Literal["none", "pad", "crop", "stretch"] = "pad"
    """none: black and void are added below and to the right of images, none of which may be larger; pad: all of the
    image, scaled to fit, on black and void; crop: the largest centred part, scaled; stretch: aspect ratio changed."""
    train_limit: int | None = Field(None, ge=1)
    """Train on so many examples."""
    check: Literal["once", "never"] = "once"
    """once: read every file before the first step, unless an earlier run has; never: faults stop the run later."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about the faults that the check finds."""
    cache_folder: str | None = None
    """For what the check found. Default: tfdlcv in the user's cache folder."""
    augmentation: MaskAugmentation = MaskAugmentation()


@dataclass(frozen=True)
class MaskedImages:
    """Images of a data set, and what stands for their masks.

    paths: (N,) of text, the image files.
    names: (N,) of text, by which a person knows them.
    masks: (N,) of what the reader's `read` takes.
    """

    paths: np.ndarray
    names: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def listed(cls, paths: Sequence[str], names: Sequence[str], masks: Sequence[Any]) -> MaskedImages:
        """From three lists of the same length."""
        return cls(*(_objects(values) for values in (paths, names, masks)))

    def of(self, indices: np.ndarray) -> MaskedImages:
        return MaskedImages(self.paths[indices], self.names[indices], self.masks[indices])


@dataclass(frozen=True)
class MaskReader:
    """How the masks of a data set are read.

    read: an item of `MaskedImages.masks` -> mask (H, W) uint8; raises UserError that names the file.
    files: all files that decide what `read` gives, besides the images.
    options: all else that does, JSON-able.
    """

    read: Callable[[Any], np.ndarray]
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]
    files: Sequence[str]
    options: dict[str, Any]


def part_of(fraction: float) -> Callable[[int], int]:
    """For `tfdlcv.data.splits.held_out`: the nearest number to `fraction`, but one at least, and never all."""
    return lambda size: min(max(round(size * fraction), 1), max(size - 1, 0))


@dataclass(frozen=True)
class _Checked:
    """faults: what is wrong, by place; counts: (N, K) pixels of each class, or None where nothing was read."""

    faults: dict[int, str]
    counts: np.ndarray | None


def build_listed(
    config: MaskFilesConfig, parts: Mapping[str, MaskedImages], reader: MaskReader, validation_fraction: float
) -> DenseData:
    """Checks, divides and opens the examples of `parts`: train, and perhaps validation and test.

    Args:
        validation_fraction: part of `train` that validates where there is no part for it; with 0, `test` does.

    Raises:
        UserError: for faulty files, unless config.on_error is skip, and for a part that has no example left.
    """
    examples = MaskedImages(
        *(
            np.concatenate([getattr(part, field.name) for part in parts.values()])
            for field in dataclasses.fields(MaskedImages)
        )
    )
    checked = _checked(config, examples, reader) if config.check == "once" else _Checked({}, None)
    _report(checked.faults, examples, config)
    sound = np.ones(len(examples), bool)
    sound[list(checked.faults)] = False
    rows, first = {}, 0
    for name, part in parts.items():
        rows[name] = first + np.flatnonzero(sound[first : first + len(part)])
        first += len(part)
    rows = _divided(rows, examples.names, validation_fraction, config)
    data = {name: _file_split(examples.of(indices), reader, config) for name, indices in rows.items()}
    pixels = _class_pixels(examples, rows["train"], checked.counts, reader)
    return DenseData(
        train=data["train"],
        validation=data["validation"],
        test=data.get("test"),
        image_shape=(*config.image_size, 3),
        class_names=reader.class_names,
        palette=reader.palette,
        class_pixels=tuple(pixels.counts.tolist()),
        class_image_pixels=tuple(pixels.image_counts.tolist()),
    )


def _checked(config: MaskFilesConfig, examples: MaskedImages, reader: MaskReader) -> _Checked:
    """Reads every image and mask, unless an earlier run has."""
    from tfdlcv.data import decoded_files, images

    cache_folder = (
        Path(config.cache_folder).expanduser() if config.cache_folder else decoded_files.default_cache_folder()
    )
    fitting = list(config.image_size) if config.resize == "none" else None
    facts = {"options": reader.options, "classes": len(reader.class_names), "fitting": fitting}
    key = decoded_files.content_key([*examples.paths, *reader.files], kind="masks", **facts)
    stored = cache_folder / f"{key}.masks.npz"
    known = _stored(stored, len(examples))
    if known is not None:
        return known

    counts, faults_of_masks = np.zeros((len(examples), len(reader.class_names)), np.int64), {}

    def check(index: int, image: np.ndarray) -> None:
        try:
            mask = _read_checked(examples, index, image.shape[:2], reader, config)
            counts[index] = np.bincount(mask.ravel(), minlength=VOID + 1)[: counts.shape[1]]
        except UserError as error:
            faults_of_masks[index] = str(error)

    unreadable = decoded_files.decode_all(examples.paths.tolist(), images.decode_at_full_size, check, "checking masks")
    faults = {index: f"image {examples.paths[index]}: {fault}" for index, fault in unreadable.items()}
    checked = _Checked(dict(sorted((faults | faults_of_masks).items())), counts)
    _store(stored, checked)
    return checked


def _read_checked(
    examples: MaskedImages, index: int, image_size: tuple[int, int], reader: MaskReader, config: MaskFilesConfig
) -> np.ndarray:
    """The mask (h, w) uint8 of an example whose image has `image_size`."""
    name, path = examples.masks[index], examples.paths[index]
    mask = reader.read(name)
    check_usable(mask, image_size, mask_name=name if isinstance(name, str) else f"of {path}", image_name=path)
    if config.resize == "none" and (image_size[0] > config.image_size[0] or image_size[1] > config.image_size[1]):
        raise UserError(
            f"image {path} has {image_size[0]} x {image_size[1]} pixels (height x width), more than data.image_size "
            f"{list(config.image_size)}; with data.resize none no image may"
        )
    return mask


def _report(faults: Mapping[int, str], examples: MaskedImages, config: MaskFilesConfig) -> None:
    if not faults:
        return
    lines = [f"  {fault}" for fault in list(faults.values())[:_NAMED_FILES]]
    if len(faults) > _NAMED_FILES:
        lines.append(f"  and {len(faults) - _NAMED_FILES:,} more")
    text = "\n".join([f"{len(faults):,} of {len(examples):,} images of {config.folder} cannot be used:", *lines])
    if config.on_error == "stop":
        raise UserError(f"{text}\nRepair or remove them, or set data.on_error: skip")
    _LOGGER.warning("%s\nThey are left out.", text)


def _divided(
    rows: dict[str, np.ndarray], names: np.ndarray, validation_fraction: float, config: MaskFilesConfig
) -> dict[str, np.ndarray]:
    """Places of the examples of train, validation and perhaps test; `rows` has train, and perhaps the others."""
    rows = dict(rows)
    train = rows["train"][splits.hashed_order(names[rows["train"]].tolist())]
    if "validation" not in rows:
        if validation_fraction:
            # Not stratified: an image has many classes.
            train, rows["validation"] = splits.held_out(
                train, np.zeros(len(names), np.int64), part_of(validation_fraction)
            )
        elif "test" in rows:
            rows["validation"] = rows["test"]
        else:
            raise UserError("data.validation_fraction is 0, and there are no test examples to validate with either")
    if config.train_limit is not None:
        if config.train_limit > len(train):
            raise UserError(f"data.train_limit ({config.train_limit}) is more than the {len(train)} training examples")
        train = train[: config.train_limit]
    rows["train"] = np.sort(train)
    rows["validation"] = np.sort(rows["validation"])
    for part, indices in rows.items():
        if not len(indices):
            raise UserError(f"{config.folder} leaves no example for {part}: {len(names)} images in all")
    return rows


def _file_split(examples: MaskedImages, reader: MaskReader, config: MaskFilesConfig) -> Split:
    """Examples that are read, decoded and fitted to `config.image_size` whenever they are needed."""
    import tensorflow as tf

    from tfdlcv.data import images, mask_fitting
    from tfdlcv.data.pipeline import Split

    with tf.device("CPU:0"):
        paths = tf.constant(examples.paths.tolist(), tf.string)

    def mask_of(index: np.ndarray, image_size: np.ndarray) -> np.ndarray:
        return _read_checked(examples, int(index), tuple(image_size.tolist()), reader, config)

    def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image = images.read_image_file(examples.paths[index])
        return image, mask_of(index, np.array(image.shape[:2]))

    def fetch(index: tf.Tensor) -> dict[str, tf.Tensor]:
        if config.check == "once":
            image = images.decode_at_full_size(tf.io.read_file(tf.gather(paths, index)))
            mask = tf.numpy_function(mask_of, [index, tf.shape(image)[:2]], tf.uint8, stateful=False)
        else:
            # Errors of a graph do not name the file. Decoding outside of it takes several times as long.
            image, mask = tf.numpy_function(read, [index], (tf.uint8, tf.uint8), stateful=False)
        image, mask = tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(mask, (None, None))
        image, mask = mask_fitting.fit(image, mask, config.image_size, config.resize)
        return {"image": image, "mask": mask}

    names = examples.names.tolist()
    return Split(num_examples=len(examples), fetch=fetch, describe=names.__getitem__, fetch_per_example=True)


def _class_pixels(
    examples: MaskedImages, train: np.ndarray, counts: np.ndarray | None, reader: MaskReader
) -> ClassPixels:
    pixels = ClassPixels.none(len(reader.class_names))
    if counts is None:
        for mask in examples.masks[train[:_COUNTED_MASKS]]:
            pixels.add(reader.read(mask))
    else:
        for row in counts[train]:
            pixels.add_counts(row)
    return pixels


def _stored(path: Path, num_examples: int) -> _Checked | None:
    """What an earlier run found, or None."""
    try:
        with np.load(path) as stored:
            faults = dict(zip(stored["places"].tolist(), stored["faults"].tolist(), strict=True))
            return _Checked(faults, stored["counts"]) if len(stored["counts"]) == num_examples else None
    except (OSError, ValueError, KeyError):  # Missing, or damaged: found anew.
        return None


def _store(path: Path, checked: _Checked) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_then_renamed(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                places=np.array(list(checked.faults), np.int64),
                faults=np.array(list(checked.faults.values()), np.str_),
                counts=checked.counts,
            )
    except OSError as error:
        _LOGGER.warning("the files will be checked again next time: cannot write %s: %s", path, error.strerror)


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array
