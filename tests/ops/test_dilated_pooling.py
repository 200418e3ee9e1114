"""Pools at every pixel against the strided pools whose results are among theirs."""

import keras
import numpy as np
import pytest

from tfdlcv.ops.dilated_pooling import dilated_average_pool, dilated_max_pool

X = np.random.default_rng(0).normal(size=(2, 8, 10, 3)).astype("float32")


@pytest.mark.parametrize("pool_size", [2, 3])
def test_every_second_value_is_the_strided_pool_s(pool_size):
    strided = np.asarray(keras.layers.MaxPooling2D(pool_size, 2)(X))
    dense = np.asarray(dilated_max_pool(X, pool_size, dilation=1, before=0))
    assert dense.shape == X.shape
    np.testing.assert_array_equal(dense[:, ::2, ::2][:, : strided.shape[1], : strided.shape[2]], strided)


@pytest.mark.parametrize(("pool", "layer"), [(dilated_max_pool, "Max"), (dilated_average_pool, "Average")])
def test_windows_with_gaps_are_windows_of_every_second_pixel(pool, layer):
    pooled = getattr(keras.layers, f"{layer}Pooling2D")(3, 1, padding="same")
    dense = np.asarray(pool(X, 3, dilation=2, before=2))
    for row in (0, 1):
        for column in (0, 1):
            part = np.asarray(pooled(X[:, row::2, column::2]))
            np.testing.assert_allclose(dense[:, row::2, column::2], part, rtol=1e-6, atol=1e-6)


def test_places_outside_the_image_neither_win_nor_count():
    negative = -np.ones((1, 3, 3, 1), "float32")
    for pool in (dilated_max_pool, dilated_average_pool):
        np.testing.assert_array_equal(pool(negative, 2, dilation=4, before=4), negative)


def test_wrong_window():
    with pytest.raises(ValueError, match=r"before \(3\) must be between 0 and \(pool_size - 1\) \* dilation \(2\)"):
        dilated_max_pool(X, 2, dilation=2, before=3)
