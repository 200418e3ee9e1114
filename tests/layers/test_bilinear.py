"""The bilinear kernel against the resize that it stands for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import Bilinear


def enlarge(x, factor):
    layer = keras.layers.Conv2DTranspose(
        x.shape[-1], 2 * factor, factor, padding="same", use_bias=False, kernel_initializer=Bilinear()
    )
    return np.asarray(layer(x))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_transposed_convolution_with_it_is_a_half_pixel_resize(factor):
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    expected = tf.image.resize(x, (6 * factor, 5 * factor)).numpy()
    inside = (slice(None), slice(factor // 2, -(factor // 2)), slice(factor // 2, -(factor // 2)))
    enlarged = enlarge(x, factor)
    np.testing.assert_allclose(enlarged[inside], expected[inside], rtol=0, atol=1e-6)
    assert np.abs(enlarged - expected).max() > 0.1  # At the border it reaches over zeros.


def test_of_ones_the_corner_is_nine_sixteenths():
    enlarged = enlarge(np.ones((1, 4, 4, 1), "float32"), 2)[0, :, :, 0]
    assert enlarged[0, 0] == 0.5625
    assert enlarged[0, 3] == 0.75
    np.testing.assert_array_equal(enlarged[1:-1, 1:-1], 1)


def test_odd_kernels_have_their_peak_in_the_middle():
    kernel = np.asarray(Bilinear()((3, 3, 2, 2)))
    np.testing.assert_array_equal(kernel[:, :, 0, 0], np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]))
    np.testing.assert_array_equal(kernel[:, :, 0, 1], 0)


def test_round_trip_dtype_and_wrong_shapes():
    copy = keras.initializers.deserialize(keras.initializers.serialize(Bilinear()))
    assert type(copy) is Bilinear
    assert copy((2, 2, 1, 1), dtype="bfloat16").dtype == "bfloat16"
    for shape in ((4, 4, 2, 3), (4, 3, 2, 2), (4, 4)):
        with pytest.raises(ValueError, match=r"\(k, k, channels, channels\). Received: \(4, "):
            Bilinear()(shape)
