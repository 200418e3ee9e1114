"""Depth of a photographed motorcycle: the stereo pair that scikit-image ships.

Scharstein et al. 2014, "High-Resolution Stereo Datasets with Subpixel-Accurate Ground Truth": the left image,
500 x 741, and its measured disparity, from which depth follows. One photograph says nothing about others: this data set
is to overfit a network on, and to see depth of the real world.

Training takes windows of the left part of the image, validation and testing those of the right part, and no pixel of
one is in the other.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.dense_examples import DenseData, generated_split
from tfdlcv.data.mask_augmentation import MaskAugmentation
from tfdlcv.data.scenes import TARGETS
from tfdlcv.errors import UserError

# The calibration of scikit-image's `stereo_motorcycle`, of images at a quarter of the published size.
FOCAL_PIXELS = 994.978
BASELINE_METRES = 0.193001
OFFSET_PIXELS = 31.086  # Between the principal points of the two cameras.

_HEIGHT, _WIDTH = 500, 741
_FILES = ("motorcycle_left.png", "motorcycle_disp.npz")


class MotorcycleConfig(Section):
    """Windows of the motorcycle of scikit-image's stereo pair, with depth."""

    name: Literal["motorcycle"]
    image_size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (96, 128)
    """Height and width of a window."""
    stride: int = Field(16, ge=1)
    """Pixels between the windows of training; those of validation lie side by side."""
    train_width: int = Field(541, ge=8, lt=_WIDTH)
    """Columns from the left that belong to training."""
    augmentation: MaskAugmentation = MaskAugmentation()

    @model_validator(mode="after")
    def _windows_fit(self):
        height, width = self.image_size
        narrow = min(self.train_width, _WIDTH - self.train_width)
        if height > _HEIGHT or width > narrow:
            raise ValueError(
                f"image_size {[height, width]} must fit into both parts of the image, {_HEIGHT} x {self.train_width} "
                f"and {_HEIGHT} x {_WIDTH - self.train_width}"
            )
        return self


def build(config: MotorcycleConfig) -> DenseData:
    """Cuts the windows.

    Raises:
        UserError: scikit-image is not installed, or lacks the files.
    """
    image, depth = read_motorcycle()
    height, width = config.image_size
    shapes = {"image": (height, width, 3), "target": (height, width, 1)}

    def split_of(part: str, corners: list[tuple[int, int]]):
        def make(index: int) -> dict[str, np.ndarray]:
            row, column = corners[index]
            window = slice(row, row + height), slice(column, column + width)
            return {"image": image[window], "target": depth[window][..., None]}

        return generated_split(make, len(corners), shapes=shapes, name=f"{part} motorcycle", keep=False)

    train = _corners(0, config.train_width, config.image_size, (config.stride, config.stride))
    held = _corners(config.train_width, _WIDTH, config.image_size, config.image_size)
    validation = split_of("validation", held)
    return DenseData(
        train=split_of("train", train),
        validation=validation,
        test=validation,
        image_shape=shapes["image"],
        target=TARGETS["depth"],
    )


def depth_of_disparity(disparity: np.ndarray) -> np.ndarray:
    """Depth in metres, float32, of disparities in pixels; NaN where it was not measured."""
    disparity = np.where(np.isfinite(disparity), disparity, np.nan)
    return (FOCAL_PIXELS * BASELINE_METRES / (disparity + OFFSET_PIXELS)).astype(np.float32)


@cache
def read_motorcycle() -> tuple[np.ndarray, np.ndarray]:
    """Image (500, 741, 3) uint8 and depth (500, 741) float32, metres, NaN where it was not measured.

    Raises:
        UserError: scikit-image is not installed, or lacks the files.
    """
    # Its files alone: importing scikit-image would take a second.
    package = importlib.util.find_spec("skimage")
    if package is None:
        raise UserError("data motorcycle is in scikit-image: pip install scikit-image")
    folder = Path(package.origin).parent / "data"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)}: install scikit-image 0.25 or 0.26")
    with np.load(folder / _FILES[1]) as stored:
        disparity = stored["arr_0"]
    with Image.open(folder / _FILES[0]) as picture:
        return np.asarray(picture.convert("RGB")), depth_of_disparity(disparity)


def _corners(first: int, last: int, size: tuple[int, int], stride: tuple[int, int]) -> list[tuple[int, int]]:
    """Upper left corners of the windows that lie in the columns first..last - 1."""
    height, width = size
    return [
        (row, column)
        for row in range(0, _HEIGHT - height + 1, stride[0])
        for column in range(first, last - width + 1, stride[1])
    ]
