"""Large images in tiles, on the host: what a network makes of the whole image, in memory that does not grow with it.

A tile is given to the network with a border of what surrounds it in the image, the halo. Where the halo is at least
the network's radius, the farthest pixel that an output depends on, the tile's outputs are those of the whole image:
windows end where the image ends, so that padding by the network stays where it is for the whole image, too.

Shape legend: H x W pixels, C channels, K outputs of each pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A tile of an image, and what the network sees of it; each a pair of slices, of rows and columns.

    tile: in the image.
    seen: in the image: the tile and its halo, as far as the image goes.
    inside: the tile within `seen`.
    """

    tile: tuple[slice, slice]
    seen: tuple[slice, slice]
    inside: tuple[slice, slice]


def windows(height: int, width: int, *, tile: int, halo: int) -> Iterator[Window]:
    """Tiles that cover height x width pixels once, row by row; those at the right and below may be smaller.

    Args:
        tile: side of a tile, at least 1. For a network with strides, a multiple of their product, as `halo`.
        halo: pixels around a tile, at least 0.

    Raises:
        ValueError: a number is out of its range.
    """
    if min(height, width) < 1:
        raise ValueError(f"an image must have pixels. Received: height={height}, width={width}")
    if tile < 1 or halo < 0:
        raise ValueError(f"tile must be at least 1 and halo at least 0. Received: tile={tile}, halo={halo}")
    columns = list(_spans(width, tile, halo))
    for row in _spans(height, tile, halo):
        for column in columns:
            yield Window(*zip(row, column, strict=True))


def tiled(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray, *, tile: int, halo: int) -> np.ndarray:
    """`function` of a whole image, computed tile by tile.

    Args:
        function: (1, h, w, C) -> (1, h, w, K), for any h and w.
        image: (H, W, C), any dtype.
        tile, halo: as of `windows`.

    Returns:
        (H, W, K), in the dtype of `function`'s results. They agree with those of the whole image to rounding, because
        convolutions of other sizes may be added up in another order.

    Raises:
        ValueError: a number is out of its range, or `function` changes the size of what it gets.
    """
    result = None
    for window in windows(*image.shape[:2], tile=tile, halo=halo):
        seen = image[window.seen]
        outputs = np.asarray(function(seen[None]))
        if outputs.shape[:3] != (1, *seen.shape[:2]):
            raise ValueError(f"function must keep the size {(1, *seen.shape[:2])}. Received: shape={outputs.shape}")
        if result is None:
            result = np.empty((*image.shape[:2], outputs.shape[-1]), outputs.dtype)
        result[window.tile] = outputs[0][window.inside]
    return result


def _spans(length: int, tile: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Along one axis: the tile, what is seen, and the tile within it."""
    for start in range(0, length, tile):
        end = min(start + tile, length)
        first = max(start - halo, 0)
        yield slice(start, end), slice(first, min(end + halo, length)), slice(start - first, end - first)
