import keras
import numpy as np
import pytest

from tests.visualization.networks import images, pooled
from tfdlcv.errors import UserError
from tfdlcv.visualization.feature_maps import layer_outputs
from tfdlcv.visualization.strongest_responses import draw_responses, strongest_responses

KERNEL = np.array([[1.0, 2.0], [3.0, 4.0]])


def two_maps(pool=False):
    """Map 0: a convolution with `KERNEL`; map 1: with its negative. Then ReLU, a max pool if asked for, and logits."""
    image = keras.Input((6, 6, 1))
    convolution = keras.layers.Conv2D(2, 2, use_bias=False, name="conv")
    x = keras.layers.ReLU(name="relu")(convolution(image))
    x = keras.layers.MaxPooling2D(5, name="switches")(x) if pool else x
    network = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)), name="two_maps")
    convolution.set_weights([np.stack([KERNEL, -KERNEL], axis=-1)[:, :, None]])
    return network


def spots(*places):
    """Black images of 6 x 6, each with one bright pixel."""
    x = np.zeros((len(places), 6, 6, 1), "float32")
    for image, (row, column, value) in zip(x, places, strict=True):
        image[row, column] = value
    return x


def test_the_strongest_response_is_found_and_sent_back_through_the_kernel():
    x = spots((2, 3, 1.0), (4, 1, 5.0), (3, 3, 2.0))
    (responses,) = strongest_responses(two_maps(), x, layer="relu", maps=[0], images_per_map=2)
    assert [r.image_index for r in responses] == [1, 2]
    best = responses[0]
    # The largest weight, 4, meets the pixel (4, 1) where the kernel begins at (3, 0).
    assert best.position == (3, 0) and best.value == 20 and best.map_index == 0
    expected = np.zeros((6, 6))
    expected[3:5, 0:2] = 20 * KERNEL
    np.testing.assert_allclose(best.pixels[..., 0], expected)
    assert best.box == (3, 0, 5, 2)


def test_max_pools_send_it_back_to_where_the_largest_value_was():
    (responses,) = strongest_responses(two_maps(pool=True), spots((2, 3, 1.0)), layer="switches", maps=[0])
    assert responses[0].position == (0, 0) and responses[0].value == 4
    expected = np.zeros((6, 6))
    expected[1:3, 2:4] = 4 * KERNEL  # The pool's largest value is at (1, 2) of the map.
    np.testing.assert_allclose(responses[0].pixels[..., 0], expected)


def test_maps_that_do_not_respond_have_no_responses():
    x = spots((2, 3, 1.0), (4, 1, 5.0))
    found = strongest_responses(two_maps(), x, layer="relu", maps=[1, 0])
    assert [len(of_map) for of_map in found] == [0, 2]
    picture = draw_responses(found, np.zeros((2, 6, 6, 1), np.uint8))
    assert picture.ndim == 3 and len(np.unique(picture)) > 10
    with pytest.raises(ValueError, match="no map responds"):
        draw_responses(found[:1], np.zeros((2, 6, 6, 1), np.uint8))


def test_by_default_the_maps_that_respond_most():
    network = pooled(filters=12)
    x = images(network, 5)
    peaks = layer_outputs(network, x, "conv").max(axis=(0, 1, 2))
    found = strongest_responses(network, x)
    assert [of_map[0].map_index for of_map in found] == np.argsort(-peaks)[:8].tolist()
    for of_map in found:
        assert [r.value for r in of_map] == sorted((r.value for r in of_map), reverse=True)
        np.testing.assert_allclose(of_map[0].value, peaks[of_map[0].map_index], rtol=1e-5)


def test_wrong_maps_and_layers():
    with pytest.raises(ValueError, match=r"maps must be in \[0, 2\). Received: \[0, 2\]"):
        strongest_responses(two_maps(), spots((0, 0, 1.0)), layer="relu", maps=[0, 2])
    with pytest.raises(UserError, match="two_maps has no layer 'rule'. Near: relu"):
        strongest_responses(two_maps(), spots((0, 0, 1.0)), layer="rule")
