"""ModelNet40 and ModelNet10 in the three forms in which they are published.

Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", 2015. In the folder of the config:

    resampled: 10,000 points of each shape with normals (Qi et al. 2017, PointNet++)
        modelnet40_shape_names.txt, modelnet40_train.txt, modelnet40_test.txt, airplane/airplane_0001.txt, ...
    hdf5: 2,048 points of each shape (Qi et al. 2017, PointNet)
        train_files.txt, test_files.txt, shape_names.txt, ply_data_train0.h5, ...
    meshes: the original
        airplane/train/airplane_0001.off, airplane/test/airplane_0627.off, ...

Which form it is, the files tell. Shapes are brought to the unit sphere, as both works do; y points upwards in the first
two, z in the meshes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import cloud_files, meshes, splits
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.point_clouds import CloudData
from tfdlcv.errors import UserError


class ModelNetConfig(Section):
    """ModelNet40 or ModelNet10."""

    name: Literal["modelnet"]
    folder: str = Field(min_length=1)
    """Where the files are; see `tfdlcv.data.modelnet`."""
    points: int = Field(1024, ge=16)
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Part of each class's training shapes. With 0, validation uses the test shapes, as the published results do."""
    features: tuple[Literal["ones", "position", "normal"], ...] = Field(("ones",), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation()
    keep_in_memory: bool = True
    """Hold every cloud's points and neighbours once they are made, 60 kB for 1,024 points and 9 neighbours."""


@dataclass(frozen=True)
class _Shape:
    """One shape: where it is, and its class."""

    path: Path
    row: int | None
    """In an HDF5 file."""
    label: int
    name: str


class Shapes:
    """The clouds of one part: `len` and `load(index)`."""

    def __init__(self, shapes: list[_Shape], points: int, with_normals: bool):
        self.shapes, self.points, self.with_normals = shapes, points, with_normals

    def __len__(self) -> int:
        return len(self.shapes)

    def load(self, index: int) -> Cloud:
        """The shape's points, the same ones each time: of a mesh, from its surface; else some of those in the file."""
        shape = self.shapes[index]
        random = np.random.default_rng((1, index))
        if shape.path.suffix == ".off":
            mesh = cloud_files.read_off(shape.path)
            positions, triangles = meshes.sample_surface(mesh, self.points, random)
            return Cloud(positions, normal=meshes.normals(mesh)[triangles].astype(np.float32), label=shape.label)
        rows = _hdf5(shape.path, "data", shape.row) if shape.row is not None else _text(shape.path)
        if len(rows) < self.points:
            raise UserError(
                f"{shape.path}: {shape.name} has {len(rows)} points, fewer than data.points ({self.points})"
            )
        rows = rows[np.sort(random.choice(len(rows), self.points, replace=False))]
        normal = rows[:, 3:6] if rows.shape[1] >= 6 else None
        if self.with_normals and normal is None:
            raise UserError(f"{shape.path}: data.features asks for normal, but the file has none")
        return Cloud(rows[:, :3], normal=normal, label=shape.label)

    def describe(self, index: int) -> str:
        """The name by which a person knows the shape."""
        return self.shapes[index].name


def build(config: ModelNetConfig) -> CloudData:
    """Lists the shapes; they are read when they are asked for.

    Raises:
        UserError: for a folder in none of the forms, or one that lacks files.
    """
    folder = Path(config.folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.folder {folder} does not exist; it should hold the files of ModelNet")
    names = sorted(folder.glob("modelnet*_shape_names.txt"))
    if names:
        class_names, parts, up_axis = *_resampled(folder, names[0]), 1
    elif (folder / "train_files.txt").is_file():
        class_names, parts, up_axis = *_hdf5_parts(folder), 1
    else:
        class_names, parts, up_axis = *_mesh_parts(folder), 2
    for part, shapes in parts.items():
        if not shapes:
            raise UserError(f"{folder} lists no {part} shapes")
    labels = np.array([shape.label for shape in parts["train"]])
    order = splits.hashed_order([shape.name for shape in parts["train"]])
    train, held_out = splits.held_out(order, labels, splits.fraction_of(config.validation_fraction))
    chosen = {"train": [parts["train"][i] for i in np.sort(train)], "test": parts["test"]}
    chosen["validation"] = [parts["train"][i] for i in np.sort(held_out)] or parts["test"]
    with_normals = "normal" in config.features
    sources = {part: Shapes(shapes, config.points, with_normals) for part, shapes in chosen.items()}
    return CloudData(**sources, class_names=class_names, points=config.points, centre="unit_sphere", up_axis=up_axis)


def _resampled(folder: Path, names: Path):
    class_names = _lines(names)
    parts = {}
    for part in ("train", "test"):
        shapes = []
        for name in _lines(folder / names.name.replace("shape_names", part)):
            class_name = name.rpartition("_")[0]
            if class_name not in class_names:
                raise UserError(f"{folder}: shape {name} is of no class of {names.name}")
            shapes.append(_Shape(folder / class_name / f"{name}.txt", None, class_names.index(class_name), name))
        _check_there(shapes)
        parts[part] = shapes
    return tuple(class_names), parts


def _hdf5_parts(folder: Path):
    class_names = _lines(folder / "shape_names.txt")
    parts = {}
    for part in ("train", "test"):
        shapes = []
        for line in _lines(folder / f"{part}_files.txt"):
            path = folder / Path(line).name  # The lists hold paths from where they were made.
            labels = _hdf5(path, "label").reshape(-1)
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_names):
                raise UserError(f"{path}: labels must be 0..{len(class_names) - 1}: {labels.min()}..{labels.max()}")
            shapes += [_Shape(path, row, int(label), f"{path.name} row {row}") for row, label in enumerate(labels)]
        parts[part] = shapes
    return tuple(class_names), parts


def _mesh_parts(folder: Path):
    class_names = sorted(path.name for path in folder.iterdir() if (path / "train").is_dir())
    if len(class_names) < 2:
        raise UserError(
            f"{folder} is none of the forms of ModelNet: expected modelnet40_shape_names.txt, train_files.txt, or "
            "folders of classes with train/ and test/ inside"
        )
    parts = {
        part: [
            _Shape(path, None, label, path.stem)
            for label, name in enumerate(class_names)
            for path in sorted((folder / name / part).glob("*.off"))
        ]
        for part in ("train", "test")
    }
    return tuple(class_names), parts


def _check_there(shapes: list[_Shape]):
    missing = [shape.path for shape in shapes if not shape.path.is_file()]
    if missing:
        raise UserError(f"{len(missing)} listed shapes are missing, such as {missing[0]}")


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} is missing")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _text(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None


def _hdf5(path: Path, key: str, row: int | None = None) -> np.ndarray:
    import h5py

    if not path.is_file():
        raise UserError(f"{path} is missing")
    try:
        with h5py.File(path, "r") as file:
            return file[key][()] if row is None else file[key][row]
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None
