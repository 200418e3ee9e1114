"""Photographs for restoration, whole ones held out: those that ship with packages, and your own.

The batch dict is described in `tfdlcv.data.noise`. Training examples are small patches on a grid of the training
photographs; those of validation and testing are larger parts, side by side, of photographs that are not trained on.

Shape legend: H x W pixels, C channels.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data import patches
from tfdlcv.data.image_listing import ENDINGS
from tfdlcv.data.noise import NoiseConfig
from tfdlcv.data.patches import Photograph
from tfdlcv.errors import UserError

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    from tfdlcv.data.pipeline import Datasets

Scale = Annotated[float, Field(gt=0, le=1)]
_LOGGER = logging.getLogger(__name__)

_SCIKIT_IMAGE, _SCIKIT_LEARN = ("skimage", "data"), ("sklearn", "datasets/images")
# File, package, whether in colour. Of what the wheels hold, these are photographs of things one meets: no scans of
# text, no drawings, no images of microscopes and telescopes.
SHIPPED = {
    "astronaut": ("astronaut.png", _SCIKIT_IMAGE, True),
    "brick": ("brick.png", _SCIKIT_IMAGE, False),
    "camera": ("camera.png", _SCIKIT_IMAGE, False),
    "chelsea": ("chelsea.png", _SCIKIT_IMAGE, True),
    "china": ("china.jpg", _SCIKIT_LEARN, True),
    "coffee": ("coffee.png", _SCIKIT_IMAGE, True),
    "coins": ("coins.png", _SCIKIT_IMAGE, False),
    "flower": ("flower.jpg", _SCIKIT_LEARN, True),
    "grass": ("grass.png", _SCIKIT_IMAGE, False),
    "gravel": ("gravel.png", _SCIKIT_IMAGE, False),
    "motorcycle_left": ("motorcycle_left.png", _SCIKIT_IMAGE, True),
    "motorcycle_right": ("motorcycle_right.png", _SCIKIT_IMAGE, True),
    "rocket": ("rocket.jpg", _SCIKIT_IMAGE, True),
}
_ONE_SCENE = ("motorcycle_left", "motorcycle_right")
_PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


class PhotographsConfig(Section):
    """Options common to both."""

    channels: Literal[1, 3] = 1
    """1: grey; 3: RGB."""
    noise: NoiseConfig = NoiseConfig()
    patch_size: int = Field(40, ge=11)
    """Rows and columns of a training example."""
    stride: int = Field(10, ge=1)
    """Pixels from one training example to the next."""
    scales: tuple[Scale, ...] = Field((1.0,), min_length=1)
    """Training examples are taken from the training photographs at each of these sizes."""
    orientations: Literal["as_is", "all"] = "all"
    """all: training examples are mirrored and turned by quarters at random."""
    evaluation_size: int = Field(144, ge=11)
    """Rows and columns of the parts that validation and testing see."""


class ShippedPhotographs(PhotographsConfig):
    """Photographs that ship with scikit-image and scikit-learn: nine to train on in grey, five in colour."""

    name: Literal["photographs"]
    validation: tuple[str, ...] = Field(("coffee",), min_length=1)
    test: tuple[str, ...] | None = Field(None, min_length=1)
    """Default: camera, chelsea and flower; in colour without camera, which is grey. All photographs that validation and
    testing leave are trained on; in colour, without the grey ones."""

    @model_validator(mode="after")
    def _names(self):
        held_out = {"validation": self.validation, "test": self.test_names}
        for field, names in held_out.items():
            unknown = [name for name in names if name not in SHIPPED]
            if unknown:
                raise ValueError(f"{field} names {', '.join(unknown)}; the photographs are {', '.join(SHIPPED)}")
        both = sorted({*self.validation} & {*self.test_names})
        if both:
            raise ValueError(f"validation and test both name {', '.join(both)}")
        parts = [next((field for field in held_out if name in held_out[field]), "train") for name in _ONE_SCENE]
        if parts[0] != parts[1]:
            raise ValueError(
                f"{_ONE_SCENE[0]} ({parts[0]}) and {_ONE_SCENE[1]} ({parts[1]}) show one scene and must be together"
            )
        if not self.training_names:
            raise ValueError("validation and test leave no photograph for training")
        return self

    @property
    def test_names(self) -> tuple[str, ...]:
        """The photographs that are tested with."""
        return ("camera", "chelsea", "flower")[self.channels == 3 :] if self.test is None else self.test

    @property
    def training_names(self) -> tuple[str, ...]:
        """The photographs that are trained on."""
        left = [name for name in SHIPPED if name not in (*self.validation, *self.test_names)]
        return tuple(name for name in left if self.channels == 1 or SHIPPED[name][2])


class PhotographFolder(PhotographsConfig):
    """Your own photographs: JPEG, PNG, BMP, GIF or WebP files, in folders of any depth.

    With folders `train` and `test`, and perhaps `validation` (or `val`), inside, these are the parts; otherwise whole
    photographs are held out by a hash of their paths. All of them are held in memory.
    """

    name: Literal["photograph_folder"]
    folder: str = Field(min_length=1)
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Part of the photographs, at least one; unused where there is a folder for validation."""
    test_fraction: float = Field(0.1, gt=0, lt=1)
    """As above; unused where there is a folder `train`."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about files that cannot be read as images, or are too small."""


