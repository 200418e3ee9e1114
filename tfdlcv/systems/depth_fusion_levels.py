"""The levels of a coarse-to-fine fusion, one after the other, and what is done with them for files of the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.data import cloud_files, tsdf
from tfdlcv.data.depth_fusion import find_depth_maps, octree_example, read_depth_maps, shares
from tfdlcv.data.depth_scenes import DepthMaps
from tfdlcv.errors import UserError
from tfdlcv.models.octree_fusion import fusion_octree_spec
from tfdlcv.ops.octree_batches import batch_arrays
from tfdlcv.training import resuming
from tfdlcv.training.batches import network_inputs
from tfdlcv.training.cloud_serving import named_function
from tfdlcv.training.export import Serving, WarmupRequest

if TYPE_CHECKING:
    from tfdlcv.systems.pointcloud.fusion import Config


class FusionLevels:
    """A trained network of a level, and below it those of the coarser ones.

    Args:
        config: of the level's run.
        network: of the level, with its weights.
    """

    def __init__(self, config: Config, network: keras.Model):
        self.config, self.network = config, network
        self.resolution = config.data.resolution
        self.coarser = None if config.model.coarser is None else self.of_coarser(config)

    @classmethod
    def of_coarser(cls, config: Config) -> FusionLevels:
        """Of the run that `model.coarser` names.

        Raises:
            UserError: it is of another system or resolution, or has no checkpoint.
        """
        folder = config.model.coarser
        _, found, _, task, _ = resuming.load_run(folder)
        if found.system != config.system:
            raise UserError(f"model.coarser {folder} is a run of {found.system}, not of {config.system}")
        if 2 * found.data.resolution != config.data.resolution:
            raise UserError(
                f"model.coarser {folder} has data.resolution {found.data.resolution}, but must have half of "
                f"{config.data.resolution}"
            )
        return cls(found, task.network)

    def fuse(self, maps: DepthMaps) -> np.ndarray:
        """The signed distance (S, S, S) float32, in units of the truncation."""
        return np.asarray(self.network(self.inputs(maps), training=False))[0, ..., 0]

    def inputs(self, maps: DepthMaps) -> Any:
        """What the network takes for the depth maps, with an axis of one scene."""
        _, counts = tsdf.fuse(maps, self.resolution)
        if self.coarser is None:
            return shares(counts, len(maps))[None]
        below = self.config.model.split_below
        tree, features = octree_example(counts, self.coarser.fuse(maps), views=len(maps), below=below)
        arrays = batch_arrays([tree], [features], fusion_octree_spec(self.resolution))
        return network_inputs(self.network, arrays)


def fuse_files(levels: FusionLevels, paths: Sequence[Path], directory: Path, *, on_error: str) -> dict[str, Path]:
    """Writes, by each file's name, .tsdf.npz, .surface.ply with points coloured by their normals, and .png."""
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.point_clouds import draw_point_cloud

    written: dict[str, Path] = {}
    for path in find_depth_maps(paths):
        try:
            maps = read_depth_maps(path)
        except UserError as error:
            if on_error == "stop":
                raise
            print(f"Skipped: {error}")
            continue
        volume = levels.fuse(maps)
        points, normals = tsdf.surface_points(volume)
        print(f"{path}: {(volume <= 0).mean():.1%} of {levels.resolution}^3 voxels inside, {len(points):,} points")
        directory.mkdir(parents=True, exist_ok=True)
        stem = directory / path.stem
        truncation = tsdf.TRUNCATION_VOXELS / levels.resolution
        np.savez_compressed(f"{stem}.tsdf.npz", tsdf=volume, truncation=np.float32(truncation))
        colors = np.round((normals + 1) * 127.5).astype(np.uint8)
        written |= {
            f"{path.name} distances": Path(f"{stem}.tsdf.npz"),
            f"{path.name} surface": cloud_files.write_ply(Path(f"{stem}.surface.ply"), points, colors),
            f"{path.name} picture": save_png(draw_point_cloud(points, colors), Path(f"{stem}.png")),
        }
    if not written:
        raise UserError("there are no depth maps to fuse")
    return written


def fusion_serving(config: Config, network: keras.Model) -> Serving:
    """`serving_default` from the network's own inputs to `tsdf` (B, S, S, S, 1)."""

    def serve(**tensors):
        return {"tsdf": tf.cast(network(network_inputs(network, tensors), training=False), tf.float32)}

    own = {
        tensor.name: tf.TensorSpec(tensor.shape, keras.backend.standardize_dtype(tensor.dtype), name=tensor.name)
        for tensor in network.inputs
    }
    size = config.data.resolution
    counts = np.zeros((size, size, size, tsdf.BINS), np.uint8)
    if config.model.coarser is None:
        example = {"histogram": shares(counts, 1)[None]}
    else:
        coarse = np.ones((size // 2,) * 3, np.float32)
        tree, features = octree_example(counts, coarse, views=1, below=config.model.split_below)
        example = batch_arrays([tree], [features], fusion_octree_spec(size))
    return Serving(
        signatures={"serving_default": named_function(serve, own)},
        warmup_requests=(WarmupRequest("serving_default", example),),
    )
