"""Volumes of signed distances as pictures of their middle slices.

Shape legend: N volumes, S voxels along each axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfdlcv.visualization.pictures import RIGHT, WRONG
from tfdlcv.visualization.tiles import draw_table


def draw_slices(columns: Mapping[str, np.ndarray], *, tile_pixels: int = 160) -> np.ndarray:
    """A row for each volume, a column for each kind.

    Args:
        columns: heading -> volumes (N, S, S, S) in -1..1; blue is inside, orange outside, white the surface.

    Returns:
        (H, W, 3) uint8.
    """
    sizes = {len(volumes) for volumes in columns.values()}
    if len(sizes) != 1:
        raise ValueError(f"columns must have as many volumes each. Received: {sorted(sizes)}")
    slices = [[slice_picture(volume) for volume in volumes] for volumes in columns.values()]
    return draw_table([*zip(*slices, strict=True)], column_titles=[*columns], tile_pixels=tile_pixels)


def slice_picture(volume: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 of the middle of the second axis of (S, S, S), the third axis upwards."""
    distances = np.clip(np.asarray(volume, np.float64)[:, volume.shape[1] // 2].T[::-1], -1, 1)[..., None]
    colors = np.where(distances <= 0, RIGHT, WRONG)
    return np.round(255 - np.abs(distances) * (255 - colors)).astype(np.uint8)
