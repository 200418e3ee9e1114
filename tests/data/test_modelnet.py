import numpy as np
import pytest

from tests.data.published_clouds import (
    MODELNET_CLASSES,
    write_modelnet_hdf5,
    write_modelnet_meshes,
    write_modelnet_resampled,
)
from tfdlcv.data import modelnet
from tfdlcv.data.modelnet import ModelNetConfig
from tfdlcv.errors import UserError


def build(folder, **options):
    return modelnet.build(ModelNetConfig(name="modelnet", folder=str(folder), **{"points": 64, **options}))


def test_resampled_text(tmp_path):
    write_modelnet_resampled(tmp_path, points=80)
    data = build(tmp_path, features=("ones", "normal"), validation_fraction=0.34)
    assert data.class_names == MODELNET_CLASSES and data.up_axis == 1
    assert [len(part) for part in (data.train, data.validation, data.test)] == [12, 6, 6]
    names = [data.test.describe(index) for index in range(6)]
    cloud = data.test.load(names.index("night_stand_0008"))
    assert cloud.label == 1 and cloud.positions.shape == cloud.normal.shape == (64, 3)
    rows = np.loadtxt(tmp_path / "night_stand" / "night_stand_0008.txt", delimiter=",", dtype=np.float32)
    together = np.concatenate([cloud.positions, cloud.normal], axis=1)
    assert {tuple(row) for row in together} < {tuple(row) for row in rows}
    assert len(np.unique(together, axis=0)) == 64


def test_hdf5(tmp_path):
    write_modelnet_hdf5(tmp_path)
    data = build(tmp_path, validation_fraction=0.0)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [12, 6, 6]
    assert [data.train.load(index).label for index in range(4)] == [0, 1, 2, 0]
    assert data.test.describe(4) == "ply_data_test0.h5 row 4"
    assert not np.array_equal(data.train.load(0).positions, data.train.load(6).positions)


def test_meshes(tmp_path):
    write_modelnet_meshes(tmp_path)
    data = build(tmp_path, validation_fraction=0.25)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [9, 3, 6]
    assert data.up_axis == 2
    for index in (0, 1):  # With and without a line break behind OFF.
        cloud = data.train.load(index)
        inside = cloud.positions.sum(axis=1) <= 1 + 1e-9
        on_face = np.isclose(cloud.positions, 0).any(axis=1) | np.isclose(cloud.positions.sum(axis=1), 1)
        assert inside.all() and on_face.all()
        np.testing.assert_allclose(np.linalg.norm(cloud.normal, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "sofa" / "sofa_0007.txt").unlink(), "1 listed shapes are missing, such as .*sofa_0007.txt"),
        (lambda f: (f / "modelnet40_test.txt").unlink(), "modelnet40_test.txt is missing"),
        (lambda f: (f / "modelnet40_test.txt").write_text(""), "lists no test shapes"),
        (lambda f: (f / "modelnet40_test.txt").write_text("tent_0001\n"), "tent_0001 is of no class"),
    ],
)
def test_folders_that_lack_something(spoil, message, tmp_path):
    write_modelnet_resampled(tmp_path, points=20)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        build(tmp_path, points=16)


def test_bad_files(tmp_path):
    write_modelnet_resampled(tmp_path, points=40)
    with pytest.raises(UserError, match=r"has 40 points, fewer than data.points \(64\)"):
        build(tmp_path).train.load(0)
    path = tmp_path / "chair" / "chair_0007.txt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="chair_0007.txt: damaged, or cut short at byte 1000"):
        build(tmp_path, points=16).test.load(0)


def test_truncated_hdf5(tmp_path):
    write_modelnet_hdf5(tmp_path)
    path = tmp_path / "ply_data_test0.h5"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="ply_data_test0.h5: damaged, or cut short at byte 500"):
        build(tmp_path)


def test_other_folders(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        build(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is none of the forms of ModelNet"):
        build(tmp_path)
