"""The named inputs that networks of octrees share."""

from __future__ import annotations

import keras

from tfdlcv.ops.octree_batches import OctreeSpec


def octree_inputs(features: int, spec: OctreeSpec) -> dict[str, keras.KerasTensor]:
    """`features` (B, L, C) float32 and the int32 arrays of `tfdlcv.ops.octree_batches`; numbers of leaves are open."""
    if features < 1:
        raise ValueError(f"features must be at least 1. Received: features={features}")
    inputs = {"features": keras.Input((None, features), name="features", dtype="float32")}
    return inputs | {name: keras.Input(shape, name=name, dtype="int32") for name, shape in spec.shapes().items()}
