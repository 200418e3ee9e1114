"""The named inputs that networks for point clouds share.

Shape legend: B clouds, N_l points of level l, C features, K neighbours, U neighbours of upsampling.
"""

from __future__ import annotations

import keras
from keras import ops


def cloud_inputs(features: int, points: int | None) -> dict[str, keras.KerasTensor]:
    """`positions` (B, N, 3) and `features` (B, N, C), float32; N may be None, for any number."""
    if features < 1:
        raise ValueError(f"features must be at least 1. Received: features={features}")
    if points is not None and points < 1:
        raise ValueError(f"points must be None or at least 1. Received: points={points}")
    # Positions of half precision would coincide.
    return {
        "positions": keras.Input((points, 3), name="positions", dtype="float32"),
        "features": keras.Input((points, features), name="features", dtype="float32"),
    }


def pyramid_inputs(
    *, levels: int, neighbors: int, upsampling_neighbors: int = 0, points: int | None = None, ratio: int = 4
) -> dict[str, keras.KerasTensor]:
    """The int32 tensors of a pyramid, as `tfdlcv.data.pyramid` describes them: neighbors{l}, pool{l}, up{l}."""
    for name, value in (("levels", levels), ("neighbors", neighbors)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={value}")
    sizes = [points]
    for _ in range(levels - 1):
        sizes.append(None if points is None else max(sizes[-1] // ratio, 1))
    inputs = {}
    for level in range(levels):
        inputs[f"neighbors{level}"] = (sizes[level], neighbors)
        if level + 1 < levels:
            inputs[f"pool{level}"] = (sizes[level + 1], neighbors)
            if upsampling_neighbors:
                inputs[f"up{level}"] = (sizes[level], upsampling_neighbors)
    return {name: keras.Input(shape, name=name, dtype="int32") for name, shape in inputs.items()}


def pooled_positions(positions, pool):
    """Positions (B, N_(l+1), 3) of the next level: those of the points that stand first in `pool` (B, N_(l+1), K)."""
    first = ops.maximum(pool[:, :, :1], 0)
    return ops.take_along_axis(positions, ops.repeat(first, positions.shape[-1], axis=-1), axis=1)
