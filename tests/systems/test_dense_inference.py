"""One size and several, whole and in tiles."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.systems.dense_inference import DenseInference, PredictConfig


class Window:
    """A network that gives, for each pixel, its red value, its column, and 1."""

    def __init__(self, tile=None):
        self.tile = tile
        self.sizes = []

    def outputs(self, image):
        self.sizes.append(image.shape[:2])
        columns = np.broadcast_to(np.arange(image.shape[1], dtype=np.float32), image.shape[:2])
        return np.stack([image[..., 0].astype(np.float32), columns, np.ones(image.shape[:2], np.float32)], axis=-1)

    def part(self, image, rows, columns):
        return self.outputs(image)[rows, columns]

    def pieces(self, image):
        values = self.outputs(image)
        yield (slice(0, 3), slice(None)), values[:3]
        yield (slice(3, None), slice(None)), values[3:]


IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def test_one_size_is_the_network_itself():
    values = DenseInference(Window()).values(IMAGE)
    np.testing.assert_array_equal(values, Window().outputs(IMAGE))


def test_several_sizes_are_brought_back_and_averaged():
    window = Window()
    values = DenseInference(window, scales=(0.5, 1.0, 2.0)).values(IMAGE)
    assert window.sizes == [(3, 4), (6, 8), (12, 16)]
    assert values.shape == (6, 8, 3)
    # Columns of the middle size, those of half of it and those of twice, interpolated: c, (c - 0.5) / 2, 2 c + 0.5.
    np.testing.assert_allclose(values[2, 3:5, 1], [(3 + 1.25 + 6.5) / 3, (4 + 1.75 + 8.5) / 3], rtol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.0, 1.5, 2.0])
def test_sizes_are_brought_back_as_tensorflow_does(scale):
    window = Window()
    image = np.random.default_rng(1).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    values = DenseInference(window, scales=(scale, scale)).values(image)
    scaled = tf.image.resize(image, [round(13 * scale), round(17 * scale)], antialias=True).numpy()
    expected = tf.image.resize(Window().outputs(np.round(np.clip(scaled, 0, 255)).astype(np.uint8)), (13, 17))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scales", [(0.5, 1.0, 2.0), (0.7, 1.3)])
def test_tiles_change_nothing_at_several_sizes(scales):
    image = np.random.default_rng(1).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    whole = DenseInference(Window(), scales).values(image)
    np.testing.assert_array_equal(DenseInference(Window(tile=4), scales).values(image), whole)


def test_several_sizes_are_held_a_tile_at_a_time():
    class Constant:
        tile = 25

        def part(self, image, rows, columns):
            return np.ones((rows.stop - rows.start, columns.stop - columns.start, 200), np.float32)

    image = np.zeros((150, 200, 3), np.uint8)
    inference = DenseInference(Constant(), scales=(1.0, 2.0, 0.5))
    inference.best(image[:8, :8])  # What TensorFlow loads with its first call is no matter of sizes.
    tracemalloc.start()
    try:
        _, largest = inference.best(image)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(largest, 1, rtol=1e-6)
    assert most < 0.5 * 4 * 200 * 150 * 200, "less than the values of the whole image"


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 2.0)])
def test_the_best_class_and_its_value(scales):
    labels, largest = DenseInference(Window(), scales).best(IMAGE)
    values = DenseInference(Window(), scales).values(IMAGE)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, values.argmax(axis=-1))
    np.testing.assert_array_equal(largest, values.max(axis=-1))


def test_clusters_take_images_as_they_are():
    with pytest.raises(ValidationError, match="tile, scales and flip are for the network; method kmeans has none"):
        PredictConfig.model_validate_json('{"method": {"name": "kmeans"}, "tile": 64}')
