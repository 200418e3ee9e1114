import importlib.machinery

import numpy as np
import pytest

from tests.data.published_clouds import TETRAHEDRON
from tfdlcv.data import mesh_files
from tfdlcv.data.mesh_files import MeshFilesConfig
from tfdlcv.errors import UserError

SQUARE = "4 1 4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "square.off").write_text("OFF\n" + SQUARE)
    (tmp_path / "tetrahedron.off").write_text("OFF\n" + TETRAHEDRON)
    (tmp_path / "readme.txt").write_text("no mesh")
    return tmp_path


def build(folder, **options):
    return mesh_files.build(MeshFilesConfig(name="mesh_files", folder=folder and str(folder), points=100, **options))


def test_a_class_for_each_file(folder):
    data = build(folder, noise=0.0)
    assert data.class_names == ("square", "tetrahedron") and data.test.describe(3) == "test tetrahedron 3"
    square, tetrahedron = data.train.load(0), data.train.load(1)
    assert (square.label, tetrahedron.label) == (0, 1)
    flatness = [np.linalg.svd(c.positions - c.positions.mean(0), compute_uv=False)[2] for c in (square, tetrahedron)]
    assert flatness[0] < 1e-4 < 1 < flatness[1]
    assert np.linalg.norm(square.positions, axis=1).max() == pytest.approx(1, rel=1e-5)
    # Turned along with the points: at right angles to all edges of the square.
    np.testing.assert_allclose(np.diff(square.positions, axis=0) @ square.normal[0], 0, atol=1e-5)
    np.testing.assert_array_equal(square.positions, build(folder, noise=0.0).train.load(0).positions)
    assert not np.array_equal(square.positions, data.train.load(2).positions)


def test_pyvista_is_read_and_not_imported(folder, monkeypatch):
    (folder / "examples").mkdir()
    for path in folder.glob("*.off"):
        path.rename(folder / "examples" / path.name)
    spec = importlib.machinery.ModuleSpec("pyvista", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(mesh_files.importlib.util, "find_spec", lambda name: spec if name == "pyvista" else None)
    assert build(None).class_names == ("square", "tetrahedron")
    monkeypatch.setattr(mesh_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"takes the meshes of the package pyvista: pip install 'tfdlcv\[meshes\]'"):
        build(None)


def test_folders_that_will_not_do(folder, tmp_path):
    with pytest.raises(UserError, match="does not exist; it should hold .ply and .off meshes"):
        build(tmp_path / "nowhere")
    (folder / "square.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "end_header\n0 0 0\n"
    )
    with pytest.raises(UserError, match="square.ply has points, but no faces"):
        build(folder)
    (folder / "square.ply").unlink()
    (folder / "square.off").unlink()
    with pytest.raises(UserError, match="must hold at least 2 meshes .*, but holds 1"):
        build(folder)
