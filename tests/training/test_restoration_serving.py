"""The signatures of restoring networks: files of any sizes to PNG files, pixels to pixels, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.training.export import export_saved_model
from tfdlcv.training.restoration_serving import restoration_serving


def darker(channels, shape=None):
    """A network that takes 20.4 off every value, and so below zero."""
    image = keras.Input((*(shape or (None, None)), channels), name="image")
    return keras.Model(image, keras.layers.Rescaling(1.0, -20.4)(image))


def encoded(*images, encode=tf.io.encode_png):
    return tf.constant([encode(image).numpy() for image in images])


def pixels(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype("uint8")


def expected(image):
    return np.maximum(np.round(image - 20.4), 0).astype("uint8")


def message_of(call):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call()
    return caught.value.message


def test_files_of_different_sizes(tmp_path):
    serving = restoration_serving(darker(3), image_shape=(None, None, 3))
    images = [pixels(12, 15, 3), pixels(7, 9, 3, seed=1)]
    path = export_saved_model(tmp_path, serving)
    for function in (serving.signatures["serving_default"], tf.saved_model.load(path).signatures["serving_default"]):
        restored = function(image_bytes=encoded(*images))["restored_png"].numpy()
        for content, image in zip(restored, images, strict=True):
            np.testing.assert_array_equal(tf.io.decode_png(content), expected(image))
    batch = np.stack([pixels(5, 6, 3), pixels(5, 6, 3, seed=2)])
    np.testing.assert_array_equal(serving.signatures["tensors"](image=batch)["restored"], expected(batch))


def test_grey_networks_take_grey_images_alone():
    serving = restoration_serving(darker(1), image_shape=(None, None, 1))
    grey = pixels(8, 9, 1)
    restored = serving.signatures["serving_default"](image_bytes=encoded(grey, np.repeat(grey, 3, axis=-1)))
    for content in restored["restored_png"].numpy():
        np.testing.assert_array_equal(tf.io.decode_png(content), expected(grey))
    message = message_of(
        lambda: serving.signatures["serving_default"](image_bytes=encoded(grey, pixels(8, 9, 3))),
    )
    assert "image_bytes[1] is in colour; this network restores grey images" in message


def test_networks_for_one_size():
    serving = restoration_serving(darker(1, (8, 9)), image_shape=(8, 9, 1))
    function = serving.signatures["serving_default"]
    assert len(function(image_bytes=encoded(pixels(8, 9, 1)))["restored_png"]) == 1
    message = message_of(lambda: function(image_bytes=encoded(pixels(9, 9, 1))))
    assert "image_bytes[0] has (height, width) [9 9]; this network restores images of [8 9]" in message


def test_what_is_no_image_and_no_request():
    function = restoration_serving(darker(1), image_shape=(None, None, 1)).signatures["serving_default"]
    assert "image_bytes[0], of 4 bytes, is not a JPEG" in message_of(
        lambda: function(image_bytes=tf.constant([b"text"]))
    )
    assert "the request holds no image" in message_of(lambda: function(image_bytes=tf.constant([], tf.string)))
