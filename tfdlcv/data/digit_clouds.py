"""Digits as point clouds: the ink of an image, drawn at random and given a depth; "3-D MNIST" without its files.

The batch dict is described in `tfdlcv.data.point_clouds`. The published 3-D MNIST (de la Iglesia Castro 2016) builds
its clouds from the same digits in the same spirit, turned and noisy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.point_clouds import CloudData

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

_PARTS = ("train", "validation", "test")


class DigitCloudsConfig(Section):
    """Digits that ship with packages, as clouds."""

    name: Literal["digit_clouds"]
    source: Literal["mnist5k", "digits8x8"] = "mnist5k"
    points: int = Field(1024, ge=16)
    depth: float = Field(0.3, ge=0)
    """Of a digit, where the image is 2 high and 2 wide."""
    noise: float = Field(0.01, ge=0)
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    train_limit: int | None = Field(None, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    features: tuple[Literal["ones", "position"], ...] = Field(("position",), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation()


class DigitClouds:
    """The clouds of one part: `len` and `load(index)`."""

    def __init__(self, config: DigitCloudsConfig, part: Literal["train", "validation", "test"], split: Split):
        import tensorflow as tf

        self.config, self.part, self.split = config, part, split
        examples = split.fetch(tf.range(split.num_examples, dtype=tf.int64))
        self.images, self.labels = examples["image"].numpy()[..., 0], examples["label"].numpy()

    def __len__(self) -> int:
        return len(self.labels)

    def load(self, index: int) -> Cloud:
        """The cloud of an index: in the plane of x and y, upright."""
        random = np.random.default_rng((self.config.data_seed, _PARTS.index(self.part), index))
        ink = self.images[index].astype(np.float64)
        height, width = ink.shape
        pixels = random.choice(ink.size, self.config.points, p=ink.reshape(-1) / ink.sum())
        x = (pixels % width + random.random(len(pixels))) * (2 / width) - 1
        y = 1 - (pixels // width + random.random(len(pixels))) * (2 / height)
        z = random.uniform(-0.5, 0.5, len(pixels)) * self.config.depth
        positions = np.stack([x, y, z], axis=1) + random.normal(0, self.config.noise, (len(pixels), 3))
        return Cloud(positions=positions.astype(np.float32), label=int(self.labels[index]))

    def describe(self, index: int) -> str:
        """The name by which a person knows the cloud."""
        return self.split.describe(index)


def build(config: DigitCloudsConfig) -> CloudData:
    """Reads the images; the parts are those of `tfdlcv.data.digits`."""
    from tfdlcv.data import digits

    section = {"mnist5k": digits.Mnist5k, "digits8x8": digits.Digits8x8}[config.source]
    images = digits.build(
        section(name=config.source, validation_fraction=config.validation_fraction, train_limit=config.train_limit)
    )
    parts = {part: DigitClouds(config, part, getattr(images, part)) for part in _PARTS}
    return CloudData(**parts, class_names=images.class_names, points=config.points, centre="unit_sphere", up_axis=1)
