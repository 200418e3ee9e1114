"""Images of any size through a fully convolutional network: whole, or in tiles that fit memory.

A tile is given to the network with its surroundings. Where the network sees no more than these, and tiles begin where
its strides have a position, the result is that of the whole image, but for the rounding of sums that are added in
another order. That holds for the mirror image, too, whose strides have other positions than the image's.

Shape legend: images H x W with C channels, K outputs of each pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.errors import UserError
from tfdlcv.ops import tiling

_PROBE = 1e30  # So large that it is above zero after the smallest weights of the deepest networks, and yet finite.


@dataclass(frozen=True)
class InputSizes:
    """Which images a network takes, and what it answers for.

    minimum, step: heights and widths are `minimum` plus a multiple of `step`.
    stride: pixels between two positions of its coarsest maps.
    margin: rows and columns at each side of an image that the outputs lack.
    """

    minimum: int
    step: int
    stride: int
    margin: int = 0

    def around(self, length: int) -> int:
        """The smallest height or width that the network takes and that has outputs for `length` pixels."""
        above = max(length + 2 * self.margin - self.minimum, 0)
        return self.minimum + -(-above // self.step) * self.step


def visible_radius(network: keras.Model, sizes: InputSizes, *, side: int) -> int | None:
    """How far from a cut at a multiple of the stride a pixel's output may still depend on what is behind it.

    All kernels are taken to be positive and all that shifts values to be zero, so that nothing cancels out and an
    output is above zero where, and only where, it sees a pixel above zero. Then pixels are set on two sides.

    Args:
        network: (1, side, side, C) float32 -> (1, side, side, K), without scaling of pixels in front.
        sizes: of the network, without a margin.
        side: of the images to try it with, a multiple of the stride.

    Returns:
        Pixels; None where they reach to the image's other side.
    """
    values = {id(variable): _all_seeing(variable) for variable in network.variables}
    parts = network.trainable_variables, network.non_trainable_variables
    trained, others = ([values[id(variable)] for variable in part] for part in parts)
    radius = 0
    for cut in (slice(0, sizes.stride), slice(side - sizes.stride, side)):
        image = np.zeros((1, side, side, network.input_shape[-1]), np.float32)
        image[:, cut] = _PROBE
        image[:, :, cut] = _PROBE
        outputs = np.asarray(network.stateless_call(trained, others, image, training=False)[0])[0]
        seen = (outputs != 0).any(axis=-1)  # (side, side); what has overflown is seen, too.
        seen = seen if cut.start == 0 else seen[::-1, ::-1]
        free = [not seen[place:, place:].any() for place in range(side)]
        if not any(free):
            return None
        radius = max(radius, free.index(True) - sizes.stride)
    # Of a window whose values are all alike, the probe sees only the first place taken up by unpooling.
    unpools = any("Unpooling" in type(layer).__name__ for layer in network.layers)
    return radius + (sizes.stride if unpools else 0)


def _all_seeing(variable) -> np.ndarray:
    shape = tuple(variable.shape)
    if not variable.dtype.startswith(("float", "bfloat")):
        return variable.numpy()
    if len(shape) > 1:  # Their sums are 1, or less, so that values stay in range.
        return np.full(shape, 1 / np.prod(shape[:-1]), np.float32)
    return np.full(shape, float(variable.path.endswith(("gamma", "variance"))), np.float32)


class SlidingWindow:
    """A network on images of any size.

    Args:
        network: (1, h, w, C) uint8 -> (1, h, w, K), or as many rows and columns less as `sizes` says.
        sizes: of the network.
        channels: C.
        tile: side of the tiles in pixels, rounded up to the stride; None: every image is taken whole.
        overlap: pixels around a tile that are given to the network with it; exact: as many as it sees, so that tiles
            change nothing.
        body: the part of `network` behind the scaling of its pixels, for `exact`.
        flip: outputs are averaged with those of the mirror image.
        mirror: outputs (h, w, K) of a mirror image, themselves mirrored back -> those of the image; None: the same.

    Raises:
        UserError: `exact`, and the network sees farther than a tile.
    """

    def __init__(
        self,
        network: Callable,
        sizes: InputSizes,
        *,
        channels: int = 3,
        tile: int | None = None,
        overlap: int | Literal["exact"] = "exact",
        body: keras.Model | None = None,
        flip: bool = False,
        mirror: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.sizes = sizes
        self.flip = flip
        self.mirror = mirror
        self.tile = None if tile is None else _rounded_up(tile, sizes.stride)
        self.halo = 0 if tile is None else self._halo(overlap, body)

        @tf.function(input_signature=[tf.TensorSpec((1, None, None, channels), tf.uint8)], autograph=False)
        def run(image):
            return network(image)

        self._run = run

    def pieces(self, image: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """(rows, columns) and the outputs (rows, columns, K) there, until the image (H, W, C) uint8 is covered once.

        Raises:
            UserError: the image is smaller than the network's smallest.
        """
        height, width = image.shape[:2]
        for window in tiling.windows(height, width, tile=self.tile or max(height, width), halo=0):
            yield window.tile, self.part(image, *window.tile)

    def part(self, image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """(rows, columns, K) of the image (H, W, C) uint8; raises as `pieces`."""
        height, width = image.shape[:2]
        if not self.sizes.margin and min(height, width) < self.sizes.minimum:
            raise UserError(
                f"the image of {height} x {width} pixels is smaller than the {self.sizes.minimum} x "
                f"{self.sizes.minimum} that the network needs"
            )
        values = self._outputs_at(image, rows, columns)
        if self.flip:
            there = slice(width - columns.stop, width - columns.start)
            mirrored = self._outputs_at(image[:, ::-1], rows, there)[:, ::-1]
            values += mirrored if self.mirror is None else self.mirror(mirrored)
            values /= 2
        return values

    def outputs(self, image: np.ndarray) -> np.ndarray:
        """(H, W, K) of the image (H, W, C) uint8; raises as `pieces`."""
        if self.tile is None:
            ((_, whole),) = self.pieces(image)
            return whole
        whole = None
        for place, values in self.pieces(image):
            if whole is None:
                whole = np.empty((*image.shape[:2], values.shape[-1]), values.dtype)
            whole[place] = values
        return whole

    def _outputs_at(self, image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """(rows, columns, K) of the image (H, W, C) uint8."""
        seen_rows, inside_rows = self._seen(rows, image.shape[0])
        seen_columns, inside_columns = self._seen(columns, image.shape[1])
        seen = image[np.ix_(seen_rows, seen_columns)]
        return self._run(tf.constant(seen[None])).numpy()[0, inside_rows, inside_columns]

    def _seen(self, span: slice, length: int) -> tuple[np.ndarray, slice]:
        """Of an axis of `length` pixels: those that the network is given, and where in its outputs `span` is."""
        sizes = self.sizes
        first = max(span.start - self.halo, 0) // sizes.stride * sizes.stride
        inside = slice(span.start - first, span.stop - first)
        if not sizes.margin:
            return np.arange(first, min(_rounded_up(span.stop + self.halo, sizes.stride), length)), inside
        # Mirrored at the borders; behind the last as far as a window that begins at the last stride may take.
        behind = sizes.margin + sizes.minimum + sizes.step + sizes.stride
        pixels = np.pad(np.arange(length), (sizes.margin, behind), mode="reflect")
        return pixels[first : first + sizes.around(inside.stop)], inside

    def _halo(self, overlap: int | Literal["exact"], body: keras.Model | None) -> int:
        if self.sizes.margin:
            return 0  # What is around a tile goes in with the margin, and the outputs see no farther.
        if overlap == "exact":
            overlap = visible_radius(body, self.sizes, side=self.tile + 2 * self.sizes.stride)
            if overlap is None:
                raise UserError(
                    f"predict.overlap exact: an output of {body.name} depends on pixels more than predict.tile "
                    f"({self.tile}) away, or on all; choose larger tiles, or a number of pixels for the overlap"
                )
        # The last tile may be a single row, with the halo of one side.
        return _rounded_up(max(overlap, self.sizes.minimum), self.sizes.stride)


def _rounded_up(length: int, step: int) -> int:
    return -(-length // step) * step
