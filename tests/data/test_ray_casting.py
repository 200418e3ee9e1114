import math

import numpy as np
import pytest

from tfdlcv.data import ray_casting


def test_rays_go_through_the_centres_of_pixels():
    rays = ray_casting.rays(4, 6, math.radians(90))
    assert rays.shape == (4, 6, 3) and rays.dtype == np.float32
    # At 90 degrees the image plane at depth 1 reaches from -1 to 1.
    np.testing.assert_allclose(rays[0, :, 0], np.array([-5, -3, -1, 1, 3, 5]) / 6, atol=1e-6)
    np.testing.assert_allclose(rays[:, 0, 1], np.array([-3, -1, 1, 3]) / 6, atol=1e-6)
    assert (rays[..., 2] == 1).all()


def test_a_floor_and_a_wall():
    rays = ray_casting.rays(40, 60, math.radians(60))
    floor = ray_casting.plane(rays, np.array([0.0, -1.0, 0.0]), 1.5)  # Up is -y; the camera is at 1.5 metres.
    assert np.isinf(floor[:20]).all()  # Above the horizon.
    np.testing.assert_allclose(floor[20:] * rays[20:, :, 1], 1.5, rtol=1e-5)
    wall = ray_casting.plane(rays, np.array([0.0, 0.0, -1.0]), 3.0)
    np.testing.assert_allclose(wall, 3.0, rtol=1e-6)


def test_a_sphere():
    rays = ray_casting.rays(101, 101, math.radians(60))
    middle = np.array([0.0, 0.0, 4.0])
    depth, normals = ray_casting.sphere(rays, middle, 1.0)
    hit = np.isfinite(depth)
    assert depth[50, 50] == pytest.approx(3.0) and normals[50, 50].tolist() == pytest.approx([0, 0, -1], abs=1e-6)
    points = depth[..., None] * rays
    np.testing.assert_allclose(np.linalg.norm(points[hit] - middle, axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(normals[hit], points[hit] - middle, atol=1e-4)
    assert ((normals[hit] * rays[hit]).sum(axis=1) <= 1e-3).all()  # Of both intersections the nearer.
    # Seen from its side the sphere fills a disk with the tangent 1 / sqrt(4^2 - 1).
    radius_pixels = math.sqrt(hit.sum() / math.pi)
    focal_pixels = 101 / 2 / math.tan(math.radians(30))
    assert radius_pixels / focal_pixels == pytest.approx(1 / math.sqrt(15), rel=0.01)


def test_a_box_that_looks_straight_and_one_that_is_turned():
    rays = ray_casting.rays(101, 101, math.radians(60))
    middle, size = np.array([0.0, 0.0, 5.0]), np.array([1.0, 2.0, 2.0])
    depth, normals = ray_casting.box(rays, middle, np.eye(3), size)
    hit = np.isfinite(depth)
    np.testing.assert_allclose(depth[hit], 4.0, rtol=1e-5)
    np.testing.assert_allclose(normals[hit], np.tile([0, 0, -1.0], (hit.sum(), 1)), atol=1e-6)
    focal_pixels = 101 / 2 / math.tan(math.radians(30))
    assert hit.any(axis=0).sum() == pytest.approx(1 / 4 * focal_pixels, abs=1.5)
    assert hit.any(axis=1).sum() == pytest.approx(2 / 4 * focal_pixels, abs=1.5)

    angle = math.radians(45)
    axes = np.array([[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]])
    depth, normals = ray_casting.box(rays, middle, axes, np.array([2.0, 2.0, 2.0]))
    hit = np.isfinite(depth)
    assert depth[hit].min() == pytest.approx(5 - math.sqrt(2), abs=0.02)  # Its edge is in front.
    local = (depth[..., None] * rays - middle)[hit] @ axes.T
    np.testing.assert_allclose(np.abs(local).max(axis=1), 1.0, atol=1e-4)  # All on its surface.
    sides = {tuple(np.round(normal, 4)) for normal in normals[hit] @ axes.T.astype(np.float32)}
    assert sides == {(1.0, 0.0, 0.0), (0.0, 0.0, -1.0)} or sides == {(-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)}


def test_what_is_behind_the_camera_is_not_seen():
    rays = ray_casting.rays(20, 20, math.radians(60))
    depth, _ = ray_casting.box(rays, np.array([0.0, 0.0, -5.0]), np.eye(3), np.ones(3))
    assert np.isinf(depth).all()


def test_the_nearest_surface_is_seen():
    rays = ray_casting.rays(30, 30, math.radians(60))
    view = ray_casting.View(rays)
    near = ray_casting.sphere(rays, np.array([0.0, 0.0, 3.0]), 0.5)
    for order in ([0, 1], [1, 0]):
        view = ray_casting.View(rays)
        surfaces = [
            (ray_casting.plane(rays, np.array([0.0, 0.0, -1.0]), 4.0), np.array([0.0, 0.0, -1.0]), np.full(3, 10.0)),
            (*near, np.full(3, 20.0)),
        ]
        for place in order:
            view.add(*surfaces[place])
        seen = np.isfinite(near[0])
        assert (view.colors[seen] == 20).all() and (view.colors[~seen] == 10).all()
        assert (view.depth[~seen] == 4).all() and (view.depth[seen] < 3.01).all()
