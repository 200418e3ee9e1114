import keras
import numpy as np
import pytest

from tests.visualization.networks import images, linear, pooled
from tfdlcv import models
from tfdlcv.errors import UserError
from tfdlcv.visualization.feature_maps import draw_feature_maps, feature_maps, layer_outputs
from tfdlcv.visualization.filters import draw_filters, first_layer_filters


def test_filters_are_the_kernels_of_the_first_convolution():
    network = pooled(filters=5)
    kernel = network.get_layer("conv").get_weights()[0]  # (3, 3, 3, 5)
    found = first_layer_filters(network)
    assert found.shape == (5, 3, 3, 3)
    np.testing.assert_array_equal(found[4], kernel[..., 4])


def test_filters_of_dense_layers_have_the_images_shape():
    weights = np.random.default_rng(0).normal(size=(4, 5, 3, 6)).astype("float32")
    np.testing.assert_array_equal(first_layer_filters(linear(weights)), np.moveaxis(weights, -1, 0))
    assert first_layer_filters(models.mlp((6, 5, 1), num_classes=3, hidden_units=(7,))).shape == (7, 6, 5, 1)


def test_networks_that_begin_otherwise_are_told():
    image = keras.Input((4, 4, 3))
    normalized = keras.Model(image, keras.layers.Conv2D(2, 3)(keras.layers.BatchNormalization(name="norm")(image)))
    with pytest.raises(UserError, match="begins with no convolution .*: norm, a BatchNormalization"):
        first_layer_filters(normalized)
    with pytest.raises(UserError, match="filters of 4 channels cannot be shown: 1 or 3 can"):
        first_layer_filters(pooled(channels=4))
    with pytest.raises(UserError, match="begins with no .*: none"):
        first_layer_filters(keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()]))


def test_each_filter_is_drawn_on_its_own_scale_around_grey():
    filters = np.zeros((2, 2, 2, 1))
    filters[0, 0, 0], filters[0, 1, 1], filters[1, 0, 1] = 1.0, -1.0, 50.0
    picture = draw_filters(filters, tile_pixels=2)
    first, second = picture[6:8, 6:8, 0], picture[6:8, 14:16, 0]
    assert first.tolist() == [[255, 128], [128, 0]]
    assert second.tolist() == [[128, 255], [128, 128]]


def test_more_filters_than_a_row_go_on_below():
    one, two = (draw_filters(np.ones((count, 3, 3, 1))) for count in (16, 17))
    assert two.shape[0] > one.shape[0] and two.shape[1] == one.shape[1]


def test_feature_maps_are_the_layers_outputs():
    network = pooled()
    x = images(network)
    kernel, bias = network.get_layer("conv").get_weights()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.maximum(np.einsum("yxc,yxck->k", padded[1, 2:5, 4:7], kernel) + bias, 0)
    np.testing.assert_allclose(feature_maps(network, x)[1, 2, 4], expected, rtol=1e-4, atol=1e-5)
    pooled_maps = layer_outputs(network, x, "pool")
    np.testing.assert_allclose(pooled_maps, feature_maps(network, x, "conv").mean(axis=(1, 2)), rtol=1e-4)


def test_the_largest_maps_are_drawn_on_one_scale():
    maps = np.zeros((2, 2, 70), "float32")
    maps[..., 3], maps[..., 40] = 1.0, 4.0
    picture = draw_feature_maps(maps, tile_pixels=4)
    brightness = picture.astype(int).sum(axis=-1)
    assert brightness.max() == 3 * 255  # The paper; the brightest map is somewhat yellower.
    heats = {tuple(color) for color in picture.reshape(-1, 3)}
    assert (252, 255, 164) in heats and (0, 0, 4) in heats  # Both ends of the scale.
    with pytest.raises(ValueError, match=r"maps must be those of one image, \(h, w, K\). Received: shape=\(2, 2\)"):
        draw_feature_maps(maps[..., 0])
