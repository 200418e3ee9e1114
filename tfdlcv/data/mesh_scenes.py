"""Scenes of several meshes on a floor, for segmentation: which point belongs to which mesh.

The meshes are one's own PLY and OFF files, or those that PyVista ships (airplane, ant, nut, sphere), as in
`tfdlcv.data.mesh_files`. Every scene is a function of the seed, its split and its index: two to six meshes, turned at
random about the vertical, stretched and tilted a little, stand on a floor; points are uniform over all surfaces. The
batch dict is described in `tfdlcv.data.point_clouds`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import meshes
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.mesh_files import read_surfaces
from tfdlcv.data.meshes import Mesh, joined
from tfdlcv.data.point_clouds import CloudData

FLOOR = "floor"
_PARTS = ("train", "validation", "test")
_PLACES = 3  # Along each side of the floor, a metre apart.
_SIZE = (0.5, 0.9)  # Diameter of a mesh in metres, so that none reaches the next place.
_STRETCH = (0.8, 1.0)  # Of each axis, before the size.
_TILT_RADIANS = 0.3


class MeshScenesConfig(Section):
    """Scenes of mesh files on a floor; a class for each file, and the floor."""

    name: Literal["mesh_scenes"]
    folder: str | None = None
    """With .ply and .off meshes, whose names are the classes. Default: the meshes of the package pyvista."""
    points: int = Field(4096, ge=16)
    train_examples: int = Field(200, ge=1)
    validation_examples: int = Field(20, ge=1)
    test_examples: int = Field(50, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    noise_metres: float = Field(0.005, ge=0)
    features: tuple[Literal["ones", "position", "height", "normal"], ...] = Field(("height",), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation(rotation="vertical", scale=(0.9, 1.1))


class MeshScenes:
    """The scenes of one part: `len` and `load(index)`."""

    def __init__(
        self, config: MeshScenesConfig, part: Literal["train", "validation", "test"], surfaces: dict[str, Mesh]
    ):
        self.config, self.part, self.surfaces = config, part, [*surfaces.values()]

    def __len__(self) -> int:
        return getattr(self.config, f"{self.part}_examples")

    def load(self, index: int) -> Cloud:
        """The scene of an index; z points upwards, and the floor is at 0."""
        random = np.random.default_rng((self.config.data_seed, _PARTS.index(self.part), index))
        pieces, labels = [_floor()], [0]
        for place in random.choice(_PLACES**2, random.integers(2, 7), replace=False):
            kind = int(random.integers(len(self.surfaces)))
            pieces.append(_standing(self.surfaces[kind], place, random))
            labels.append(1 + kind)
        scene = joined(pieces)
        label = np.repeat(labels, [len(piece.triangles) for piece in pieces]).astype(np.int32)
        positions, triangles = meshes.sample_surface(scene, self.config.points, random)
        positions += random.normal(0, self.config.noise_metres, positions.shape)
        return Cloud(
            positions=positions.astype(np.float32),
            normal=meshes.normals(scene)[triangles].astype(np.float32),
            label=label[triangles],
        )

    def describe(self, index: int) -> str:
        """The name by which a person knows the scene."""
        return f"{self.part} scene {index}"


def build(config: MeshScenesConfig) -> CloudData:
    """Reads the meshes; each scene is made when it is asked for.

    Raises:
        UserError: as `tfdlcv.data.mesh_files.read_surfaces`.
    """
    surfaces = read_surfaces(config.folder, config.name)
    parts = {part: MeshScenes(config, part, surfaces) for part in _PARTS}
    return CloudData(**parts, class_names=(FLOOR, *surfaces), points=config.points, centre="floor")


def _floor() -> Mesh:
    """A square with its middle at the origin."""
    side = float(_PLACES)
    return meshes.rectangle((side, 0, 0), (0, side, 0), (-side / 2, -side / 2, 0))


def _standing(mesh: Mesh, place: int, random: np.random.Generator) -> Mesh:
    """A mesh of random size and pose on the floor, its middle over a place of the grid."""
    vertices = mesh.vertices[np.unique(mesh.triangles)]
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    diameter = 2 * np.linalg.norm(vertices - middle, axis=1).max()
    scale = random.uniform(*_STRETCH, 3) * random.uniform(*_SIZE) / max(diameter, 1e-12)
    turn, tilt = random.uniform(0, 2 * math.pi), random.uniform(-_TILT_RADIANS, _TILT_RADIANS)
    about_z = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
    matrix = about_z @ about_x @ np.diag(scale)
    turned = mesh.transformed(matrix, -matrix @ middle)
    row, column = divmod(int(place), _PLACES)
    lowest = turned.vertices[np.unique(mesh.triangles), 2].min()
    return turned.transformed(offset=(row - (_PLACES - 1) / 2, column - (_PLACES - 1) / 2, -lowest))