def build(config: ShippedPhotographs | PhotographFolder) -> Datasets:
    """Reads the photographs and divides them.

    Raises:
        UserError: for files that are missing, unreadable or too small, and parts without photographs.
    """
    import tensorflow as tf

    from tfdlcv.data.noise import draw_noise, with_fixed_noise
    from tfdlcv.data.pipeline import Datasets

    parts = _read_folder(config) if isinstance(config, PhotographFolder) else _read_shipped(config)
    draw = draw_noise(config.noise)

    def split_of(part: str):
        training = part == "train"
        size, stride = (config.patch_size, config.stride) if training else (config.evaluation_size,) * 2
        shown = [resized(p, scale) for scale in config.scales for p in parts[part]] if training else parts[part]
        split = patches.patch_split(shown, size=size, stride=stride)
        return with_fixed_noise(split, config.noise, part)

    def augment(batch, seed):
        seeds = tf.random.split(seed, 2)
        target = batch["target"]
        if config.orientations == "all":
            target = patches.mirrored_and_turned(target, seeds[0])
        return batch | draw(target, seeds[1])

    facts = {
        "image_shape": [config.patch_size, config.patch_size, config.channels],
        "photographs": {part: [photograph.name for photograph in photographs] for part, photographs in parts.items()},
    }
    return Datasets(split_of("train"), split_of("validation"), split_of("test"), facts, augment)


def read_shipped(name: str, channels: int) -> Photograph:
    """The photograph `name` of `SHIPPED`.

    Raises:
        UserError: it is grey and is to have 3 channels, or its package is missing.
    """
    file, (package, folder), in_color = SHIPPED[name]
    if channels == 3 and not in_color:
        in_color_names = ", ".join(other for other, (_, _, color) in SHIPPED.items() if color)
        raise UserError(f"data.channels 3: {name} is a grey photograph; those in colour are {in_color_names}")
    spec = importlib.util.find_spec(package)
    path = None if spec is None else Path(spec.origin).parent / folder / file
    if path is None or not path.is_file():
        distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
        raise UserError(
            f"photograph {name} needs the package {distribution}, which ships it: pip install {distribution}"
        )
    return Photograph(name, read_pixels(path, channels))


def read_pixels(path: Path, channels: int) -> np.ndarray:
    """The image (H, W, C) uint8 of a file at its own size; raises a UserError that names the file."""
    import tensorflow as tf

    from tfdlcv.data.images import read_image_file

    pixels = read_image_file(path)
    return tf.image.rgb_to_grayscale(pixels).numpy() if channels == 1 else pixels


