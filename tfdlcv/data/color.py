"""Changes to the colours of a batch of images, each image by its own amount.

The enhancements blend an image with a degenerate one, as Pillow's ImageEnhance does, which AutoAugment and RandAugment
were defined with: factor 0 gives the degenerate image, 1 the image itself, above 1 exaggerates. Values are not rounded
to whole numbers in between, as Pillow does.

Shape legend: images (N, H, W, C) float32, 0..255, C = 1 or 3; one amount (N,) an image. Results are again 0..255.
"""

from __future__ import annotations

import tensorflow as tf

_LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and TensorFlow's grey.


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends with black."""
    return _blend(tf.zeros_like(images), images, factor)


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends with the mean grey of the image."""
    return _blend(tf.reduce_mean(_grey(images), axis=(1, 2, 3), keepdims=True), images, factor)


def saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends with the grey version of an RGB image."""
    return _blend(_grey(images), images, factor)


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends with a smoothed version; the outermost pixels stay as they are."""
    height, width, channels = images.shape[1:]
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32) / 13  # Pillow's ImageFilter.SMOOTH.
    kernel = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], (1, 1, channels, 1))
    # Not VALID: for no images at all TensorFlow 2.21 then gives a wrong shape.
    smooth = tf.nn.depthwise_conv2d(images, kernel, strides=(1, 1, 1, 1), padding="SAME")
    inner = tf.pad(tf.ones((max(height - 2, 0), max(width - 2, 0)), tf.bool), [[1, 1], [1, 1]])
    smooth = tf.where(inner[:height, :width, tf.newaxis], smooth, images)
    return _blend(smooth, images, factor)


def hue(images: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue of RGB images; 1 is all the way round."""
    hue_saturation_value = tf.image.rgb_to_hsv(images / 255)
    turned = tf.math.floormod(hue_saturation_value[..., :1] + _per_image(turn), 1.0)
    return tf.image.hsv_to_rgb(tf.concat([turned, hue_saturation_value[..., 1:]], axis=-1)) * 255


def auto_contrast(images: tf.Tensor) -> tf.Tensor:
    """Stretches each channel of each image to 0..255; a channel of one value stays."""
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    return tf.where(high > low, tf.math.divide_no_nan(images - low, high - low) * 255, images)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Evens out the histogram of each channel of each image, by Pillow's ImageOps.equalize on whole numbers."""
    num_images = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    values = tf.cast(tf.round(images), tf.int32)
    rows = tf.reshape(tf.transpose(values, (0, 3, 1, 2)), (num_images * channels, height * width))
    # A row of its own histogram each, by counting in one long histogram.
    offsets = 256 * tf.range(num_images * channels)[:, tf.newaxis]
    histogram = tf.math.unsorted_segment_sum(
        tf.ones_like(rows), rows + offsets, num_segments=256 * num_images * channels
    )
    histogram = tf.reshape(histogram, (-1, 256))  # (N C, 256)

    last_value = tf.reduce_max(rows, axis=1, keepdims=True)
    step = (height * width - tf.gather(histogram, last_value, batch_dims=1)) // 255  # (N C, 1)
    before = tf.cumsum(histogram, axis=1, exclusive=True)
    table = tf.clip_by_value((before + step // 2) // tf.maximum(step, 1), 0, 255)
    # No step: almost all pixels have the last value, and Pillow leaves the channel alone.
    equalized = tf.where(step > 0, tf.gather(table, rows, batch_dims=1), rows)
    equalized = tf.transpose(tf.reshape(equalized, (num_images, channels, height, width)), (0, 2, 3, 1))
    return tf.cast(equalized, images.dtype)


def posterize(images: tf.Tensor, bits: int) -> tf.Tensor:
    """Keeps the highest `bits` of the 8 bits of every value."""
    step = float(2 ** (8 - bits))
    return tf.floor(images / step) * step


def solarize(images: tf.Tensor, threshold: float) -> tf.Tensor:
    """Inverts the values from `threshold` on."""
    return tf.where(images < threshold, images, 255 - images)


def _grey(images: tf.Tensor) -> tf.Tensor:
    """(N, H, W, 1)."""
    if images.shape[-1] == 1:
        return images
    return tf.reduce_sum(images * tf.constant(_LUMA_WEIGHTS), axis=-1, keepdims=True)


def _blend(degenerate: tf.Tensor, images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(degenerate + _per_image(factor) * (images - degenerate), 0.0, 255.0)


def _per_image(amount: tf.Tensor) -> tf.Tensor:
    """(N,) -> (N, 1, 1, 1)."""
    return tf.reshape(tf.cast(amount, tf.float32), (-1, 1, 1, 1))
