"""What the first layer looks for: its weights as images.

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, figure 3.

Shape legend: h x w pixels of a filter, C channels of the image, F filters.
"""

from __future__ import annotations

import keras
import numpy as np

from tfdlcv.errors import UserError
from tfdlcv.visualization import network_graph
from tfdlcv.visualization.tiles import draw_table, signed_pixels

_COLUMNS = 16
_MOST_FILTERS = 256


def first_layer_filters(network: keras.Model) -> np.ndarray:
    """Weights (F, h, w, C) of the first layer that has any: a convolution, or a dense one behind `Flatten`.

    A dense layer's filters are as large as the image.

    Raises:
        UserError: if that layer is of another kind, or does not see an image of 1 or 3 channels.
    """
    flat = network_graph.flat_copy(network)
    layer = next((layer for layer in flat.layers if layer.weights), None)
    if isinstance(layer, keras.layers.Conv2D):
        filters = np.transpose(np.asarray(layer.get_weights()[0]), (3, 0, 1, 2))
    elif isinstance(layer, keras.layers.Dense) and np.prod(flat.input_shape[1:]) == layer.kernel.shape[0]:
        filters = np.transpose(layer.get_weights()[0]).reshape(-1, *flat.input_shape[1:])
    else:
        what = "none" if layer is None else f"{layer.name}, a {type(layer).__name__}"
        raise UserError(f"{network.name} begins with no convolution or dense layer on the image: {what}")
    if filters.shape[-1] not in (1, 3):
        raise UserError(f"filters of {filters.shape[-1]} channels cannot be shown: 1 or 3 can")
    return filters


def draw_filters(filters: np.ndarray, *, tile_pixels: int = 48) -> np.ndarray:
    """(F, h, w, C) in rows of 16, each on a scale of its own with 0 as middle grey: (H, W, 3) uint8."""
    images = [signed_pixels(one) for one in filters[:_MOST_FILTERS]]
    return draw_table(_in_rows(images, _COLUMNS), tile_pixels=tile_pixels)


def _in_rows(images: list, columns: int) -> list[list]:
    return [images[start : start + columns] for start in range(0, len(images), columns)]
