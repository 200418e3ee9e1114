"""A large cloud in overlapping blocks, whose results are exactly those of the whole cloud.

A block is made of the points whose results are wanted, and of all points that these depend on: the network's
neighbourhoods are followed back, level by level. So nothing is guessed of how far a network sees, and nothing differs
at the seams. Neighbours that lie outside a block belong to points whose results nobody reads; they become padding.

It holds for networks in which a point depends on nothing but its neighbours in the pyramid: `flex_unet`, whose
normalisations are fixed after training, but not PointNet, which looks at all points at once.

Shape legend: N_l points of level l of the whole cloud, S_l of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfdlcv.data.pyramid import PyramidSpec


@dataclass(frozen=True)
class Block:
    """A part of a cloud that can be computed alone.

    Attributes:
        wanted: first and last + 1 of the points of the whole cloud whose results this block gives.
        points: (S_0,) indices of its points in the whole cloud, ascending.
        places: where the wanted points stand among them, ascending.
        pyramid: arrays of `tfdlcv.data.pyramid` for the block.
    """

    wanted: tuple[int, int]
    points: np.ndarray
    places: np.ndarray
    pyramid: dict[str, np.ndarray]


def blocks(
    pyramid: dict[str, np.ndarray], spec: PyramidSpec, *, size: int, encoder_blocks: int, decoder_blocks: int
) -> Iterator[Block]:
    """Blocks that want `size` points each, in order; the last one fewer.

    Args:
        pyramid: of the whole cloud. Blocks overlap little where its points are in `spatial_order`.
        encoder_blocks, decoder_blocks: flex-convolutions, one after the other, on each level of the network.
    """
    points = len(pyramid["neighbors0"])
    for start in range(0, points, size):
        end = min(start + size, points)
        needed = _needed(pyramid, spec.levels, start, end, encoder_blocks, decoder_blocks)
        if len(needed[0]) == points:
            yield Block((start, end), needed[0], np.arange(start, end), pyramid)
            continue
        places = np.searchsorted(needed[0], np.arange(start, end))
        yield Block((start, end), needed[0], places, _restricted(pyramid, needed))


def _needed(pyramid, levels: int, start: int, end: int, encoder_blocks: int, decoder_blocks: int) -> list[np.ndarray]:
    """Indices (S_l,) of each level's points that the results of points start..end - 1 depend on."""
    sizes = [len(pyramid[f"neighbors{level}"]) for level in range(levels)]
    wanted = np.zeros(sizes[0], bool)
    wanted[start:end] = True
    of_encoder = []  # What of the encoder's results the decoder reads.
    for level in range(levels - 1):
        wanted = _grown(wanted, pyramid[f"neighbors{level}"], decoder_blocks)
        of_encoder.append(wanted)
        below = np.zeros(sizes[level + 1], bool)
        _mark(below, pyramid[f"up{level}"][wanted])
        wanted = below
    of_encoder.append(wanted)
    needed = [np.empty(0, np.int64)] * levels
    for level in reversed(range(levels)):
        mask = _grown(of_encoder[level], pyramid[f"neighbors{level}"], encoder_blocks)
        needed[level] = np.flatnonzero(mask)
        if level:
            above = of_encoder[level - 1].copy()
            _mark(above, pyramid[f"pool{level - 1}"][mask])
            of_encoder[level - 1] = above
    return needed


def _grown(mask: np.ndarray, neighbors: np.ndarray, times: int) -> np.ndarray:
    """`mask` (N,) and the neighbours of its points, `times` over."""
    grown = mask.copy()
    fresh = mask
    for _ in range(times):
        before = grown.copy()
        _mark(grown, neighbors[fresh])
        fresh = grown & ~before
    return grown


def _mark(mask: np.ndarray, indices: np.ndarray):
    indices = indices.reshape(-1)
    mask[indices[indices >= 0]] = True


def _restricted(pyramid, needed: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The pyramid of the needed points alone, renumbered; -1 for what is not among them."""
    numbers = []
    for level, indices in enumerate(needed):
        # One place more, so that padding, -1, stays padding.
        number = np.full(len(pyramid[f"neighbors{level}"]) + 1, -1, np.int32)
        number[indices] = np.arange(len(indices), dtype=np.int32)
        numbers.append(number)
    restricted = {}
    for level, indices in enumerate(needed):
        restricted[f"neighbors{level}"] = numbers[level][pyramid[f"neighbors{level}"][indices]]
        if level + 1 < len(needed):
            restricted[f"pool{level}"] = numbers[level][pyramid[f"pool{level}"][needed[level + 1]]]
            restricted[f"up{level}"] = numbers[level + 1][pyramid[f"up{level}"][indices]]
    return restricted
