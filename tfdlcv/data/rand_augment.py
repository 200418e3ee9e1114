"""RandAugment: to each image, operations that are drawn at random, all of one strength.

Paper: Cubuk, Zoph, Shlens, Le 2020, RandAugment: Practical automated data augmentation with a reduced search space.
Its 14 operations, with the ranges of Cubuk et al. 2019, AutoAugment, Table 6, reached at magnitude 10:

    identity, auto_contrast, equalize
    rotate                              -30..30 degrees
    posterize                           8..4 bits
    solarize                            from 256, no change, to 0, all inverted
    color, contrast, brightness, sharpness   0.1..1.9
    shear_x, shear_y                    -0.3..0.3
    translate_x, translate_y            -150/331..150/331 of the image's size (331 pixels in the paper)

An operation with two directions takes either with probability 1/2, at full magnitude. Grey images do without `color`.

Shape legend: N images (N, H, W, C) float32, 0..255.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfdlcv.data import affine, color

# (images, signs (N,) of -1 or 1) -> images
Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def operations(
    *, magnitude: float, image_shape: tuple[int, int, int], fill_mode: affine.FillMode = "constant"
) -> dict[str, Operation]:
    """The operations by name, at `magnitude` 0..10, for images of `image_shape` (H, W, C)."""
    height, width, channels = image_shape
    strength = magnitude / 10

    def resampled(maps_of: Callable[[tf.Tensor], tf.Tensor]) -> Operation:
        return lambda images, signs: affine.resample(images, maps_of(signs), fill_mode)

    def sheared(x: float, y: float) -> Operation:
        def maps_of(signs):
            off_diagonal = tf.constant([[0.0, x], [y, 0.0]]) * signs[:, tf.newaxis, tf.newaxis]
            return affine.linear(tf.eye(2) + off_diagonal, height=height, width=width)

        return resampled(maps_of)

    def moved(x: float, y: float) -> Operation:
        return resampled(lambda signs: affine.translation(x * signs, y * signs))

    def enhanced(enhance: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Operation:
        return lambda images, signs: enhance(images, 1 + 0.9 * strength * signs)

    largest_shift = 150 / 331 * strength
    result = {
        "identity": lambda images, signs: images,
        "auto_contrast": lambda images, signs: color.auto_contrast(images),
        "equalize": lambda images, signs: color.equalize(images),
        "rotate": resampled(lambda signs: affine.rotation(30 * strength * signs, height=height, width=width)),
        "posterize": lambda images, signs: color.posterize(images, 8 - round(4 * strength)),
        "solarize": lambda images, signs: color.solarize(images, 256 * (1 - strength)),
        "color": enhanced(color.saturation),
        "contrast": enhanced(color.contrast),
        "brightness": enhanced(color.brightness),
        "sharpness": enhanced(color.sharpness),
        "shear_x": sheared(0.3 * strength, 0.0),
        "shear_y": sheared(0.0, 0.3 * strength),
        "translate_x": moved(largest_shift * width, 0.0),
        "translate_y": moved(0.0, largest_shift * height),
    }
    if channels == 1:
        del result["color"]
    return result


def rand_augment(images: tf.Tensor, seed: tf.Tensor, *, available: list[Operation], num_ops: int) -> tf.Tensor:
    """`images` after `num_ops` of the operations `available`, drawn for each image from `seed` (2,) int32."""
    num_images = tf.shape(images)[0]
    for seed_of_round in tf.unstack(tf.random.split(seed, num_ops)):
        choice_seed, sign_seed = tf.unstack(tf.random.split(seed_of_round, 2))
        choices = tf.random.stateless_uniform((num_images,), choice_seed, 0, len(available), tf.int32)
        signs = tf.random.stateless_uniform((num_images,), sign_seed, 0, 2, tf.int32)
        signs = tf.cast(2 * signs - 1, tf.float32)
        # Each operation sees its own images alone; computing all for all and selecting costs as many times more.
        groups = tf.dynamic_partition(tf.range(num_images), choices, len(available))
        results = [
            operation(tf.gather(images, group), tf.gather(signs, group))
            for operation, group in zip(available, groups, strict=True)
        ]
        images = tf.ensure_shape(tf.dynamic_stitch(groups, results), images.shape)
    return images
