"""Scenes of meshes: labels that fit the points, nothing below the floor, no two meshes in one place."""

import numpy as np
import pytest

from tests.data.published_clouds import TETRAHEDRON
from tfdlcv.data import mesh_scenes
from tfdlcv.data.mesh_scenes import MeshScenesConfig
from tfdlcv.errors import UserError

SQUARE = "4 1 4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "square.off").write_text("OFF\n" + SQUARE)
    (tmp_path / "tetrahedron.off").write_text("OFF\n" + TETRAHEDRON)
    return tmp_path


def build(folder, **options):
    settings = {"folder": str(folder), "points": 3000, "noise_metres": 0.0} | options
    return mesh_scenes.build(MeshScenesConfig(name="mesh_scenes", **settings))


def test_labels_are_those_of_the_surfaces(folder):
    data = build(folder)
    assert data.class_names == ("floor", "square", "tetrahedron") and data.centre == "floor"
    seen = set()
    for index in range(6):
        cloud = data.train.load(index)
        floor = cloud.label == 0
        seen |= {*np.unique(cloud.label).tolist()}
        np.testing.assert_allclose(cloud.positions[floor, 2], 0, atol=1e-6)
        assert np.abs(cloud.positions[:, :2]).max() <= 1.5 and cloud.positions[:, 2].min() > -1e-6
        assert 0.001 < cloud.positions[~floor, 2].max() < 0.91
        np.testing.assert_allclose(np.abs(cloud.normal[floor]), np.tile([0, 0, 1], (floor.sum(), 1)), atol=1e-6)
        # Each mesh stays within its metre of the floor: one kind in a place.
        places = np.floor(cloud.positions[~floor, :2] + 1.5).astype(int) @ [3, 1]
        kinds = {place: set(cloud.label[~floor][places == place].tolist()) for place in np.unique(places)}
        assert 2 <= len(kinds) <= 6 and all(len(kind) == 1 for kind in kinds.values())
    assert seen == {0, 1, 2}


def test_a_scene_is_a_function_of_seed_part_and_index(folder):
    first = build(folder).train.load(1)
    np.testing.assert_array_equal(first.positions, build(folder).train.load(1).positions)
    for other in (build(folder).test, build(folder, data_seed=1).train):
        assert not np.array_equal(first.positions, other.load(1).positions)
    assert build(folder).test.describe(4) == "test scene 4"


def test_a_folder_of_one_mesh_will_not_do(folder):
    (folder / "square.off").unlink()
    with pytest.raises(UserError, match="must hold at least 2 meshes"):
        build(folder)
