"""Digits that are turned: the digit is the label, and the angle the value. (Lecture 2: "jointly predict MNIST digit and
rotation".)

Angles are in degrees, counter-clockwise. Those of validation and testing are drawn once, from `angle_seed`, and belong
to the examples; in training every step draws new ones, so that no image is seen twice.

A digit and its half turn may be the same picture (0, 1, 8) or another digit's (6 and 9): with a range of 180 degrees
and more, no network gets all of them right.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.data.digit_sources import DigitsOfSource
from tfdlcv.data.valued_images import ValuedImages, ValueFacts, check_range, with_values

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

_BLOCK = 4096  # Images that are turned at a time.


class RotatedDigits(DigitsOfSource):
    """Digits, turned; the angle is the value."""

    name: Literal["rotated_digits"]
    degrees: tuple[float, float] = (0.0, 180.0)
    """The range of the angles."""
    redraw: bool = True
    """Whether each training step draws new angles; otherwise every training example keeps its own too."""
    angle_seed: int = Field(0, ge=0)
    """Decides the angles that examples keep."""

    @model_validator(mode="after")
    def _sections_fit(self):
        try:
            check_range(*self.degrees)
        except ValueError as error:
            raise ValueError(f"degrees {error}") from None
        if self.degrees[1] - self.degrees[0] > 360:
            raise ValueError(f"degrees must span 360 at most, not {list(self.degrees)}")
        augmentation = self.augmentation
        if augmentation.rotation_degrees or augmentation.flip != "none":
            raise ValueError(
                f"augmentation.rotation_degrees ({augmentation.rotation_degrees:g}) and augmentation.flip "
                f"({augmentation.flip}) must be 0 and none: the angle of the image is what is to be found"
            )
        return self


def build(config: RotatedDigits) -> ValuedImages:
    """Reads the digits and turns those of validation and testing.

    Raises:
        UserError: as `tfdlcv.data.digits.build`.
    """
    from tfdlcv.data import digits

    data = digits.build(config.digits_config())
    lower, upper = config.degrees

    def turned(split: Split, part: int) -> Split:
        angles = np.random.default_rng([config.angle_seed, part]).uniform(lower, upper, split.num_examples)
        return with_values(_turned_split(split, angles), angles)

    validation = turned(data.validation, 1)
    # With data.validation_fraction 0 they are the same examples, and so they stay.
    test = turned(data.test, 2) if config.validation_fraction else validation
    train = with_values(data.train, np.zeros(data.train.num_examples)) if config.redraw else turned(data.train, 0)

    def draw_values(batch: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        angles = tf.random.stateless_uniform(tf.shape(batch["value"]), seed, lower, upper)
        return {**batch, "image": rotate(batch["image"], angles), "value": angles}

    return ValuedImages(
        dataclasses.replace(data, train=train, validation=validation, test=test),
        ValueFacts(name="angle", unit="degrees", lower=lower, upper=upper),
        draw_values if config.redraw else None,
    )


def rotate(images: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Images (B, H, W, C) uint8, each turned counter-clockwise by its `degrees` (B,), bilinear, black from outside."""
    import tensorflow as tf

    from tfdlcv.data import affine

    height, width = images.shape[1:3]
    maps = affine.rotation(tf.cast(degrees, tf.float32), height=height, width=width)
    turned = affine.resample(tf.cast(images, tf.float32), maps, "constant")
    return tf.cast(tf.round(turned), tf.uint8)


def _turned_split(split: Split, angles: np.ndarray) -> Split:
    import tensorflow as tf

    from tfdlcv.data.labelled_images import array_split

    images, labels = [], []
    for start in range(0, split.num_examples, _BLOCK):
        indices = tf.range(start, min(start + _BLOCK, split.num_examples), dtype=tf.int64)
        batch = split.fetch(indices)
        images.append(rotate(batch["image"], tf.constant(angles[start : start + _BLOCK])).numpy())
        labels.append(batch["label"].numpy())
    return array_split(np.concatenate(images), np.concatenate(labels), split.describe)
