import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import affine


def images(height=6, width=8) -> tf.Tensor:
    """Two images whose values tell the place: 10 y + x, and 100 more."""
    place = 10 * np.arange(height)[:, np.newaxis] + np.arange(width)
    return tf.constant(np.stack([place, place + 100])[..., np.newaxis], tf.float32)


def resample(maps, fill_mode="constant", **size):
    return affine.resample(images(**size), maps, fill_mode).numpy()[..., 0]


def test_translation_moves_each_image_by_its_own_amount():
    result = resample(affine.translation(right=tf.constant([2.0, 0.0]), down=tf.constant([0.0, -1.0])))
    original = images().numpy()[..., 0]
    np.testing.assert_allclose(result[0, :, 2:], original[0, :, :-2], atol=1e-4)
    assert not result[0, :, :2].any()
    np.testing.assert_allclose(result[1, :-1], original[1, 1:], atol=1e-4)
    assert not result[1, -1].any()


def test_half_a_pixel_is_the_mean_of_two():
    result = resample(affine.translation(right=tf.constant([0.5, 0.5]), down=tf.zeros(2)))
    np.testing.assert_allclose(result[0, 2, 1:4], [20.5, 21.5, 22.5], atol=1e-4)


@pytest.mark.parametrize(
    ("fill_mode", "expected"), [("constant", [0, 0, 20]), ("nearest", [20, 20, 20]), ("reflect", [21, 20, 20])]
)
def test_fill_modes(fill_mode, expected):
    result = resample(affine.translation(right=tf.constant([2.0, 2.0]), down=tf.zeros(2)), fill_mode)
    np.testing.assert_allclose(result[0, 2, :3], expected, atol=1e-3)


def test_a_quarter_turn_is_counter_clockwise_about_the_middle():
    result = resample(affine.rotation(tf.constant([90.0, -90.0]), height=7, width=7), height=7, width=7)
    original = images(7, 7).numpy()[..., 0]
    np.testing.assert_allclose(result[0], np.rot90(original[0]), atol=1e-3)
    np.testing.assert_allclose(result[1], np.rot90(original[1], -1), atol=1e-3)


def test_rotation_forth_and_back_is_the_identity_inside():
    smooth = images(31, 31)
    degrees = tf.constant([20.0, -35.0])
    turned = affine.resample(smooth, affine.rotation(degrees, height=31, width=31), "constant")
    back = affine.resample(turned, affine.rotation(-degrees, height=31, width=31), "constant")
    np.testing.assert_allclose(back[:, 10:21, 10:21], smooth[:, 10:21, 10:21], atol=0.05)


def test_linear_maps_keep_the_middle():
    shear = tf.constant([[[1.0, 0.5], [0.0, 1.0]]] * 2)
    result = resample(affine.linear(shear, height=7, width=9), height=7, width=9)
    original = images(7, 9).numpy()[..., 0]
    np.testing.assert_allclose(result[:, 3], original[:, 3], atol=1e-4)  # The middle row stays,
    np.testing.assert_allclose(result[0, 5, :-1], original[0, 5, 1:], atol=1e-4)  # two below it one pixel to the left.


def test_enlargement():
    one, zero = tf.ones(2), tf.zeros(2)
    whole = affine.enlargement(left=zero, top=zero, part_width=one, part_height=one, height=6, width=8)
    np.testing.assert_allclose(resample(whole), images().numpy()[..., 0], atol=1e-4)
    # The right half of the width, all of the height: pixels 4..7 are each seen twice.
    right = affine.enlargement(left=0.5 * one, top=zero, part_width=0.5 * one, part_height=one, height=6, width=8)
    result = resample(right, "nearest")
    np.testing.assert_allclose(result[0, 2].reshape(4, 2).mean(1)[1:3], [25, 26], atol=1e-3)
    # The outermost centres of the result lie a quarter of a pixel inside the part's edges, at 3.75 and 7.25.
    np.testing.assert_allclose(result[0, 2, [0, -1]], [23.75, 27], atol=1e-3)


def test_no_images():
    assert affine.resample(images()[:0], affine.translation(tf.zeros(0), tf.zeros(0)), "constant").shape == (0, 6, 8, 1)
