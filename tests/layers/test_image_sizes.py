"""Crops, resizing and the smallest size, for sizes that are known late."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import CropLike, ImageSizeCheck, ResizeLike


def ramp(*shape):
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


@pytest.mark.parametrize(("offset", "top", "left"), [(None, 1, 2), (0, 0, 0), (2, 2, 2)])
def test_crop_offsets(offset, top, left):
    maps, reference = ramp(2, 7, 8, 3), np.zeros((2, 4, 4, 1), "float32")
    expected = maps[:, top : top + 4, left : left + 4]
    np.testing.assert_array_equal(CropLike(offset)([maps, reference]), expected)


def test_crop_of_any_size_compiles():
    maps, reference = keras.Input((None, None, 2)), keras.Input((None, None, 1))
    network = keras.Model([maps, reference], CropLike()([maps, reference]))
    assert network.output_shape == (None, None, None, 2)
    inputs = [ramp(1, 6, 7, 2), np.zeros((1, 4, 4, 1), "float32")]
    compiled = tf.function(network, jit_compile=True)
    np.testing.assert_array_equal(compiled(inputs), inputs[0][:, 1:5, 1:5])


def test_crop_of_too_little():
    with pytest.raises(ValueError, match=r"maps of \(4, 5\) cannot be cropped to \(4, 4\) at offset 1"):
        CropLike(1)([ramp(1, 4, 5, 1), ramp(1, 4, 4, 1)])
    with pytest.raises(ValueError, match="offset must be at least 0. Received: offset=-1"):
        CropLike(-1)
    with pytest.raises(ValueError, match=r"takes \[maps, reference\]"):
        CropLike()(ramp(1, 4, 5, 1))


def test_resize_has_half_pixel_centres():
    row = np.array([0, 4], "float32").reshape((1, 1, 2, 1))
    reference = np.zeros((1, 1, 4, 5), "float32")
    assert np.ravel(ResizeLike()([row, reference])).tolist() == [0, 1, 3, 4]
    assert np.ravel(ResizeLike("nearest")([row, reference])).tolist() == [0, 0, 4, 4]
    assert ResizeLike(dtype="bfloat16")([row, reference]).dtype == "bfloat16"
    with pytest.raises(ValueError, match="interpolation must be 'bilinear' or 'nearest'. Received: .*'cubic'"):
        ResizeLike("cubic")


def test_size_check():
    check = ImageSizeCheck(8, step=4)
    x = ramp(1, 8, 12, 1)
    np.testing.assert_array_equal(check(x), x)
    with pytest.raises(ValueError, match="at least 8. Received: height=12, width=7"):
        check(ramp(1, 12, 7, 1))
    with pytest.raises(ValueError, match="must be 8 plus a multiple of 4. Received: height=10, width=8"):
        check(ramp(1, 10, 8, 1))
    with pytest.raises(ValueError, match="at least 8. Received: height=4, width=None"):
        check(keras.Input((4, None, 1)))
    with pytest.raises(ValueError, match=r"minimum \(0\) and step \(1\) must be at least 1"):
        ImageSizeCheck(0)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("sizes", [((5, 7), (80, 100)), ((9, 1), (13, 4)), ((30, 20), (7, 33)), ((4, 4), (4, 4))])
def test_sizes_that_only_the_graph_knows_change_nothing(interpolation, sizes):
    resize = ResizeLike(interpolation)
    random = np.random.default_rng(0)
    maps, reference = (random.normal(size=(2, *size, 3)).astype("float32") for size in sizes)
    any_size = tf.TensorSpec((None, None, None, 3))
    in_graph = tf.function(lambda *pair: resize([*pair]), input_signature=[any_size, any_size], autograph=False)
    np.testing.assert_allclose(in_graph(maps, reference), resize([maps, reference]), atol=1e-6)
