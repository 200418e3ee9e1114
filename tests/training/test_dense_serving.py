"""Signatures for images of any size."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdlcv.training.dense_serving import dense_serving, mirrored
from tfdlcv.training.export import export_saved_model


def describe(image):
    """The channel with the largest value, and that value."""
    return {"class_id": tf.argmax(image, axis=-1, output_type=tf.int32), "confidence": tf.reduce_max(image, axis=-1)}


def image_of(*size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    serving = dense_serving(describe, minimum_size=4, as_png="class_id", labels=("r", "g", "b"))
    path = export_saved_model(tmp_path_factory.mktemp("export"), serving)
    return tf.saved_model.load(str(path)).signatures


@pytest.mark.parametrize("size", [(4, 9), (13, 6)])
def test_files_and_pixels_of_any_size_give_the_same(served, size):
    images = [image_of(*size, seed=seed) for seed in (1, 2)]
    files = served["serving_default"](image_bytes=tf.constant([png(image) for image in images]))
    pixels = served["tensors"](image=tf.constant(np.stack(images)))
    np.testing.assert_array_equal(pixels["class_id"], np.stack(images).argmax(axis=-1))
    for name, value in pixels.items():
        np.testing.assert_array_equal(files[name], value)


def test_label_files_are_of_their_images_sizes(served):
    images = [image_of(5, 7), image_of(9, 4)]
    outputs = served["png"](image_bytes=tf.constant([png(image) for image in images]))
    for content, image in zip(outputs["class_id_png"].numpy(), images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), image.argmax(axis=-1))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([png(image_of(5, 7)), png(image_of(5, 8))], r"of one size: .* is .5 7 3. of image_bytes.0. and .5 8 3. of"),
        ([png(image_of(5, 3))], "images must have at least 4 x 4 pixels"),
        ([png(image_of(5, 7)), b"none"], r"image_bytes\[1\], of 4 bytes, is not a JPEG"),
        ([], "the request holds no image"),
    ],
)
def test_requests_that_cannot_be_served(served, files, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served["serving_default"](image_bytes=tf.constant(files, tf.string))


def test_what_lies_around_is_mirrored_and_left_out_again():
    """A network that takes two rows and columns from each side of its images, and counts what it sees."""

    def seen(image):
        values = tf.cast(image, tf.float32)
        return {"mean": tf.nn.avg_pool2d(values, 5, 1, "VALID")[..., 0]}

    serving = dense_serving(seen, around=lambda size: tf.fill([2, 2], 2) + tf.stack([[0, 0], 3 - size % 3], axis=1))
    image = image_of(4, 5)
    found = serving.signatures["tensors"](tf.constant(image[None]))["mean"][0].numpy()
    padded = np.pad(image[..., 0].astype(np.float32), 2, mode="reflect")
    expected = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean(axis=(2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "pads"), [((5, 4), ((3, 9), (0, 12))), ((5, 4), ((0, 0), (0, 0))), ((1, 1), ((3, 4), (2, 1)))]
)
def test_mirroring_goes_on_as_far_as_wanted(size, pads):
    image = image_of(*size)[None]
    expected = np.pad(image, ((0, 0), *pads, (0, 0)), mode="reflect")
    np.testing.assert_array_equal(mirrored(tf.constant(image), tf.constant(pads)), expected)
