import math

import numpy as np
import pytest

from tfdlcv.data import meshes
from tfdlcv.data.meshes import Mesh, arc, box, joined, rectangle, revolved, sample_surface

RANDOM = np.random.default_rng


@pytest.mark.parametrize(
    ("mesh", "area", "tolerance"),
    [
        (box((1, 2, 3)), 22, 1e-12),
        (rectangle((2, 0, 0), (0, 3, 0)), 6, 1e-12),
        (revolved([(0, -1), (0.5, -1), (0.5, 1), (0, 1)], segments=400), 2 * math.pi * 0.25 + 2 * math.pi, 1e-3),
        (revolved(arc(1, -math.pi / 2, math.pi / 2, steps=200), segments=200), 4 * math.pi, 1e-3),
        (revolved(arc(0.25, 0, 2 * math.pi, middle=(1, 0), steps=200), segments=200), 4 * math.pi**2 * 0.25, 1e-3),
        (revolved([(0, -0.5), (1, -0.5), (0, 0.5)], segments=4), 2 + 4 * math.sqrt(2) / 2 * math.sqrt(1.5), 1e-12),
    ],
    ids=["box", "rectangle", "cylinder", "sphere", "torus", "pyramid"],
)
def test_areas_are_those_of_the_textbook(mesh, area, tolerance):
    assert meshes.triangle_areas(mesh).sum() == pytest.approx(area, rel=tolerance)


def test_points_are_uniform_over_the_area():
    # A square of area 1 beside one of area 3: a quarter of the points, and each half of the first an eighth.
    mesh = joined([rectangle((1, 0, 0), (0, 1, 0)), rectangle((3, 0, 0), (0, 1, 0), (0, 0, 5))])
    positions, triangles = sample_surface(mesh, 40_000, RANDOM(0))
    small = positions[:, 2] == 0
    assert small.mean() == pytest.approx(0.25, abs=0.01)
    assert (small & (positions[:, 0] < 0.5)).mean() == pytest.approx(0.125, abs=0.01)
    np.testing.assert_array_equal(triangles < 2, small)


def test_points_lie_on_their_triangles():
    mesh = revolved(arc(1, -math.pi / 2, math.pi / 2))
    positions, triangles = sample_surface(mesh, 500, RANDOM(0))
    corner = mesh.vertices[mesh.triangles[triangles, 0]]
    off_plane = np.einsum("nd,nd->n", positions - corner, meshes.normals(mesh)[triangles])
    np.testing.assert_allclose(off_plane, 0, atol=1e-12)


def test_normals_of_a_box_point_along_the_axes():
    normals = meshes.normals(box())
    np.testing.assert_allclose(np.abs(normals).max(axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_transformed_stretches_turns_and_moves():
    mesh = box((1, 1, 1)).transformed(np.array([2, 1, 1])).transformed(np.eye(3)[[1, 0, 2]], (0, 0, 7))
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [-0.5, -1, 6.5])
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [0.5, 1, 7.5])


def test_meshes_that_give_no_points():
    with pytest.raises(ValueError, match="area > 0. Received: 1 triangles"):
        sample_surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 4, RANDOM(0))
    with pytest.raises(ValueError, match=r"indices in \[0, 3\). Received: 0..3"):
        sample_surface(Mesh(np.eye(3), np.array([[0, 1, 3]])), 4, RANDOM(0))
