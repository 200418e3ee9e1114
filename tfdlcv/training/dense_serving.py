"""Signatures of networks that say something of every pixel, for images of any size.

Shape legend: B images, H x W x C pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdlcv.data import images
from tfdlcv.training.export import Serving, WarmupRequest
from tfdlcv.training.image_serving import check_files, checked


def dense_serving(
    describe: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    *,
    minimum_size: int = 1,
    around: Callable[[tf.Tensor], tf.Tensor] | None = None,
    as_png: str | None = None,
    labels: tuple[str, ...] = (),
) -> Serving:
    """Serves `describe`, which takes images (B, H, W, 3) uint8 and gives named tensors (B, H, W...) for the client.

    `serving_default` takes `image_bytes` (B,) string, whole image files; `tensors` takes `image` (B, H, W, 3) uint8.
    The images of a request are of one size, any from `minimum_size` on. Anything else, and what is no image, is an
    InvalidArgumentError that says so. Clients that want some of the outputs alone name them in the request's
    `output_filter`. With `as_png` there is a signature `png`, whose image files may be of different sizes.

    Args:
        minimum_size: smallest height and width.
        around: height and width (2,) int32 of the images -> rows and columns (2, 2) int32 that are to be mirrored
            above and below, left and right of them first, for networks whose outputs are smaller than their images.
        as_png: which of the tensors, (B, H, W) of 0..255, is also to be had as grey PNG files, (B,) string.
        labels: class names in the order of class ids, for the file beside the model.
    """

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")], autograph=False)
    def serve(image):
        size = tf.shape(image)[1:3]
        outputs = describe(image if around is None else mirrored(image, around(size)))
        return {name: value[:, : size[0], : size[1]] for name, value in outputs.items()}

    def check_size(image):
        size = tf.shape(image)[1:3]
        message = f"images must have at least {minimum_size} x {minimum_size} pixels; these have (height, width)"
        return tf.debugging.Assert(tf.reduce_min(size) >= minimum_size, [message, size])

    files_spec = tf.TensorSpec((None,), tf.string, name="image_bytes")

    @tf.function(input_signature=[files_spec], autograph=False)
    def serve_files(image_bytes):
        image_bytes = checked(tf.ensure_shape(image_bytes, (None,)), check_files)
        return serve(checked(_decoded(image_bytes), check_size))

    @tf.function(input_signature=[files_spec], autograph=False)
    def serve_png(image_bytes):
        image_bytes = checked(tf.ensure_shape(image_bytes, (None,)), check_files)

        def encoded(content):
            image = checked(images.decode_at_full_size(content)[tf.newaxis], check_size)
            return tf.io.encode_png(tf.cast(serve(image)[as_png][0], tf.uint8)[..., tf.newaxis])

        # One by one, as files differ in size.
        spec = tf.TensorSpec((), tf.string)
        files = tf.map_fn(encoded, image_bytes, parallel_iterations=1, fn_output_signature=spec)
        return {f"{as_png}_png": files}

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")], autograph=False)
    def serve_tensors(image):
        return serve(checked(tf.ensure_shape(image, (None, None, None, 3)), check_size))

    blank = np.zeros((max(minimum_size, 1),) * 2 + (3,), np.uint8)
    encoded_blank = np.array([tf.io.encode_png(blank).numpy()], dtype=object)
    signatures = {"serving_default": serve_files, "tensors": serve_tensors}
    requests = [
        WarmupRequest("serving_default", {"image_bytes": encoded_blank}),
        WarmupRequest("tensors", {"image": blank[None]}),
    ]
    if as_png:
        signatures["png"] = serve_png
        requests.append(WarmupRequest("png", {"image_bytes": encoded_blank}))
    return Serving(signatures, labels, tuple(requests))


def _decoded(image_bytes: tf.Tensor) -> tf.Tensor:
    """Images (B, H, W, 3) uint8 of files (B,) that must be of one size."""
    size = tf.shape(images.decode_at_full_size(image_bytes[0]))

    def decode(index):
        image = images.decode_at_full_size(image_bytes[index])
        message = tf.strings.format(
            "the images of a request must be of one size: (height, width, channels) is {} of image_bytes[0] and {} of "
            "image_bytes[{}]",
            (size, tf.shape(image), index),
        )
        equal = tf.debugging.Assert(tf.reduce_all(tf.equal(size, tf.shape(image))), [message])
        with tf.control_dependencies([equal]):
            return tf.identity(image)

    count = tf.shape(image_bytes)[0]
    return tf.map_fn(decode, tf.range(count), fn_output_signature=tf.TensorSpec((None, None, 3), tf.uint8))


def mirrored(image: tf.Tensor, pads: tf.Tensor) -> tf.Tensor:
    """Images (B, H, W, C) continued by their mirror image, as far as wanted; `tf.pad` mirrors once at most.

    Args:
        pads: (2, 2) int32, rows above and below, columns left and right.
    """
    for axis in (1, 2):
        length = tf.shape(image)[axis]
        places = tf.range(-pads[axis - 1][0], length + pads[axis - 1][1])
        period = tf.maximum(2 * (length - 1), 1)
        places = tf.math.floormod(places, period)
        image = tf.gather(image, tf.minimum(places, period - places) % length, axis=axis)
    return image
