"""Clouds of the surfaces of mesh files, one class for each file: one's own PLY and OFF meshes, or those of PyVista.

Every cloud is a function of the seed, its split and its index: points drawn anew from the surface, brought to the unit
sphere, turned at random, with noise. PyVista ships an airplane, an ant, a nut and a sphere; it is not imported, only
its files are read. The batch dict is described in `tfdlcv.data.point_clouds`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import cloud_files, meshes
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.meshes import Mesh
from tfdlcv.data.point_clouds import CloudData
from tfdlcv.data.primitives import random_rotation
from tfdlcv.errors import UserError

_PARTS = ("train", "validation", "test")


class MeshFilesConfig(Section):
    """Surfaces of mesh files, each of a class of its own."""

    name: Literal["mesh_files"]
    folder: str | None = None
    """With .ply and .off meshes, whose names are the classes. Default: the meshes of the package pyvista."""
    points: int = Field(1024, ge=16)
    train_examples: int = Field(1000, ge=1)
    validation_examples: int = Field(100, ge=1)
    test_examples: int = Field(200, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    noise: float = Field(0.02, ge=0)
    """Deviation of a Gaussian on every coordinate; the cloud's radius is 1."""
    features: tuple[Literal["ones", "position", "normal"], ...] = Field(("position",), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation(rotation="any")


class MeshClouds:
    """The clouds of one part: `len` and `load(index)`."""

    def __init__(
        self, config: MeshFilesConfig, part: Literal["train", "validation", "test"], surfaces: dict[str, Mesh]
    ):
        self.config, self.part = config, part
        self.names, self.surfaces = list(surfaces), list(surfaces.values())

    def __len__(self) -> int:
        return getattr(self.config, f"{self.part}_examples")

    def load(self, index: int) -> Cloud:
        """The cloud of an index; classes come in turn."""
        random = np.random.default_rng((self.config.data_seed, _PARTS.index(self.part), index))
        label = index % len(self.surfaces)
        surface = self.surfaces[label]
        positions, triangles = meshes.sample_surface(surface, self.config.points, random)
        positions -= positions.mean(axis=0)
        positions /= np.linalg.norm(positions, axis=1).max()
        rotation = random_rotation(random)
        normal = meshes.normals(surface)[triangles] @ rotation.T
        positions = positions @ rotation.T + random.normal(0, self.config.noise, positions.shape)
        return Cloud(positions.astype(np.float32), normal=normal.astype(np.float32), label=label)

    def describe(self, index: int) -> str:
        """The name by which a person knows the cloud."""
        return f"{self.part} {self.names[index % len(self.names)]} {index}"


def build(config: MeshFilesConfig) -> CloudData:
    """Reads the meshes.

    Raises:
        UserError: as `read_surfaces`.
    """
    surfaces = read_surfaces(config.folder, config.name)
    parts = {part: MeshClouds(config, part, surfaces) for part in _PARTS}
    return CloudData(**parts, class_names=tuple(surfaces), points=config.points, centre="unit_sphere")


def read_surfaces(folder: str | None, name: str) -> dict[str, Mesh]:
    """The meshes of a folder, or PyVista's, by the names of their files.

    Args:
        name: of the data, for messages.

    Raises:
        UserError: a folder without two meshes, damaged files, or no pyvista where its meshes are asked for.
    """
    place = _pyvista_folder(name) if folder is None else Path(folder).expanduser()
    if not place.is_dir():
        raise UserError(f"data.folder {place} does not exist; it should hold .ply and .off meshes")
    files = sorted(path for path in place.iterdir() if path.suffix.lower() in (".ply", ".off"))
    found = {path: cloud_files.read_mesh(path) for path in files}
    without_faces = [path.name for path, mesh in found.items() if mesh is None]
    if without_faces:
        raise UserError(f"{place}: {', '.join(without_faces)} has points, but no faces")
    if len(found) < 2:
        raise UserError(f"{place} must hold at least 2 meshes (.ply, .off), but holds {len(found)}")
    surfaces = {path.stem: mesh for path, mesh in found.items()}
    if len(surfaces) < len(found):
        raise UserError(f"{place}: the names of the meshes must differ in more than their suffix")
    return surfaces


def _pyvista_folder(name: str) -> Path:
    package = importlib.util.find_spec("pyvista")
    if package is None:
        raise UserError(
            f"data.name {name} without data.folder takes the meshes of the package pyvista: "
            "pip install 'tfdlcv[meshes]'"
        )
    return Path(package.origin).parent / "examples"
