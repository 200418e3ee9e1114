"""Square parts of photographs, on a grid, as examples that are drawn by index.

Shape legend: N patches, B of a batch, S rows and columns of a patch, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split


@dataclass(frozen=True)
class Photograph:
    """A whole photograph: `pixels` (H, W, C) uint8."""

    name: str
    pixels: np.ndarray


def patch_split(photographs: Sequence[Photograph], *, size: int, stride: int) -> Split:
    """All patches of `size` x `size` whose corners lie on the grid of `stride`: by photograph, row and column.

    Examples are `target` (B, S, S, C) uint8.

    Raises:
        UserError: a photograph is smaller than a patch. It names the photograph.
    """
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    corners = []  # Photograph, row and column of each patch.
    for index, photograph in enumerate(photographs):
        height, width = photograph.pixels.shape[:2]
        if min(height, width) < size:
            raise UserError(f"{photograph.name} ({height} x {width}) is smaller than a part of {size} x {size} pixels")
        rows, columns = np.arange(0, height - size + 1, stride), np.arange(0, width - size + 1, stride)
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        corners.append(np.insert(grid, 0, index, axis=1))
    corners = np.concatenate(corners)  # (N, 3)
    # Photographs of all sizes lie in one table of pixels, of which a patch is a gather.
    counts = [photograph.pixels.shape[0] * photograph.pixels.shape[1] for photograph in photographs]
    starts = np.cumsum([0, *counts[:-1]])
    widths = np.array([photograph.pixels.shape[1] for photograph in photographs])
    of = corners[:, 0]
    with tf.device("CPU:0"):  # Input pipelines run there.
        first_pixels = tf.constant(starts[of] + corners[:, 1] * widths[of] + corners[:, 2], tf.int64)  # (N,)
        row_lengths = tf.constant(widths[of], tf.int64)
        channels = photographs[0].pixels.shape[-1]
        table = tf.constant(np.concatenate([photograph.pixels.reshape(-1, channels) for photograph in photographs]))
    offsets = tf.range(size, dtype=tf.int64)

    def fetch(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.gather(first_pixels, indices)[:, None] + offsets * tf.gather(row_lengths, indices)[:, None]  # (B, S)
        return {"target": tf.gather(table, rows[:, :, None] + offsets)}  # (B, S, S, C)

    def describe(index: int) -> str:
        photograph, row, column = corners[index].tolist()
        return f"{photographs[photograph].name}, from row {row}, column {column}"

    return Split(num_examples=len(corners), fetch=fetch, describe=describe)


def mirrored_and_turned(patches, seed):
    """Patches (B, S, S, C), each in one of the eight ways in which a square can lie; pure in `seed` (2,) int32."""
    import tensorflow as tf

    ways = tf.random.stateless_uniform((3, tf.shape(patches)[0]), seed, 0, 2, tf.int32, alg="philox")
    flips = (
        lambda images: tf.reverse(images, [1]),
        lambda images: tf.reverse(images, [2]),
        lambda images: tf.transpose(images, (0, 2, 1, 3)),
    )
    for way, flip in zip(tf.unstack(tf.cast(ways, tf.bool)), flips, strict=True):
        patches = tf.where(way[:, None, None, None], flip(patches), patches)
    return patches
