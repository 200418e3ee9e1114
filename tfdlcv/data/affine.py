"""Affine resampling of a batch of images, each by its own map.

A map takes places of the result to places of the image: (x, y) -> (a0 x + a1 y + a2, b0 x + b1 y + b2), x to the
right and y down in pixels, (0, 0) the centre of the first pixel.

Shape legend: N images (N, H, W, C); maps (N, 6) float32 are a0, a1, a2, b0, b1, b2.
"""

from __future__ import annotations

import math
from typing import Literal

import tensorflow as tf

FillMode = Literal["constant", "nearest", "reflect"]


def resample(
    images: tf.Tensor, maps: tf.Tensor, fill_mode: FillMode, *, output_size: tuple[int, int] | None = None
) -> tf.Tensor:
    """Bilinear values of `images` float32 at the mapped places; fill_mode constant: black outside the image.

    `output_size` is the height and width of the result, by default those of `images`.
    """
    resampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.pad(maps, [[0, 0], [0, 2]]),  # The last two would make it projective.
        output_shape=tf.shape(images)[1:3] if output_size is None else tf.constant(output_size),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
    )
    return tf.ensure_shape(resampled, [images.shape[0], *(output_size or images.shape[1:3]), images.shape[3]])


def translation(right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Maps that move images by so many pixels (N,)."""
    one, zero = tf.ones_like(right), tf.zeros_like(right)
    return tf.stack([one, zero, -right, zero, one, -down], axis=1)


def linear(matrices: tf.Tensor, *, height: int, width: int) -> tf.Tensor:
    """Maps (x, y) -> matrix (N, 2, 2) times (x, y), about the centre of the image."""
    center = tf.constant([(width - 1) / 2, (height - 1) / 2], tf.float32)
    shift = center - tf.linalg.matvec(matrices, center)  # (N, 2)
    return tf.reshape(tf.concat([matrices, shift[:, :, tf.newaxis]], axis=2), (-1, 6))


def rotation(degrees: tf.Tensor, *, height: int, width: int) -> tf.Tensor:
    """Maps that turn images counter-clockwise by `degrees` (N,)."""
    angle = degrees * (math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    matrices = tf.stack([tf.stack([cosine, -sine], axis=1), tf.stack([sine, cosine], axis=1)], axis=1)
    return linear(matrices, height=height, width=width)


def enlargement(
    *, left: tf.Tensor, top: tf.Tensor, part_width: tf.Tensor, part_height: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Maps that enlarge a rectangle to the whole image; its place and size (N,) are fractions of width and height."""
    zero = tf.zeros_like(left)
    # The result's first pixel spans [0, 1] on an axis whose pixel centres are at 1/2, hence the halves.
    shift_x = left * width + part_width / 2 - 0.5
    shift_y = top * height + part_height / 2 - 0.5
    return tf.stack([part_width, zero, shift_x, zero, part_height, shift_y], axis=1)
