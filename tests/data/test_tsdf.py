"""Signed distances of depth maps by hand, bins of the histogram, the surface of a volume."""

import numpy as np
import pytest

from tfdlcv.data import tsdf
from tfdlcv.data.depth_scenes import DepthMaps


def wall(depth, views=1, size=65):
    """A camera at z = -2 that sees a wall of so much depth, as wide as the cube, in every pixel."""
    pose = np.concatenate([np.eye(3), [[0], [0], [2.0]]], axis=1)
    camera = np.array([[size * 1.4, 0, size / 2], [0, size * 1.4, size / 2], [0, 0, 1]])
    maps = np.full((views, size, size), depth, np.float32)
    return DepthMaps(maps, np.stack([camera] * views), np.stack([pose] * views))


def test_a_wall_by_hand():
    """Along z voxels are at -0.484..0.484; the wall at 0 is 16 voxels from either end, truncated at 6.4."""
    average, counts = tsdf.fuse(wall(2.0, views=3), 32)
    line = average[16, 16]
    expected = np.clip(-tsdf.voxel_centres(32)[:32, 2] * 32 / 6.4, -1, 1)
    expected[expected == -1] = -1  # What lies farther behind is in no average, but was seen: inside.
    np.testing.assert_allclose(line, expected, atol=1e-5)
    assert (counts[16, 16].sum(axis=-1) == 3).all()
    bins = counts[16, 16].argmax(axis=-1)
    assert bins[0] == 9 and bins[-1] == 0 and (np.diff(bins) <= 0).all()
    # 0.5 / 6.4 of the truncation in front of the wall: the bin about 0.125, of 0 to 0.25.
    assert (bins[15], bins[16]) == (5, 4)


def test_what_no_picture_shows_is_outside_and_free_rays_are_free():
    average, counts = tsdf.fuse(wall(np.inf), 16)
    assert (average == 1).all() and (counts[..., 9] == 1).all()
    away = wall(2.0)
    away.world_to_camera[0, :, 3] = [50, 0, 2]
    average, counts = tsdf.fuse(away, 16)
    assert (average == 1).all() and counts.sum() == 0


def test_views_that_disagree_are_averaged_where_both_are_near():
    maps = wall(2.0, views=2)
    maps.depth[1] = 2.05
    average, _ = tsdf.fuse(maps, 32)
    centre = tsdf.voxel_centres(32)[16, 2]
    assert average[16, 16, 16] == pytest.approx((-2 * centre + 0.05) / 2 * 32 / 6.4, abs=1e-5)


def test_the_surface_of_a_ball():
    points = tsdf.voxel_centres(24)
    volume = (np.linalg.norm(points, axis=1) - 0.3).reshape(24, 24, 24).astype(np.float32)
    found, normals = tsdf.surface_points(volume)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 0.3, atol=2e-3)
    assert (np.sum(found / 0.3 * normals, axis=1) > 0.9).all() and len(found) > 500
    none, _ = tsdf.surface_points(np.ones((8, 8, 8), np.float32))
    assert none.shape == (0, 3)
