"""Depth maps of generated solids, as what networks that fuse them take: histograms, or octrees with them.

Batch dict, for B scenes and S voxels along each axis:
    target: (B, S, S, S, 2) float32 in -1..1, the true signed distance and the average of the views, both in units of
        the truncation; the second is the baseline, which no network sees.
    histogram: (B, S, S, S, 10) float32, share of the views whose distance is in each bin; see `tfdlcv.data.tsdf`.
    octree levels: features (B, L, 11) float32, the means over each leaf of the histogram and of the coarser network's
        output, and the arrays of `tfdlcv.ops.octree_batches`, in place of the histogram.
    id: (B,) int64 and valid: (B,) bool, as everywhere.

Every scene is a function of the seed, its split and its index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import depth_scenes, tsdf
from tfdlcv.data.depth_scenes import DepthMaps
from tfdlcv.errors import UserError
from tfdlcv.ops import octree
from tfdlcv.ops.octree import Octree
from tfdlcv.ops.octree_batches import OctreeSpec, batch_arrays

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

PARTS = ("train", "validation", "test")
Coarser = Callable[[DepthMaps], np.ndarray]
"""Depth maps -> the signed distance (S / 2, S / 2, S / 2) of the network before this one."""


class DepthScenesConfig(Section):
    """Unions of one to three bodies, seen by cameras in random places."""

    name: Literal["depth_scenes"]
    resolution: int = Field(32, ge=8, multiple_of=8)
    """S, of this level; the level before has half of it."""
    views: int = Field(4, ge=1, le=255)
    pixels: int = Field(64, ge=8)
    """Of each side of a depth map."""
    noise: float = Field(0.02, ge=0)
    """Deviation of a Gaussian on each depth, as a share of it; cameras are 1.5 to 2 edges of the cube away."""
    train_examples: int = Field(200, ge=1)
    validation_examples: int = Field(20, ge=1)
    test_examples: int = Field(50, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    keep_in_memory: bool = True
    """Hold what was made of each scene: 1 MB at 32^3, 8 MB at 64^3."""


class Scenes:
    """The scenes of one part: `len`, `load(index)` and `truth(index)`."""

    def __init__(self, config: DepthScenesConfig, part: Literal["train", "validation", "test"]):
        self.config, self.part = config, part

    def __len__(self) -> int:
        return getattr(self.config, f"{self.part}_examples")

    def load(self, index: int) -> tuple[DepthMaps, np.ndarray]:
        """The depth maps of a scene, and its true signed distance (S, S, S) float32."""
        config = self.config
        random = np.random.default_rng((config.data_seed, PARTS.index(self.part), index))
        scene = depth_scenes.random_scene(random)
        maps = depth_scenes.render(scene, random, views=config.views, pixels=config.pixels, noise=config.noise)
        distances = depth_scenes.scene_distance(scene, tsdf.voxel_centres(config.resolution))
        distances *= config.resolution / tsdf.TRUNCATION_VOXELS
        return maps, np.clip(distances, -1, 1).astype(np.float32).reshape((config.resolution,) * 3)

    def describe(self, index: int) -> str:
        """The name by which a person knows the scene."""
        return f"{self.part} scene {index}"


def shares(counts: np.ndarray, views: int) -> np.ndarray:
    """Histograms of counts as shares of the views, float32."""
    return counts.astype(np.float32) / views


def split_where_surface(coarse: np.ndarray, below: float) -> Octree:
    """The octree of twice the resolution, with leaves of one voxel where the coarse distance is small.

    Args:
        coarse: (S / 2, S / 2, S / 2), in units of its truncation.
        below: leaves are of one voxel where the distance's size is less than this.
    """
    near = np.abs(coarse) < below
    fine = near.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    # A pattern that no two voxels that touch share keeps leaves from growing.
    pattern = 1 + np.indices(fine.shape).sum(axis=0) % 2
    return octree.build_octree(np.where(fine, pattern, 0))


def octree_example(counts: np.ndarray, coarse: np.ndarray, *, views: int, below: float) -> tuple[Octree, np.ndarray]:
    """The octree of a scene and its features (L, 11) float32: histogram and coarse distance, means over each leaf."""
    tree = split_where_surface(coarse, below)
    index = tree.leaf_index.ravel()
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    channels = [*np.moveaxis(counts, -1, 0).reshape(counts.shape[-1], -1) / views, fine.ravel()]
    sums = np.stack([np.bincount(index, channel, tree.num_leaves) for channel in channels], axis=1)
    return tree, (sums / tree.sizes[:, None].astype(np.float64) ** 3).astype(np.float32)


def fusion_split(
    source: Scenes, *, coarser: Coarser | None = None, below: float = 0.5, spec: OctreeSpec | None = None
) -> Split:
    """The scenes of `source` in batches; of octrees, `spec`, where there is a coarser network.

    What the coarser network says of each scene is computed here, before training.
    """
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    config = source.config
    predicted = None if coarser is None else [coarser(source.load(i)[0]).astype(np.float16) for i in range(len(source))]
    made: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def make(index: int) -> tuple[np.ndarray, np.ndarray]:
        if index in made:
            return made[index]
        maps, truth = source.load(index)
        average, counts = tsdf.fuse(maps, config.resolution)
        example = counts, np.stack([truth, average], axis=-1).astype(np.float16)
        if config.keep_in_memory:
            made[index] = example
        return example

    def batch_of(indices):
        counts, target = zip(*(make(index) for index in indices.tolist()), strict=True)
        target = np.stack(target).astype(np.float32)
        if predicted is None:
            return [target, shares(np.stack(counts), config.views)]
        examples = [
            octree_example(each, predicted[index].astype(np.float32), views=config.views, below=below)
            for each, index in zip(counts, indices.tolist(), strict=True)
        ]
        trees, features = zip(*examples, strict=True)
        arrays = batch_arrays(trees, features, spec)
        return [target, *(arrays[name] for name in [*shapes][1:])]

    cube = (config.resolution,) * 3
    shapes = {"target": (*cube, 2)}
    shapes |= (
        {"histogram": (*cube, tsdf.BINS)} if spec is None else {"features": (None, tsdf.BINS + 1), **spec.shapes()}
    )
    floats = ("target", "histogram", "features")

    def fetch(indices):
        dtypes = [tf.float32 if name in floats else tf.int32 for name in shapes]
        values = tf.numpy_function(batch_of, [indices], dtypes, stateful=False)
        return {
            name: tf.ensure_shape(value, (indices.shape[0], *shapes[name]))
            for name, value in zip(shapes, values, strict=True)
        }

    return Split(num_examples=len(source), fetch=fetch, describe=source.describe)


def read_depth_maps(path: Path) -> DepthMaps:
    """Depth maps from an .npz file: `depth` (V, H, W), `intrinsics` (V, 3, 3) and `world_to_camera` (V, 3, 4).

    Depths are along the camera's axis, in edges of the cube about the origin that is reconstructed; a depth that is
    infinite or 0 is a ray that meets nothing.

    Raises:
        UserError: no such file, a damaged one, arrays that are missing or of another shape, or numbers that are no
            depths.
    """
    import zipfile

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: np.asarray(content[name]) for name in content.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None
    missing = [name for name in ("depth", "intrinsics", "world_to_camera") if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}. It has: {', '.join(arrays) or 'none'}")
    depth = arrays["depth"]
    if depth.ndim != 3 or not depth.size or depth.dtype.kind != "f":
        raise UserError(f"{path}: depth must be (V, H, W) of floats, but is {depth.shape} of {depth.dtype}")
    for name, shape in (("intrinsics", (3, 3)), ("world_to_camera", (3, 4))):
        found = arrays[name]
        if found.shape != (len(depth), *shape) or not np.isfinite(found).all():
            raise UserError(f"{path}: {name} must be finite, {(len(depth), *shape)}, but is {found.shape}")
    if np.isnan(depth).any() or depth.min() < 0:
        place = tuple(int(i) for i in np.argwhere(~(depth >= 0))[0])
        raise UserError(f"{path}: depth must be at least 0, or infinite, but is {depth[place]} at {place}")
    return DepthMaps(np.where(depth == 0, np.inf, depth), arrays["intrinsics"], arrays["world_to_camera"])


def find_depth_maps(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the .npz files in the folders among them, sorted."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*.npz"))
            if not inside:
                raise UserError(f"{path} holds no files of depth maps (.npz)")
            found += inside
        else:
            found.append(path)
    return found
