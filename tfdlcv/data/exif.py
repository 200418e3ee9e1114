"""Camera orientation of JPEG files, read and undone inside a TensorFlow graph.

Phones store a photograph as the sensor saw it and note in an Exif tag how to turn it. `tf.io.decode_image` ignores the
tag. Reading it with graph operations, not with a Python library, lets a SavedModel show its network the same upright
photographs that training did.

Source: CIPA DC-008 (Exif 2.32), sections 4.5 (structure) and 4.6.4 (tag 274, Orientation).
"""

from __future__ import annotations

import tensorflow as tf

# The Exif segment stands first in the file, at most behind a JFIF segment; its first directory follows its header, in
# the order of tag numbers, where Orientation comes after a handful of 12-byte entries.
_SEARCHED_BYTES = 1024
_HEADER = b"Exif\x00\x00"
_ORIENTATION_TAG = 274
_ENTRY_BYTES = 12  # Of a directory entry: tag 2, type 2, count 4, value 4.
_MAX_ENTRIES = _SEARCHED_BYTES // _ENTRY_BYTES  # A damaged count must not ask for more than is searched.


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Orientation () int32 in 1..8 of an encoded image () string; 1, upright, where nothing valid says otherwise.

    Only JPEG files are looked at. Damaged Exif data counts as none, for the image itself may well be sound.
    """
    prefix = tf.io.decode_raw(tf.strings.substr(encoded, 0, _SEARCHED_BYTES), tf.uint8)
    # Zeros behind the end let every look-up below be in range, whatever offset a damaged file names.
    content = tf.pad(prefix, [[0, _ENTRY_BYTES]])
    num_bytes = tf.size(prefix)
    is_header = tf.ones((num_bytes,), tf.bool)
    for place, byte in enumerate(_HEADER):
        is_header &= content[place : num_bytes + place] == byte
    headers = tf.where(is_header)[:, 0]  # (headers,) int64
    is_jpeg = (content[0] == 0xFF) & (content[1] == 0xD8)
    return tf.cond(
        is_jpeg & (tf.size(headers) > 0),
        lambda: _orientation_of_directory(tf.cast(content, tf.int64), headers[0] + len(_HEADER)),
        lambda: tf.constant(1),
    )


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """`image` (H, W, C) turned and mirrored by `orientation` () int32, 1..8; 5 to 8 exchange height and width."""

    def transposed():
        return tf.transpose(image, (1, 0, 2))

    # The tag names the sides on which the stored first row and first column are seen; 6 is: right, top.
    branches = [
        lambda: image,
        lambda: tf.reverse(image, [1]),
        lambda: tf.reverse(image, [0, 1]),
        lambda: tf.reverse(image, [0]),
        transposed,
        lambda: tf.reverse(transposed(), [1]),
        lambda: tf.reverse(transposed(), [0, 1]),
        lambda: tf.reverse(transposed(), [0]),
    ]
    return tf.switch_case(orientation - 1, branches)


def _orientation_of_directory(content: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Orientation () int32 in the first directory of the TIFF structure at `start` of `content` (bytes,) int64."""
    little_endian = content[start] == ord("I")
    last = tf.size(content, tf.int64) - 1

    def number(position, width):
        """Unsigned numbers of `width` bytes at `position`, in the byte order that the structure's first byte names."""
        places = tf.range(width, dtype=tf.int64)
        # Two constants: a slice with a negative stride makes TensorFlow's layout optimizer log an error.
        scale = tf.constant([256**place for place in range(width)], tf.int64)
        reversed_scale = tf.constant([256**place for place in reversed(range(width))], tf.int64)
        values = tf.gather(content, tf.clip_by_value(position[..., tf.newaxis] + places, 0, last))
        return tf.reduce_sum(values * tf.where(little_endian, scale, reversed_scale), axis=-1)

    directory = start + number(start + 4, 4)
    num_entries = tf.minimum(number(directory, 2), _MAX_ENTRIES)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(num_entries)  # (entries,)
    found = tf.where(number(entries, 2) == _ORIENTATION_TAG, number(entries + 8, 2), 0)
    value = tf.cast(tf.reduce_max(tf.pad(found, [[0, 1]])), tf.int32)
    return tf.where((value >= 1) & (value <= 8), value, 1)
