"""Scenes as batches: histograms, octrees that are split where the coarser network sees the surface; files."""

import numpy as np
import pytest

from tfdlcv.data import depth_fusion, tsdf
from tfdlcv.data.depth_fusion import DepthScenesConfig, Scenes, fusion_split, read_depth_maps
from tfdlcv.data.point_clouds import examples
from tfdlcv.errors import UserError
from tfdlcv.ops.octree_batches import OctreeSpec

SPEC = OctreeSpec(16, levels=3, convolved=3, parents=True)


def scenes(part="train", **options):
    settings = {"resolution": 16, "views": 3, "pixels": 24, "train_examples": 4} | options
    return Scenes(DepthScenesConfig(name="depth_scenes", **settings), part)


def test_a_scene_is_a_function_of_seed_part_and_index():
    maps, truth = scenes().load(1)
    again, same = scenes().load(1)
    np.testing.assert_array_equal(maps.depth, again.depth)
    np.testing.assert_array_equal(truth, same)
    for other in (scenes("test"), scenes(data_seed=1)):
        assert not np.array_equal(truth, other.load(1)[1])
    assert truth.min() >= -1 and truth.max() == 1 and 0 < (truth <= 0).mean() < 0.5


def test_batches_of_the_first_level():
    batch = examples(fusion_split(scenes()), [0, 2])
    assert batch["histogram"].shape == (2, 16, 16, 16, 10) and batch["histogram"].max() == 1
    maps, truth = scenes().load(2)
    average, counts = tsdf.fuse(maps, 16)
    np.testing.assert_allclose(batch["histogram"][1], counts / 3, rtol=1e-6)
    np.testing.assert_allclose(batch["target"][1], np.stack([truth, average], -1), atol=1e-3)


def test_leaves_are_small_where_the_coarse_surface_is():
    coarse = np.ones((8, 8, 8), np.float32)
    coarse[1, 2, 3] = -0.4
    tree = depth_fusion.split_where_surface(coarse, 0.5)
    assert (tree.sizes == 1).sum() == 8 and (tree.sizes[tree.leaf_index[2:4, 4:6, 6:8]] == 1).all()
    assert tree.sizes[tree.leaf_index[8, 8, 8]] == 8
    counts = np.random.default_rng(0).integers(0, 4, (16, 16, 16, 10)).astype(np.uint8)
    _, features = depth_fusion.octree_example(counts, coarse, views=3, below=0.5)
    leaf = tree.leaf_index[2, 4, 6]
    np.testing.assert_allclose(features[leaf], [*(counts[2, 4, 6] / 3), -0.4], rtol=1e-6)
    whole = tree.leaf_index[8, 8, 8]
    np.testing.assert_allclose(features[whole, :10], counts[8:, 8:, 8:].mean(axis=(0, 1, 2)) / 3, rtol=1e-5)


def test_batches_of_a_finer_level_hold_what_the_coarser_one_said():
    seen = []

    def coarser(maps):
        seen.append(len(maps))
        return np.clip(tsdf.fuse(maps, 8)[0], -1, 1)

    split = fusion_split(scenes(), coarser=coarser, spec=SPEC)
    assert seen == [3] * 4
    batch = examples(split, [1, 3])
    assert set(batch) == {"target", "features", *SPEC.shapes()}
    coarse = coarser(scenes().load(3)[0]).astype(np.float16)
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    found = batch["features"][1, :, 10][batch["leaf_index"][1]]
    np.testing.assert_allclose(np.where(np.abs(fine) < 0.5, found - fine, 0), 0, atol=1e-3)
    assert found.mean() == pytest.approx(fine.astype(float).mean(), abs=1e-3)


def write(path, **changes):
    maps, _ = scenes().load(0)
    arrays = {name: getattr(maps, name) for name in ("depth", "intrinsics", "world_to_camera")} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return maps


def test_files_of_depth_maps(tmp_path):
    maps = write(tmp_path / "a.npz")
    found = read_depth_maps(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.depth, maps.depth)
    write(tmp_path / "b.npz", depth=np.where(np.isinf(maps.depth), 0, maps.depth))
    np.testing.assert_array_equal(read_depth_maps(tmp_path / "b.npz").depth, maps.depth)
    assert depth_fusion.find_depth_maps([tmp_path]) == [tmp_path / "a.npz", tmp_path / "b.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intrinsics": None}, "lacks intrinsics. It has: depth, world_to_camera"),
        ({"depth": np.ones((3, 8, 8), int)}, r"depth must be \(V, H, W\) of floats, but is \(3, 8, 8\) of int64"),
        ({"depth": np.ones((8, 8))}, r"depth must be \(V, H, W\)"),
        ({"world_to_camera": np.ones((3, 4, 4))}, r"world_to_camera must be finite, \(3, 3, 4\), but is \(3, 4, 4\)"),
        ({"depth": np.full((3, 8, 8), np.nan)}, r"at least 0, or infinite, but is nan at \(0, 0, 0\)"),
        ({"depth": np.full((3, 8, 8), -1.0)}, "but is -1.0 at"),
    ],
)
def test_bad_files_of_depth_maps(changes, message, tmp_path):
    write(tmp_path / "maps.npz", **changes)
    with pytest.raises(UserError, match=f"maps.npz.*{message}"):
        read_depth_maps(tmp_path / "maps.npz")


def test_files_that_are_missing_or_cut_short(tmp_path):
    write(tmp_path / "maps.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "maps.npz").read_bytes()[:900])
    with pytest.raises(UserError, match="cut.npz: damaged, or cut short at byte 900"):
        read_depth_maps(tmp_path / "cut.npz")
    with pytest.raises(UserError, match="gone.npz: no such file"):
        read_depth_maps(tmp_path / "gone.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no files of depth maps"):
        depth_fusion.find_depth_maps([tmp_path / "empty"])
