"""Signed distances of bodies by hand, and depth maps that lie on the surfaces."""

import numpy as np
import pytest

from tfdlcv.data import depth_scenes
from tfdlcv.data.depth_scenes import BODIES, Body


def body(kind, *size, centre=(0, 0, 0), rotation=None):
    return Body(kind, np.eye(3) if rotation is None else rotation, np.array(centre, float), np.array(size))


@pytest.mark.parametrize(
    ("kind", "size", "point", "distance"),
    [
        ("sphere", (0.2,), (0.3, 0, 0.4), 0.3),
        ("sphere", (0.2,), (0, 0, 0), -0.2),
        ("box", (0.1, 0.2, 0.3), (0.4, 0.6, 0), 0.5),
        ("box", (0.1, 0.2, 0.3), (0, 0.15, 0), -0.05),
        ("cylinder", (0.1, 0.3), (0, 0.4, 0.7), 0.5),
        ("cylinder", (0.1, 0.3), (0.05, 0, 0.28), -0.02),
        ("torus", (0.3, 0.1), (0.3, 0, 0), -0.1),
        ("torus", (0.3, 0.1), (0, 0, 0.4), 0.4),
        ("capsule", (0.1, 0.2), (0, 0.3, 0.6), 0.4),
    ],
)
def test_distances_by_hand(kind, size, point, distance):
    assert body(kind, *size).distance(np.array([point], float)) == pytest.approx([distance])


def test_a_turned_and_moved_body_and_a_union():
    quarter = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # z becomes x.
    capsule = body("capsule", 0.1, 0.2, centre=(0, 1, 0), rotation=quarter)
    points = np.array([[0.5, 1, 0], [0, 1, 0.5]])
    np.testing.assert_allclose(capsule.distance(points), [0.2, 0.4], atol=1e-12)
    scene = [capsule, body("sphere", 0.3, centre=(0, 1, 0.5))]
    np.testing.assert_allclose(depth_scenes.scene_distance(scene, points), [0.2, -0.3], atol=1e-12)
    with pytest.raises(ValueError, match="kind must be one of sphere, box.* Received: kind='egg'"):
        body("egg", 1).distance(points)


def test_the_depth_of_a_sphere_by_hand():
    sphere = [body("sphere", 0.25)]
    pose = depth_scenes.look_at(np.array([0, 0, -2.0]))
    np.testing.assert_allclose(pose[:, :3] @ pose[:, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pose @ [0, 0, 0, 1], [0, 0, 2], atol=1e-12)
    camera = np.array([[80, 0, 10.5], [0, 80, 10.5], [0, 0, 1.0]])
    depth = depth_scenes.trace(sphere, camera, pose, 21, nearest=1, farthest=3)
    assert depth[10, 10] == pytest.approx(1.75, abs=1e-3)
    # Its outline is 80 tan(asin(0.25 / 2)) = 10.08 pixels from the middle.
    row, column = np.indices((21, 21)) - 10
    np.testing.assert_array_equal(np.isfinite(depth), np.hypot(row, column) < 10.08)


def test_depth_maps_are_on_the_surface_and_noise_grows_with_depth():
    random = np.random.default_rng(1)
    scene = depth_scenes.random_scene(random)
    maps = depth_scenes.render(scene, random, views=3, pixels=24)
    assert len(maps) == 3 and maps.depth.shape == (3, 24, 24) and maps.depth.dtype == np.float32
    for depth, camera, pose in zip(maps.depth, maps.intrinsics, maps.world_to_camera, strict=True):
        row, column = np.nonzero(np.isfinite(depth))
        assert len(row) > 5
        rays = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], axis=1) @ np.linalg.inv(camera).T
        points = (rays * depth[row, column, None] - pose[:, 3]) @ pose[:, :3]
        assert np.abs(depth_scenes.scene_distance(scene, points)).max() < 1e-3
    clean = depth_scenes.render(scene, np.random.default_rng(2), views=1, pixels=64)
    noisy = depth_scenes.render(scene, np.random.default_rng(2), views=1, pixels=64, noise=0.05)
    seen = np.isfinite(clean.depth)
    shares = noisy.depth[seen] / clean.depth[seen] - 1
    assert shares.std() == pytest.approx(0.05, rel=0.2)


def test_scenes_stay_in_the_cube_and_have_every_body():
    kinds = set()
    for seed in range(30):
        scene = depth_scenes.random_scene(np.random.default_rng(seed))
        assert 1 <= len(scene) <= 3
        kinds |= {each.kind for each in scene}
        faces = np.random.default_rng(0).uniform(-0.5, 0.5, (300, 3))
        faces[np.arange(300), np.arange(300) % 3] = 0.5
        assert depth_scenes.scene_distance(scene, faces).min() > 0
    assert kinds == set(BODIES)
