import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tfdlcv.data import color


def photographs(count=4, channels=3) -> np.ndarray:
    return np.random.RandomState(0).randint(20, 200, (count, 9, 11, channels)).astype(np.uint8)


def as_float(images) -> tf.Tensor:
    return tf.constant(images, tf.float32)


ENHANCEMENTS = {
    "brightness": (color.brightness, ImageEnhance.Brightness),
    "contrast": (color.contrast, ImageEnhance.Contrast),
    "saturation": (color.saturation, ImageEnhance.Color),
    "sharpness": (color.sharpness, ImageEnhance.Sharpness),
}


@pytest.mark.parametrize("name", ENHANCEMENTS)
def test_enhancements_agree_with_pillow(name):
    change, enhancer = ENHANCEMENTS[name]
    images, factors = photographs(), [0.0, 0.6, 1.0, 1.9]
    result = change(as_float(images), tf.constant(factors)).numpy()
    for image, factor, changed in zip(images, factors, result, strict=True):
        expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor), float)
        assert np.abs(changed - expected).max() <= 2  # Pillow works in whole numbers.
    np.testing.assert_allclose(result[2], images[2], atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ENHANCEMENTS)
def test_enhancements_stay_in_range(name, channels):
    images = as_float(np.random.RandomState(1).choice([0, 255], (3, 6, 6, channels)))
    result = ENHANCEMENTS[name][0](images, tf.constant([0.1, 1.5, 2.0]))
    assert float(tf.reduce_min(result)) >= 0
    assert float(tf.reduce_max(result)) <= 255
    assert result.shape == images.shape


def test_contrast_is_that_of_each_image():
    flat = as_float(np.stack([np.full((4, 4, 1), 50), np.full((4, 4, 1), 90)]))
    np.testing.assert_allclose(color.contrast(flat, tf.constant([0.0, 0.0])), flat, atol=1e-3)


def test_a_turn_of_a_third_exchanges_the_primary_colors():
    red = as_float(np.full((1, 2, 2, 3), (200, 0, 0)))
    np.testing.assert_allclose(color.hue(red, tf.constant([1 / 3]))[0, 0, 0], [0, 200, 0], atol=0.01)
    np.testing.assert_allclose(color.hue(red, tf.constant([-1 / 3]))[0, 0, 0], [0, 0, 200], atol=0.01)
    images = as_float(photographs())
    there_and_back = color.hue(
        color.hue(images, tf.constant([0.1, 0.5, -0.3, 0.0])), tf.constant([-0.1, 0.5, 0.3, 0.0])
    )
    np.testing.assert_allclose(there_and_back, images, atol=0.05)


def test_auto_contrast_agrees_with_pillow():
    images = photographs()
    images[2] = 77
    result = color.auto_contrast(as_float(images)).numpy()
    for image, changed in zip(images, result, strict=True):
        assert np.abs(changed - np.asarray(ImageOps.autocontrast(Image.fromarray(image)), float)).max() <= 1
    assert (result[0].min(axis=(0, 1)), result[0].max(axis=(0, 1))) == (
        pytest.approx([0] * 3),
        pytest.approx([255] * 3),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_equalize_agrees_with_pillow(channels):
    # Large enough for Pillow's integer step to be more than 1, and one image of a single value.
    images = np.random.RandomState(0).binomial(255, 0.3, (3, 40, 40, channels)).astype(np.uint8)
    images[1] = 77
    result = color.equalize(as_float(images)).numpy()
    for image, changed in zip(images, result, strict=True):
        expected = np.asarray(ImageOps.equalize(Image.fromarray(image.squeeze())), float)
        np.testing.assert_array_equal(changed.squeeze(), expected)


def test_equalize_of_a_small_image_agrees_with_pillow():
    images = photographs(channels=1)  # 99 pixels are fewer than 255: no step.
    for image, changed in zip(images, color.equalize(as_float(images)).numpy(), strict=True):
        np.testing.assert_array_equal(changed[..., 0], np.asarray(ImageOps.equalize(Image.fromarray(image[..., 0]))))


def test_posterize_and_solarize_agree_with_pillow():
    image = photographs()[0]
    for bits in (4, 6, 8):
        expected = np.asarray(ImageOps.posterize(Image.fromarray(image), bits))
        np.testing.assert_array_equal(color.posterize(as_float(image[np.newaxis]), bits)[0], expected)
    for threshold in (0, 100, 256):
        expected = np.asarray(ImageOps.solarize(Image.fromarray(image), threshold))
        np.testing.assert_array_equal(color.solarize(as_float(image[np.newaxis]), threshold)[0], expected)


def test_no_images():
    none = as_float(photographs()[:0])
    for change in (color.brightness, color.contrast, color.saturation, color.sharpness, color.hue):
        assert change(none, tf.zeros(0)).shape == none.shape
    for change in (color.auto_contrast, color.equalize):
        assert change(none).shape == none.shape
