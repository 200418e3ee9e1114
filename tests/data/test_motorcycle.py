import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.data import motorcycle
from tfdlcv.data.motorcycle import MotorcycleConfig, build, depth_of_disparity, read_motorcycle
from tfdlcv.errors import UserError


def test_depth_follows_from_disparity():
    # 994.978 px * 0.193001 m / (disparity + 31.086 px)
    disparity = np.array([0.0, 64.9438, np.nan, np.inf])
    depth = depth_of_disparity(disparity)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [6.17735, 2.0, np.nan, np.nan], rtol=1e-3)


def test_the_photograph():
    image, depth = read_motorcycle()
    assert image.shape == (500, 741, 3) and image.dtype == np.uint8 and depth.shape == (500, 741)
    assert 2 < np.nanmin(depth) < np.nanmax(depth) < 5.1  # A motorcycle in a garage.
    assert 0.05 < np.isnan(depth).mean() < 0.1


def test_windows_of_training_and_validation_have_no_pixel_in_common():
    data = build(MotorcycleConfig(name="motorcycle", image_size=(100, 100), stride=50))
    image, depth = read_motorcycle()
    # Rows 0, 50, ..., 400; columns 0, 50, ..., 400 and 541, 641.
    assert data.train.num_examples == 9 * 9
    assert data.validation.num_examples == data.test.num_examples == 5 * 2
    first = data.validation.fetch(tf.constant([0, 3], tf.int64))
    np.testing.assert_array_equal(first["image"][0], image[:100, 541:641])
    np.testing.assert_array_equal(first["target"][1, ..., 0], depth[100:200, 641:741])
    last = data.train.fetch(tf.constant([80], tf.int64))
    np.testing.assert_array_equal(last["image"][0], image[400:500, 400:500])
    assert data.target.name == "depth" and data.image_shape == (100, 100, 3)


def test_windows_that_do_not_fit():
    with pytest.raises(
        ValidationError, match=r"image_size \[96, 208\] must fit into both parts.*500 x 541 and 500 x 200"
    ):
        MotorcycleConfig(name="motorcycle", image_size=(96, 208))


def test_without_the_files(monkeypatch):
    monkeypatch.setattr(motorcycle.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install scikit-image"):
        read_motorcycle.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr(motorcycle, "_FILES", ("motorcycle_left.png", "gone.npz"))
    with pytest.raises(UserError, match=r"skimage/data lacks gone.npz"):
        read_motorcycle.__wrapped__()
