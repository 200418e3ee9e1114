"""What a layer gives for an image, map by map.

Shape legend: N images, h x w positions, K maps.
"""

from __future__ import annotations

import keras
import numpy as np

from tfdlcv.visualization import network_graph
from tfdlcv.visualization.tiles import draw_table, heat

_COLUMNS = 8
_MOST_MAPS = 64


def layer_outputs(network: keras.Model, images: np.ndarray, layer: str) -> np.ndarray:
    """(N, ...) float32, what a layer of any rank gives.

    Raises:
        UserError: if there is no such layer; it lists those with near names.
    """
    flat = network_graph.flat_copy(network)
    part = keras.Model(flat.inputs, network_graph.find_layer(flat, layer).output)
    return network_graph.outputs(part, images)


def feature_maps(network: keras.Model, images: np.ndarray, layer: str | None = None) -> np.ndarray:
    """(N, h, w, K) float32 of a layer that gives maps; by default `network_graph.map_layer`'s."""
    return layer_outputs(network, images, network_graph.map_layer(network_graph.flat_copy(network), layer).name)


def draw_feature_maps(maps: np.ndarray, *, tile_pixels: int = 80) -> np.ndarray:
    """The maps (h, w, K) of one image, at most 64, those with the largest means: (H, W, 3) uint8.

    All are on one scale, so that a dark one has little to say.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps must be those of one image, (h, w, K). Received: shape={maps.shape}")
    positive = np.maximum(maps, 0)
    chosen = np.sort(np.argsort(-positive.mean(axis=(0, 1)), kind="stable")[:_MOST_MAPS])
    scaled = heat(np.moveaxis(positive[..., chosen], -1, 0).reshape(-1, maps.shape[1]))
    images = scaled.reshape(len(chosen), *maps.shape[:2], 3)
    rows = [list(images[start : start + _COLUMNS]) for start in range(0, len(images), _COLUMNS)]
    numbers = [chosen[start : start + _COLUMNS] for start in range(0, len(chosen), _COLUMNS)]
    titles = [f"maps {some[0]} to {some[-1]}" for some in numbers]
    return draw_table(rows, row_titles=titles, tile_pixels=tile_pixels)
