"""Images and their masks, brought to one size together, in a TensorFlow graph.

Images are interpolated as everywhere; masks take the nearest pixel's class, for there is nothing between two classes.
Both are placed by the same rule, so that a pixel and its class stay together.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from tfdlcv.data import images
from tfdlcv.data.dense_examples import VOID

Fit = Literal["none", "pad", "crop", "stretch"]


def fit(image: tf.Tensor, mask: tf.Tensor, size: tuple[int, int], resize: Fit) -> tuple[tf.Tensor, tf.Tensor]:
    """Image (H, W, 3) uint8 and mask (H, W) int32 from those (h, w, 3) and (h, w) uint8 of a file.

    Args:
        size: H and W.
        resize: none: black and void below and to the right, to images that are not larger; else as
            `tfdlcv.data.images.decode_image`, with void where there is black.
    """
    height, width = size
    # Padding adds zeros, so void is made zero for the time.
    values = tf.cast(mask, tf.int32)[..., tf.newaxis] - VOID
    if resize == "none":
        image = tf.image.pad_to_bounding_box(image, 0, 0, height, width)
        values = tf.image.pad_to_bounding_box(values, 0, 0, height, width)
    else:
        image = images.resized(image, height, width, resize)
        values = images.resized(values, height, width, resize, interpolate=_nearest)
    return tf.ensure_shape(image, (height, width, 3)), tf.ensure_shape(values + VOID, (height, width, 1))[..., 0]


def _nearest(values: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    return tf.image.resize(values, size, method="nearest")
