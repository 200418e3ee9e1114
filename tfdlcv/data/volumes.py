"""Point clouds as volumes of occupied voxels, dense or as octrees, for networks that convolve space.

Batch dict of volumes, for B clouds of N points and S voxels along each axis:
    positions: (B, N, 3) float32, within the unit sphere.
    label: (B,) int32; id: (B,) int64 and valid: (B,) bool, as everywhere.
    dense: occupancy (B, S, S, S, 1) float32, 1 where a voxel holds a point.
    octree: features (B, L, 1) float32, the occupancy of each leaf, and the arrays of `tfdlcv.ops.octree_batches`.

Where training clouds are augmented, their volumes are made once more, of the clouds as they are then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfdlcv.data.point_clouds import Centre, CloudSource, load_prepared
from tfdlcv.ops import octree
from tfdlcv.ops.octree_batches import OctreeSpec, batch_arrays

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

PADDING = 2  # Empty voxels on every side; the OctNet code's ModelNet example leaves as many.


@dataclass(frozen=True)
class VolumeSpec:
    """What a network of volumes takes.

    Attributes:
        resolution: S, a multiple of 8.
        octree: whether volumes are octrees.
    """

    resolution: int
    octree: bool

    neighbors = 0
    """Of each point, as in `PyramidSpec`: none are looked for."""

    @property
    def octree_spec(self) -> OctreeSpec:
        """The arrays of an octree that is convolved, pooled once and made dense."""
        return OctreeSpec(self.resolution, levels=2, convolved=1, dense_level=1)

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The shape of each array without its axis of clouds."""
        if not self.octree:
            return {"occupancy": (self.resolution,) * 3 + (1,)}
        return {"features": (None, 1), **self.octree_spec.shapes()}


def voxelize(positions: np.ndarray, resolution: int, *, padding: int = PADDING) -> np.ndarray:
    """Which voxels (S, S, S) bool hold a point of positions (N, 3) in -1..1; points beyond the volume are left out."""
    if resolution <= 2 * padding:
        raise ValueError(f"resolution ({resolution}) must be more than twice the padding ({padding})")
    scale = resolution / 2 - padding
    voxels = np.floor(positions * scale + resolution / 2).astype(np.int64)
    # A coordinate of 1 lies on the far side of the last voxel.
    voxels = np.where(positions == 1, voxels - 1, voxels)
    voxels = voxels[((voxels >= 0) & (voxels < resolution)).all(axis=1)]
    volume = np.zeros((resolution,) * 3, bool)
    volume[tuple(voxels.T)] = True
    return volume


def volume_arrays(clouds: Sequence[np.ndarray], spec: VolumeSpec) -> dict[str, np.ndarray]:
    """The arrays of `spec` for positions (N, 3) of several clouds."""
    volumes = [voxelize(positions, spec.resolution) for positions in clouds]
    if not spec.octree:
        return {"occupancy": np.stack(volumes)[..., None].astype(np.float32)}
    trees = [octree.build_octree(volume) for volume in volumes]
    features = [
        volume[tuple(tree.origins.T)].astype(np.float32)[:, None] for volume, tree in zip(volumes, trees, strict=True)
    ]
    return batch_arrays(trees, features, spec.octree_spec)


def add_volumes(batch: dict[str, tf.Tensor], spec: VolumeSpec) -> dict[str, tf.Tensor]:
    """The batch with the arrays of `spec` for its positions, made on the host."""
    import tensorflow as tf

    shapes = spec.shapes()
    dtypes = [tf.float32 if name in ("features", "occupancy") else tf.int32 for name in shapes]

    def make(positions):
        arrays = volume_arrays(positions, spec)
        return [arrays[name] for name in shapes]

    # Of a single array TensorFlow makes a tensor, not a list of one.
    arrays = tf.nest.flatten(tf.numpy_function(make, [batch["positions"]], dtypes, stateful=False))
    clouds = batch["positions"].shape[0]
    named = {name: tf.ensure_shape(array, (clouds, *shapes[name])) for name, array in zip(shapes, arrays, strict=True)}
    return {**batch, **named}


def volume_split(
    source: CloudSource,
    *,
    points: int,
    spec: VolumeSpec,
    centre: Centre,
    up_axis: int = 2,
    keep: bool = True,
) -> Split:
    """Clouds of `source` by index, in batches.

    Args:
        points: N, of every cloud.
        keep: hold positions in memory once they are read.
    """
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    read: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def cloud_of(index: int):
        if index in read:
            return read[index]
        cloud, positions, _ = load_prepared(
            source, index, points=points, features=("ones",), centre=centre, up_axis=up_axis
        )
        found = positions, np.int32(cloud.label)
        if keep:
            read[index] = found
        return found

    def clouds_of(indices):
        clouds = [cloud_of(index) for index in indices.tolist()]
        return [np.stack(values) for values in zip(*clouds, strict=True)]

    def fetch(indices):
        positions, label = tf.numpy_function(clouds_of, [indices], [tf.float32, tf.int32], stateful=False)
        batch = {
            "positions": tf.ensure_shape(positions, (indices.shape[0], points, 3)),
            "label": tf.ensure_shape(label, (indices.shape[0],)),
        }
        return add_volumes(batch, spec)

    return Split(num_examples=len(source), fetch=fetch, describe=source.describe)


def volume_augmentation(
    augment_cloud: Callable[..., dict[str, tf.Tensor]], spec: VolumeSpec
) -> Callable[..., dict[str, tf.Tensor]]:
    """(batch, seed) -> batch with the volumes of the clouds that `augment_cloud` gives."""

    def augment(batch, seed):
        # The augmentation of clouds changes features too, of which there are none here.
        clouds = {"positions": batch["positions"], "features": batch["positions"][..., :0]}
        return add_volumes({**batch, "positions": augment_cloud(clouds, seed)["positions"]}, spec)

    return augment
