"""Tiles give what the whole image gives, wherever the network allows it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.errors import UserError
from tfdlcv.systems.networks import build_image_network
from tfdlcv.systems.segmentation_networks import DeepLabV3Config, FcnConfig, SegNetConfig, UnetConfig, input_sizes
from tfdlcv.systems.sliding_window import InputSizes, SlidingWindow, visible_radius

SAME = InputSizes(minimum=16, step=1, stride=16)
MIRROR = {"flip": True, "mirror": lambda outputs: outputs * (1, 1, -1)}


def image_of(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def function_of(network):
    return lambda image: network(tf.cast(image, tf.float32) / 255, training=False)


def built(config):
    keras.utils.set_random_seed(0)
    network = build_image_network(config, image_shape=(None, None, 3), outputs=3)
    for variable in network.weights:  # Skips whose scores begin as zeros would hide what they see.
        if variable.path.endswith("kernel") and not np.any(variable.numpy()):
            variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    body = next(layer for layer in network.layers if isinstance(layer, keras.Model))
    return body, input_sizes(config, network)


NETWORKS = {
    "unet": (UnetConfig(name="unet", width=1 / 32, normalization="batch"), 96),
    "segnet": (SegNetConfig(name="segnet", width=1 / 64), 256),
    "fcn8": (FcnConfig(name="fcn", width=1 / 64), 224),
    "fcn32_crop": (FcnConfig(name="fcn", width=1 / 64, stride=32, padding="crop"), 288),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_overlap_changes_nothing(name):
    config, tile = NETWORKS[name]
    body, sizes = built(config)
    image = image_of(tile + 117, tile + 51)
    whole = SlidingWindow(function_of(body), sizes).outputs(image)
    window = SlidingWindow(function_of(body), sizes, tile=tile, body=body)
    assert window.halo <= tile and window.halo % sizes.stride == 0
    tiled = window.outputs(image)
    assert tiled.shape == (*image.shape[:2], 3)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6 * np.abs(whole).max())
    np.testing.assert_array_equal(tiled.argmax(axis=-1), whole.argmax(axis=-1))


def test_less_overlap_than_the_network_sees_does():
    body, sizes = built(NETWORKS["unet"][0])
    image = image_of(150, 64)
    whole = SlidingWindow(function_of(body), sizes).outputs(image)
    near = SlidingWindow(function_of(body), sizes, tile=64, overlap=16).outputs(image)
    different = np.abs(near - whole).max(axis=(1, 2)) / np.abs(whole).max()
    assert different[60:68].min() > 1e-3


def test_the_valid_form_is_whole_in_any_tiles():
    body, sizes = built(UnetConfig(name="unet", width=1 / 32, padding="valid"))
    assert sizes == InputSizes(minimum=188, step=16, stride=16, margin=92)
    image = image_of(61, 90)
    whole = SlidingWindow(function_of(body), sizes).outputs(image)
    tiled = SlidingWindow(function_of(body), sizes, tile=30, body=body).outputs(image)
    assert whole.shape == (61, 90, 3)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6 * np.abs(whole).max())
    # Mirrored at its borders, as the paper's overlap-tile strategy has it.
    padded = np.pad(image, ((92, 99), (92, 102), (0, 0)), mode="reflect")[None]
    direct = np.asarray(function_of(body)(padded))[0, :61, :90]
    np.testing.assert_allclose(whole, direct, rtol=0, atol=2e-6 * np.abs(whole).max())


def averaged_with_the_mirror_image(function, sizes, image):
    window = SlidingWindow(function, sizes)
    return (window.outputs(image) + MIRROR["mirror"](window.outputs(image[:, ::-1])[:, ::-1])) / 2


@pytest.mark.parametrize(("padding", "tile"), [("same", 96), ("valid", 30)])
def test_tiles_of_the_mirror_image_change_nothing_either(padding, tile):
    body, sizes = built(UnetConfig(name="unet", width=1 / 32, padding=padding))
    image = image_of(tile + 31, tile + 51)  # No multiples of the stride.
    expected = averaged_with_the_mirror_image(function_of(body), sizes, image)
    for options in ({}, {"tile": tile, "body": body}):
        outputs = SlidingWindow(function_of(body), sizes, **options, **MIRROR).outputs(image)
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_the_mirror_image_is_never_taken_whole_in_tiles():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((None, None, 3))
    x = keras.layers.MaxPooling2D(2, padding="same")(keras.layers.Conv2D(4, 3, padding="same")(pixels))
    x = keras.layers.UpSampling2D(2)(keras.layers.Conv2D(3, 3, padding="same")(x))
    network, sizes, seen = keras.Model(pixels, x), InputSizes(2, 2, 2), []

    def function(image):
        tf.py_function(lambda image: seen.append(tuple(image.shape[1:3])), [image], [])
        return network(tf.cast(image, tf.float32) / 255)[:, : tf.shape(image)[1], : tf.shape(image)[2]]

    image = image_of(60, 45)
    expected = averaged_with_the_mirror_image(function, sizes, image)
    seen.clear()
    window = SlidingWindow(function, sizes, tile=16, body=network, **MIRROR)
    np.testing.assert_allclose(window.outputs(image), expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert len(seen) == 2 * 4 * 3  # The image and its mirror image for each of 4 x 3 tiles.
    assert np.max(seen) <= 16 + 2 * window.halo + 2 * sizes.stride < 45


def test_the_radius_of_two_convolutions_and_a_pool():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(2, 3, padding="same")(image)
    assert visible_radius(keras.Model(image, x), InputSizes(1, 1, 1), side=16) == 1
    x = keras.layers.Conv2D(2, 3, padding="same", activation="relu")(keras.layers.MaxPooling2D(2)(x))
    network = keras.Model(image, keras.layers.UpSampling2D(2)(x))
    # The map of the pixels behind a cut gets one pixel from before it, which are two; that pixel's own see one more.
    assert visible_radius(network, InputSizes(2, 2, 2), side=32) == 4
    assert visible_radius(network, InputSizes(2, 2, 2), side=4) is None


def test_trained_weights_do_not_hide_what_a_network_sees():
    network = models.unet(num_classes=2, width=1 / 32)
    expected = visible_radius(network, SAME, side=240)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    assert visible_radius(network, SAME, side=240) == expected
    assert not np.any(network.get_weights()[0])


def test_a_network_that_sees_all_has_no_exact_overlap():
    body, sizes = built(DeepLabV3Config(name="deeplab_v3", backbone="mobilenet", width=1 / 16))
    with pytest.raises(UserError, match=r"predict.overlap exact: .* more than predict.tile \(64\) away, or on all"):
        SlidingWindow(function_of(body), sizes, tile=64, body=body)
    window = SlidingWindow(function_of(body), sizes, tile=64, overlap=40)
    assert window.halo == 64
    assert window.outputs(image_of(100, 70)).shape == (100, 70, 3)


def test_images_below_the_smallest_are_refused():
    window = SlidingWindow(lambda image: tf.cast(image, tf.float32), SAME)
    with pytest.raises(UserError, match="the image of 15 x 40 pixels is smaller than the 16 x 16 that the network"):
        window.outputs(image_of(15, 40))


@pytest.mark.parametrize("size", [(16, 16), (47, 33), (48, 64)])
def test_every_pixel_is_given_once(size):
    window = SlidingWindow(lambda image: tf.cast(image, tf.float32), SAME, tile=17, overlap=0)
    image, seen = image_of(*size), np.zeros(size, int)
    for place, values in window.pieces(image):
        seen[place] += 1
        np.testing.assert_array_equal(values, image[place])
        assert max(values.shape[:2]) <= 32
    assert (seen == 1).all()
