"""Signatures of networks that restore images: damaged ones in, restored ones out.

Shape legend: B images, H x W x C pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdlcv.data import images
from tfdlcv.training.export import Serving, WarmupRequest
from tfdlcv.training.image_serving import check_files, checked


def restoration_serving(network: Callable, *, image_shape: tuple[int | None, int | None, int]) -> Serving:
    """Serves `network`, which takes images (B, H, W, C) of 0..255 and gives them restored, float, of the same shape.

    `serving_default` takes `image_bytes` (B,) string, whole image files of any sizes, and returns `restored_png` (B,)
    string, PNG files; `tensors` takes `image` (B, H, W, C) uint8 and returns `restored`, the same. What is no image, an
    image of another size than `image_shape` has, where it has one, and one in colour where C is 1, is an
    InvalidArgumentError that says so.

    Args:
        image_shape: H, W and C; None for any.
    """
    height, width, channels = image_shape

    @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), tf.uint8, name="image")], autograph=False)
    def restore(image):
        return restored_pixels(network(tf.cast(image, tf.float32), training=False))

    def restore_file(index, encoded):
        image = images.decode_at_full_size(encoded)
        checks = []
        if channels == 1:
            message = tf.strings.format("image_bytes[{}] is in colour; this network restores grey images", index)
            grey = tf.reduce_all(tf.equal(image, image[..., :1]))
            checks.append(tf.debugging.Assert(grey, [message]))
        if height is not None:
            size = tf.shape(image)[:2]
            message = tf.strings.format(
                "image_bytes[{}] has (height, width) {}; this network restores images of {}",
                (index, size, tf.constant([height, width])),
            )
            checks.append(tf.debugging.Assert(tf.reduce_all(tf.equal(size, [height, width])), [message]))
        with tf.control_dependencies(checks):
            image = tf.ensure_shape(image[..., :channels], image_shape)
        return tf.io.encode_png(restore(image[tf.newaxis])[0])

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")], autograph=False)
    def serve_files(image_bytes):
        image_bytes = checked(tf.ensure_shape(image_bytes, (None,)), check_files)
        arguments = (tf.range(tf.shape(image_bytes)[0]), image_bytes)
        # One by one: files differ in size, and the features of one photograph fill memory enough.
        signature = tf.TensorSpec((), tf.string)
        encoded = tf.map_fn(
            lambda both: restore_file(*both), arguments, parallel_iterations=1, fn_output_signature=signature
        )
        return {"restored_png": encoded}

    @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), tf.uint8, name="image")], autograph=False)
    def serve_tensors(image):
        return {"restored": restore(checked(tf.ensure_shape(image, (None, *image_shape))))}

    blank = np.zeros((height or 32, width or 32, channels), np.uint8)
    encoded = np.array([tf.io.encode_png(blank).numpy()], dtype=object)
    return Serving(
        signatures={"serving_default": serve_files, "tensors": serve_tensors},
        warmup_requests=(
            WarmupRequest("serving_default", {"image_bytes": encoded}),
            WarmupRequest("tensors", {"image": blank[None]}),
        ),
    )


def restored_pixels(outputs) -> tf.Tensor:
    """What a network gives, as pixels: rounded, within 0..255, uint8."""
    return tf.cast(tf.round(tf.clip_by_value(tf.cast(outputs, tf.float32), 0.0, 255.0)), tf.uint8)
