"""The changes that `tfdlcv.data.augmentation` describes, composed into one function of (batch, seed).

Keras's preprocessing layers draw from a counter that each call moves on. They take their random numbers here through
`get_random_transformation(..., seed=)` from `StatelessSeeds`, and serve where they do what their papers say:
RandomFlip, RandomTranslation, RandomRotation, RandomErasing, MixUp and CutMix. Of Keras 3.15 are not used

* `RandomCrop`: it crops a whole batch at one place;
* `RandAugment`: it draws one choice of operations for a whole batch, from its own counter whatever `seed` it is given,
  rotates by up to 180 degrees at its default strength, equalizes with the histogram of the whole batch and computes
  all eleven operations each time: 92 ms for 128 images of 32 x 32 x 3 on one core, against 3.6 here;
* `RandomContrast(x)`, which only raises contrast, and `RandomSaturation` and `RandomHue`, whose scales are their own.

The others take, for the same batch: shift by whole pixels 1.3 ms, flip 2.0, rotation 4.1, erasing 5.0 (8.3 with
Keras's noise), mixup 0.4, cutmix 2.3; and a third of it for 28 x 28 x 1.

Shape legend: B images (B, H, W, C), 0..255, of K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdlcv.data import affine, color, rand_augment
from tfdlcv.data.augmentation import (
    Augmentation,
    AugmentationConfig,
    ColorJitterConfig,
    RandomErasingConfig,
    ResizedCropConfig,
)

# (images, seed (2,) int32) -> images
Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
# (images, labels (B, K), seed (2,) int32) -> (images, labels (B, K))
Mixing = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Pixels of 0..255 need float32 whatever precision the network computes in; a seed keeps Keras from drawing one from
# Python's global generator.
_LAYER_OPTIONS = {"dtype": "float32", "seed": 0}


class StatelessSeeds(keras.random.SeedGenerator):
    """Stands for a Keras layer's SeedGenerator and hands out seeds that follow from one seed (2,) int32.

    The n-th call of `next` gives the seed folded with n; nothing is stored in a variable, so a graph that is traced
    with it is a pure function.
    """

    def __init__(self, seed: tf.Tensor):
        # Not the base class's: it would create the variable. Keras's random functions call `next` alone.
        self._seed = seed
        self._num_drawn = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._num_drawn += 1
        return tf.random.fold_in(self._seed, self._num_drawn)


def compose(config: AugmentationConfig, num_classes: int, image_shape: tuple[int, int, int]) -> Augmentation:
    """See `tfdlcv.data.augmentation.build_augmentation`."""
    changes = _changes(config, image_shape)
    mixings = _mixings(config)

    def augment(batch: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        # Every change has its own seed, wanted or not, so that one choice does not alter the draws of another.
        *change_seeds, choice_seed, mixing_seed = tf.unstack(tf.random.split(seed, len(changes) + 2))
        images = batch["image"]
        for change, change_seed in zip(changes, change_seeds, strict=True):
            if change is not None:
                images = change(images, change_seed)
        images = tf.cast(images, tf.float32)
        if not mixings:
            return {**batch, "image": images}

        labels = tf.one_hot(batch["label"], num_classes)
        branches = [lambda mixing=mixing: mixing(images, labels, mixing_seed) for mixing in mixings]
        choice = tf.random.stateless_uniform((), choice_seed, 0, len(mixings), tf.int32)
        mixed, soft_labels = branches[0]() if len(branches) == 1 else tf.switch_case(choice, branches)
        return {
            **batch,
            "image": tf.ensure_shape(mixed, images.shape),
            "soft_label": tf.ensure_shape(soft_labels, labels.shape),
            "label": tf.argmax(soft_labels, axis=-1, output_type=batch["label"].dtype),
        }

    return augment


def _changes(config: AugmentationConfig, image_shape: tuple[int, int, int]) -> list[Change | None]:
    """One for every kind of change, in order; None where it is not wanted."""
    height, width, _ = image_shape
    shift = mirror = upend = crop = translate = rotate = jitter = operations = erase = None
    if config.crop_padding:
        # On uint8, before the layers make float32 of it: a fourth of the bytes to move.
        shift = _shift(config.crop_padding, config.fill_mode)
    if config.flip in ("horizontal", "both"):
        mirror = _layer_change(keras.layers.RandomFlip("horizontal", **_LAYER_OPTIONS))
    if config.flip in ("vertical", "both"):
        # Of its own: with horizontal_and_vertical Keras draws once for both, and makes half turns alone.
        upend = _layer_change(keras.layers.RandomFlip("vertical", **_LAYER_OPTIONS))
    if config.resized_crop:
        crop = _resized_crop(config.resized_crop, height=height, width=width)
    if config.translation:
        layer = keras.layers.RandomTranslation(
            config.translation, config.translation, fill_mode=config.fill_mode, **_LAYER_OPTIONS
        )
        translate = _layer_change(layer)
    if config.rotation_degrees:
        # The factor is a part of a full turn.
        layer = keras.layers.RandomRotation(config.rotation_degrees / 360, fill_mode=config.fill_mode, **_LAYER_OPTIONS)
        rotate = _layer_change(layer)
    if config.color_jitter != ColorJitterConfig():
        jitter = _color_jitter(config.color_jitter)
    if config.rand_augment:
        available = rand_augment.operations(
            magnitude=config.rand_augment.magnitude, image_shape=image_shape, fill_mode=config.fill_mode
        )
        operations = _rand_augment(list(available.values()), config.rand_augment.num_ops)
    if config.random_erasing:
        erase = _erasing(config.random_erasing)
    return [shift, mirror, upend, crop, translate, rotate, jitter, operations, erase]


def _mixings(config: AugmentationConfig) -> list[Mixing]:
    mixings = []
    if config.mixup_alpha:
        mixings.append(_mixup(config.mixup_alpha))
    if config.cutmix_alpha:
        mixings.append(_cutmix(config.cutmix_alpha))
    return mixings


def _layer_change(layer: keras.layers.Layer) -> Change:
    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        transformation = layer.get_random_transformation(images, training=True, seed=StatelessSeeds(seed))
        return tf.ensure_shape(layer.transform_images(images, transformation, training=True), images.shape)

    return change


def _shift(pixels: int, fill_mode: affine.FillMode) -> Change:
    """Moves each image by a whole number of pixels, up to `pixels` on each axis: pad and crop."""

    def places(offsets: tf.Tensor, size: int) -> tf.Tensor:
        """Where the rows or columns (B, size) of the result lie in the image, or in the padded one."""
        positions = tf.range(size) + offsets[:, tf.newaxis]
        if fill_mode == "constant":
            return positions + pixels
        if fill_mode == "nearest":
            return tf.clip_by_value(positions, 0, size - 1)
        positions = tf.where(positions < 0, -1 - positions, positions)
        return tf.where(positions >= size, 2 * size - 1 - positions, positions)

    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        height, width = images.shape[1:3]
        offsets = tf.random.stateless_uniform((tf.shape(images)[0], 2), seed, -pixels, pixels + 1, tf.int32)
        source = images
        if fill_mode == "constant":
            source = tf.pad(images, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]])
        rows = tf.gather(source, places(offsets[:, 0], height), axis=1, batch_dims=1)
        return tf.ensure_shape(tf.gather(rows, places(offsets[:, 1], width), axis=2, batch_dims=1), images.shape)

    return change


def _resized_crop(config: ResizedCropConfig, *, height: int, width: int) -> Change:
    """Where the paper draws again until a part lies inside the image, one that is too long is cut to the image."""

    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        draws = tf.random.stateless_uniform((4, tf.shape(images)[0]), seed)
        area = _between(config.area, draws[0])
        # Uniform in the logarithm: as often twice as wide as twice as high.
        aspect_ratio = tf.exp(_between(tf.math.log(config.aspect_ratio), draws[1]))
        part_width = tf.minimum(tf.sqrt(area * aspect_ratio), 1.0)
        part_height = tf.minimum(tf.sqrt(area / aspect_ratio), 1.0)
        maps = affine.enlargement(
            left=draws[2] * (1 - part_width),
            top=draws[3] * (1 - part_height),
            part_width=part_width,
            part_height=part_height,
            height=height,
            width=width,
        )
        # nearest: half a pixel at the borders lies beyond the centres of the outermost pixels.
        return affine.resample(images, maps, "nearest")

    return change


def _color_jitter(config: ColorJitterConfig) -> Change:
    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        draws = tf.random.stateless_uniform((4, tf.shape(images)[0]), seed, -1.0, 1.0)
        if config.brightness:
            images = color.brightness(images, 1 + config.brightness * draws[0])
        if config.contrast:
            images = color.contrast(images, 1 + config.contrast * draws[1])
        if config.saturation:
            images = color.saturation(images, 1 + config.saturation * draws[2])
        if config.hue:
            images = color.hue(images, config.hue * draws[3])
        return images

    return change


def _rand_augment(available: list[rand_augment.Operation], num_ops: int) -> Change:
    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return rand_augment.rand_augment(tf.cast(images, tf.float32), seed, available=available, num_ops=num_ops)

    return change


def _erasing(config: RandomErasingConfig) -> Change:
    """Height and width are drawn apart, which the paper's area and aspect ratio leave open in another way."""
    # From one number p Keras would draw the probability itself between 0 and p.
    layer = keras.layers.RandomErasing(
        factor=(config.probability, config.probability), scale=config.area, fill_value=0.0, **_LAYER_OPTIONS
    )

    def change(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        layer_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        transformation = layer.get_random_transformation(images, training=True, seed=StatelessSeeds(layer_seed))
        if config.fill == "noise":
            # Keras's noise is a normal one clipped to 0..255, two thirds of it black or white; the paper's is uniform.
            transformation["fill_value"] = tf.random.stateless_uniform(tf.shape(images), noise_seed, 0.0, 255.0)
        return tf.ensure_shape(layer.transform_images(images, transformation, training=True), images.shape)

    return change


def _mixup(alpha: float) -> Mixing:
    layer = keras.layers.MixUp(alpha, **_LAYER_OPTIONS)

    def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformation = layer.get_random_transformation(images, training=True, seed=StatelessSeeds(seed))
        return layer.transform_images(images, transformation), layer.transform_labels(labels, transformation)

    return mix


def _cutmix(alpha: float) -> Mixing:
    # From one number Keras would draw alpha itself between 0 and it.
    layer = keras.layers.CutMix((alpha, alpha), **_LAYER_OPTIONS)

    def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformation = layer.get_random_transformation(images, training=True, seed=StatelessSeeds(seed))
        # The part of the pixels that are pasted, as in the paper, not the area before rounding to whole pixels.
        pasted = tf.cast(transformation["batch_masks"], tf.float32)
        transformation["mix_weight"] = 1 - tf.reduce_mean(pasted, axis=(1, 2, 3))
        return layer.transform_images(images, transformation), layer.transform_labels(labels, transformation)

    return mix


def _between(bounds: tuple[float, float] | tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * draws
