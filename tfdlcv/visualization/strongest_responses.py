"""What a feature reacts to: the images and places of its strongest responses, and what in them caused these.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2 and figure 2.

Shape legend: N images, H x W pixels, C channels, h x w positions, K maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfdlcv.visualization import network_graph
from tfdlcv.visualization.feature_maps import layer_outputs
from tfdlcv.visualization.gradients import gradient
from tfdlcv.visualization.relu_rule import Rule, relu_rule
from tfdlcv.visualization.tiles import draw_table, signed_pixels

_BATCH = 16  # Responses that are sent back at a time.


@dataclass(frozen=True)
class Response:
    """One strong response of a map.

    Attributes:
        map_index: Of the K maps.
        image_index: Of the N images.
        position: (row, column) of the h x w.
        value: Of the map there.
        pixels: (H, W, C) float32, the image's part in it: the value sent back to the pixels, all others set to 0.
        box: (top, left, bottom, right) of the pixels that the response depends on under the rule, ends exclusive.
    """

    map_index: int
    image_index: int
    position: tuple[int, int]
    value: float
    pixels: np.ndarray
    box: tuple[int, int, int, int]


def strongest_responses(
    network: keras.Model,
    images: np.ndarray,
    *,
    layer: str | None = None,
    maps: Sequence[int] | None = None,
    images_per_map: int = 4,
    rule: Rule = "deconvnet",
) -> list[list[Response]]:
    """For each of some maps, its strongest responses in different images, the strongest first.

    Args:
        network: From images to scores (N, K).
        images: (N, H, W, C), in the range that the network takes.
        layer: Name of a layer that gives maps. Default: `network_graph.map_layer`'s.
        maps: Indices. Default: the eight maps that respond most strongly.
        images_per_map: At most so many; images in which the map does not rise above 0 are left out.
        rule: How values pass ReLUs on their way back.

    Raises:
        UserError: if there is no such layer, or it gives no maps.
        ValueError: for a map that the layer does not have.
    """
    copy = relu_rule(network, rule)
    chosen_layer = network_graph.map_layer(copy, layer)
    values = layer_outputs(network, images, chosen_layer.name)  # (N, h, w, K)
    peaks = values.max(axis=(1, 2))  # (N, K)
    if maps is None:
        maps = np.argsort(-peaks.max(axis=0), kind="stable")[:8].tolist()
    if any(not 0 <= index < values.shape[-1] for index in maps):
        raise ValueError(f"maps must be in [0, {values.shape[-1]}). Received: {list(maps)}")
    best = {int(index): np.argsort(-peaks[:, index], kind="stable")[:images_per_map] for index in maps}
    pairs = [(index, int(image)) for index, chosen in best.items() for image in chosen if peaks[image, index] > 0]
    part = keras.Model(copy.inputs, chosen_layer.output)
    responses = []
    for start in range(0, len(pairs), _BATCH):
        responses += _responses(part, images, values, pairs[start : start + _BATCH])
    return [[response for response in responses if response.map_index == index] for index in best]


def _responses(part: keras.Model, images, values, pairs: Sequence[tuple[int, int]]) -> list[Response]:
    """The strongest response of each pair (map, image)."""
    kept = np.zeros((len(pairs), *values.shape[1:]), "float32")
    places = []
    for mask, (map_index, image_index) in zip(kept, pairs, strict=True):
        one = values[image_index, :, :, map_index]  # (h, w)
        row, column = np.unravel_index(int(one.argmax()), one.shape)
        mask[row, column, map_index] = one[row, column]
        places.append((int(row), int(column)))
    x = ops.convert_to_tensor(np.asarray(images[[image_index for _, image_index in pairs]], "float32"))
    pixels = ops.convert_to_numpy(gradient(lambda value: part(value, training=False) * kept, x))
    return [
        Response(map_index, image_index, place, float(mask.max()), one, _box(one))
        for (map_index, image_index), place, mask, one in zip(pairs, places, kept, pixels, strict=True)
    ]


def _box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of what is not 0 in (H, W, C), ends exclusive; all where everything is."""
    if not pixels.any():
        return (0, 0, *pixels.shape[:2])
    rows, columns = (np.flatnonzero(np.abs(pixels).max(axis=axes)) for axes in ((1, 2), (0, 2)))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def draw_responses(responses: Sequence[Sequence[Response]], images: np.ndarray) -> np.ndarray:
    """A row for each map: each response's piece of the image (N, H, W, C) uint8, and beside it what caused it."""
    rows, titles = [], []
    for of_map in responses:
        if not of_map:
            continue
        row = []
        for response in of_map:
            top, left, bottom, right = response.box
            row.append(images[response.image_index][top:bottom, left:right])
            row.append(signed_pixels(response.pixels[top:bottom, left:right]))
        rows.append(row)
        titles.append(f"map {of_map[0].map_index}")
    if not rows:
        raise ValueError("no map responds to any of the images")
    return draw_table(rows, row_titles=titles, tile_pixels=80)
