"""Encoded image files to arrays: one function for training, evaluation, prediction and the exported model.

Formats are those of `tf.io.decode_image`: JPEG, PNG, BMP, GIF (its first frame) and WebP. What it makes of them:

* grey, grey with alpha, palette and RGBA images become RGB; transparency is dropped, so that a transparent pixel shows
  the colour that is stored behind it, as in Pillow's `convert("RGB")`;
* CMYK JPEG becomes RGB; 16-bit PNG keeps the high byte of each value;
* the Exif orientation of JPEG files is applied (not that of PNG or WebP, where cameras do not use it);
* BMP files with a palette are not supported, except 8-bit grey ones: TensorFlow takes the indices for grey values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from tfdlcv.data import exif
from tfdlcv.errors import UserError

Resize = Literal["crop", "pad", "stretch"]
Decoder = Callable[[tf.Tensor], tf.Tensor]  # Bytes () string of an image file -> image (H, W, C) uint8.


def decode_image(
    encoded: tf.Tensor, image_shape: tuple[int, int, int], resize: Resize = "crop", padding: int = 0
) -> tf.Tensor:
    """Image (H, W, C) uint8 with static shape `image_shape` from the bytes () string of an image file.

    Args:
        image_shape: H, W and C; C is 1 (luma by the weights of ITU-R BT.601) or 3.
        resize: crop: the largest centred part of the shape's aspect ratio; pad: all of the image, centred on black;
            stretch: all of the image, its aspect ratio changed. Bilinear, antialiased where the image shrinks.
        padding: pixels of black on every side, inside H and W.

    Raises:
        tf.errors.InvalidArgumentError: when the bytes are not a whole image of a supported format.
    """
    height, width, channels = image_shape
    _check_arguments(image_shape=image_shape, resize=resize, padding=padding)
    image = decode_at_full_size(encoded)
    if channels == 1:
        image = tf.image.rgb_to_grayscale(image)
    image = resized(image, height - 2 * padding, width - 2 * padding, resize)
    image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    return tf.ensure_shape(image, image_shape)


def decode_at_full_size(encoded: tf.Tensor) -> tf.Tensor:
    """Upright image (height, width, 3) uint8 from the bytes () string of an image file; raises as `decode_image`."""
    # channels=3 is the one value that every format accepts; channels=1 fails for BMP, GIF, WebP and CMYK JPEG.
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return tf.ensure_shape(exif.upright(image, exif.orientation(encoded)), (None, None, 3))


def resized(
    image: tf.Tensor,
    height: int,
    width: int,
    resize: Resize,
    interpolate: Callable[[tf.Tensor, tuple[int, int] | tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """(h, w, C) uint8 -> (height, width, C) uint8.

    `interpolate` (image, new size) -> image stands in for the bilinear one where values are no colours.
    """
    interpolate = interpolate or _interpolated
    size = tf.shape(image)[:2]
    if resize == "stretch":
        return interpolate(image, (height, width))

    ratios = tf.constant([height, width], tf.float32) / tf.cast(size, tf.float32)
    if resize == "crop":
        # Cropping first spends no time on pixels that are cut away, and places the crop on whole pixels.
        crop = tf.cast(tf.round(tf.constant([height, width], tf.float32) / tf.reduce_max(ratios)), tf.int32)
        crop = tf.clip_by_value(crop, 1, size)
        start = (size - crop) // 2
        return interpolate(image[start[0] : start[0] + crop[0], start[1] : start[1] + crop[1], :], (height, width))
    fitted = tf.cast(tf.round(tf.cast(size, tf.float32) * tf.reduce_min(ratios)), tf.int32)
    fitted = tf.clip_by_value(fitted, 1, tf.constant([height, width]))
    before = (tf.constant([height, width]) - fitted) // 2
    image = interpolate(image, fitted)
    return tf.image.pad_to_bounding_box(image, before[0], before[1], height, width)


def read_image_file(
    path: str | Path,
    image_shape: tuple[int, int, int] | None = None,
    resize: Resize = "crop",
    padding: int = 0,
) -> np.ndarray:
    """Image uint8 of a file, on the host: `decode_image` of it, or (height, width, 3) as stored without `image_shape`.

    Raises:
        UserError: when the file cannot be read or is not a whole image; it names the file.
    """
    try:
        content = Path(path).read_bytes()
        fault = unsupported(content)
        if fault:
            raise UserError(f"{path} is not a readable image: {fault}")
        with tf.device("CPU:0"):  # As in the input pipeline, to the last bit.
            if image_shape is None:
                return decode_at_full_size(tf.constant(content)).numpy()
            return decode_image(tf.constant(content), image_shape, resize, padding).numpy()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"{path} is not a readable image: {readable_message(error)}") from error


def decoder(image_shape: tuple[int, int, int], resize: Resize = "crop", padding: int = 0) -> Decoder:
    """`decode_image` with all but the bytes fixed."""
    _check_arguments(image_shape=image_shape, resize=resize, padding=padding)

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        return decode_image(encoded, image_shape, resize, padding)

    return decode


def unsupported(content: bytes) -> str | None:
    """Why TensorFlow's decoder would take the bytes of an image file for something else, or None."""
    if content[:2] != b"BM" or len(content) < 30:
        return None
    bits = int.from_bytes(content[28:30], "little")
    if bits >= 24 or (bits == 8 and _is_grey_ramp(content)):
        return None
    return f"BMP with {bits} bits a pixel; convert it to PNG"


def readable_message(error: tf.errors.OpError) -> str:
    """The sentence in a TensorFlow error, without the names of nodes, devices and source lines around it."""
    message = re.sub(r"\[\[.*?\]\]|\{\{.*?\}\}|\[Op:.*", "", error.message or "", flags=re.DOTALL)
    # Where the function was traced comes first, the sentence last.
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _check_arguments(*, image_shape: tuple[int, int, int], resize: str, padding: int) -> None:
    height, width, channels = image_shape
    if channels not in (1, 3):
        raise ValueError(f"the channels of image_shape must be 1 or 3. Received: {tuple(image_shape)}")
    if resize not in ("crop", "pad", "stretch"):
        raise ValueError(f"resize must be crop, pad or stretch. Received: {resize!r}")
    if padding < 0 or min(height, width) <= 2 * padding:
        raise ValueError(f"padding ({padding}) must leave room for an image in {height} x {width} pixels")


def _is_grey_ramp(bmp: bytes) -> bool:
    """Whether the palette of an 8-bit BMP file is 0..255, so that its indices are the grey values."""
    start = 14 + int.from_bytes(bmp[14:18], "little")  # Behind the file header and the information header.
    return bmp[start : start + 1024] == b"".join(bytes((value, value, value, 0)) for value in range(256))


def _interpolated(image: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    image = tf.image.resize(image, size, method="bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