def resized(photograph: Photograph, scale: float) -> Photograph:
    """The photograph at `scale` of its height and width, bicubic and antialiased; itself at 1."""
    if scale == 1:
        return photograph
    from PIL import Image

    height, width = (max(1, round(scale * length)) for length in photograph.pixels.shape[:2])
    channels = [
        np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC))
        for channel in np.moveaxis(photograph.pixels, -1, 0)
    ]
    return Photograph(f"{photograph.name} at {scale:g} of its size", np.stack(channels, axis=-1))


def _read_shipped(config: ShippedPhotographs) -> dict[str, list[Photograph]]:
    names = {"train": config.training_names, "validation": config.validation, "test": config.test_names}
    return {part: [read_shipped(name, config.channels) for name in names[part]] for part in names}


def _read_folder(config: PhotographFolder) -> dict[str, list[Photograph]]:
    folder = Path(config.folder).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"data.folder {folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    parts = _listed_parts(folder)
    sizes = {part: config.patch_size if part in ("all", "train") else config.evaluation_size for part in parts}
    read = {part: _read_files(paths, folder, config, sizes[part]) for part, paths in parts.items()}
    return _divided(read, config)


def _listed_parts(folder: Path) -> dict[str, list[Path]]:
    """The files of `all`, or of `train` and the other parts."""
    found = {part: [folder / n for n in names if (folder / n).is_dir()] for part, names in _PARTS.items()}
    several = [paths for paths in found.values() if len(paths) > 1]
    if several:
        raise UserError(f"{folder} has several folders for validation: {', '.join(p.name for p in several[0])}")
    if not found["train"]:
        return {"all": _image_files(folder)}
    if not found["test"]:
        raise UserError(f"{folder} has a folder train but none called test")
    return {part: _image_files(paths[0]) for part, paths in found.items() if paths}


def _image_files(folder: Path) -> list[Path]:
    paths = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        paths += [Path(parent, n) for n in names if n.lower().endswith(ENDINGS) and not n.startswith(".")]
    if not paths:
        raise UserError(f"{folder} holds no image files ({', '.join(ENDINGS)})")
    return sorted(paths)


def _read_files(paths: Sequence[Path], folder: Path, config: PhotographFolder, size: int) -> list[Photograph]:
    photographs, faults = [], []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            pixels = read_pixels(path, config.channels)
            if min(pixels.shape[:2]) < size:
                raise UserError(
                    f"{path} ({pixels.shape[0]} x {pixels.shape[1]}) is smaller than {size} x {size} pixels"
                )
            photographs.append(Photograph(name, pixels))
        except UserError as error:
            if config.on_error == "stop":
                raise UserError(f"{error} (data.on_error: skip would leave it out)") from None
            faults.append(str(error))
    if faults:
        _LOGGER.warning("%d of %d photographs are left out: %s", len(faults), len(paths), "; ".join(faults[:10]))
    if not photographs:
        raise UserError(f"none of the {len(paths)} image files in {folder} can be used; the first: {faults[0]}")
    return photographs


def _divided(parts: dict[str, list[Photograph]], config: PhotographFolder) -> dict[str, list[Photograph]]:
    from tfdlcv.data.splits import hashed_order

    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    left = parts.get("all") or parts["train"]
    order = hashed_order([photograph.name for photograph in left]).tolist()
    divided = {}
    for part, fraction in fractions.items():
        if part in parts:
            divided[part] = parts[part]
            continue
        count = max(1, round(fraction * len(left)))
        held, order = order[:count], order[count:]
        divided[part] = [left[index] for index in sorted(held)]
        small = next((p for p in divided[part] if min(p.pixels.shape[:2]) < config.evaluation_size), None)
        if small is not None:
            raise UserError(
                f"{small.name} ({small.pixels.shape[0]} x {small.pixels.shape[1]}), which is held out for {part}, is "
                f"smaller than data.evaluation_size ({config.evaluation_size})"
            )
    if not order:
        raise UserError(f"the {len(left)} photographs of {config.folder} leave none for training, beside {[*divided]}")
    return {"train": [left[index] for index in sorted(order)], **divided}
