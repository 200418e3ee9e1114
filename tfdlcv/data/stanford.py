"""Stanford's scanned buildings: S3DIS and 2D-3D-S, six areas of rooms with thirteen classes.

Armeni et al., "3D Semantic Parsing of Large-Scale Indoor Spaces", 2016; Armeni, Sax, Zamir and Savarese, "Joint
2D-3D-Semantic Data for Indoor Scene Understanding", 2017. In the folder of the config:

    s3dis: Stanford3dDataset_v1.2_Aligned_Version
        Area_1/office_1/Annotations/chair_1.txt         x y z r g b, for each point of an object
    stanford_2d3ds: the areas as published; MATLAB 7.3 files, which are HDF5
        area_1/3d/pointcloud.mat                        Area_1/Disjoint_Space/{name, object}, and of each object
                                                        {name, points, RGB_color}

Rooms are thinned to one point in each cell of a grid, once, and kept in `cache_folder`. An example is a crop: the
points nearest to a random one (Hu et al. 2020, RandLA-Net: 4 cm and 40,960 points). Scores are over crops of the test
rooms.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import splits
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud, check_cloud
from tfdlcv.data.point_clouds import CloudData
from tfdlcv.data.pyramid import spatial_order
from tfdlcv.errors import UserError

CLASS_NAMES = (
    "ceiling", "floor", "wall", "beam", "column", "window", "door",
    "table", "chair", "sofa", "bookcase", "board", "clutter",
)  # fmt: skip


class StanfordConfig(Section):
    """S3DIS or 2D-3D-S."""

    name: Literal["s3dis", "stanford_2d3ds"]
    folder: str = Field(min_length=1)
    """Where the areas are; see `tfdlcv.data.stanford`."""
    cache_folder: str | None = None
    """For the thinned rooms; default: tfdlcv_cache in `folder`."""
    test_area: int = Field(5, ge=1, le=6)
    clutter: Literal["class", "unlabelled"] = "class"
    """unlabelled: neither trained nor scored, as where twelve classes are reported."""
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Part of the rooms of the other areas. With 0, validation uses the test rooms, as published results do."""
    grid_metres: float = Field(0.04, gt=0)
    points: int = Field(40_960, ge=16)
    train_examples: int = Field(3000, ge=1)
    """Crops of an epoch."""
    data_seed: int = Field(0, ge=0, lt=2**31)
    features: tuple[Literal["ones", "position", "height", "color"], ...] = Field(("height", "color"), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation()
    keep_in_memory: bool = False
    """Hold every crop once it is made, 400 bytes a point."""


class Crops:
    """Crops of rooms: `len` and `load(index)`.

    Args:
        rooms: thinned rooms by name.
        count: how many crops at random; None for as many as cover each room, spread evenly.
    """

    def __init__(self, rooms: dict[str, Cloud], points: int, *, count: int | None, seed: int):
        self.rooms, self.points, self.count, self.seed = rooms, points, count, seed
        self.names = list(rooms)
        self.sizes = np.array([len(room) for room in rooms.values()])
        self.trees: dict[str, object] = {}
        # Twice as many as it takes without overlap, since crops are balls.
        self.crops_of_room = np.maximum(1, 2 * self.sizes // points)

    def __len__(self) -> int:
        return self.count if self.count is not None else int(self.crops_of_room.sum())

    def load(self, index: int) -> Cloud:
        """The points nearest to the crop's middle; some twice where the room has fewer."""
        random = np.random.default_rng((self.seed, 4, index))
        name, middle = self._middle(index, random)
        room = self.rooms[name]
        if len(room) <= self.points:
            return room.repeated(self.points, random)
        _, nearest = self._tree(name).query(room.positions[middle], k=self.points)
        return room.select(np.sort(nearest))

    def describe(self, index: int) -> str:
        """The name by which a person knows the crop."""
        name, middle = self._middle(index, np.random.default_rng((self.seed, 4, index)))
        return f"{name} around point {middle}"

    def _middle(self, index: int, random: np.random.Generator) -> tuple[str, int]:
        if self.count is not None:
            room = int(random.choice(len(self.names), p=self.sizes / self.sizes.sum()))
            return self.names[room], int(random.integers(self.sizes[room]))
        ends = np.cumsum(self.crops_of_room)
        room = int(np.searchsorted(ends, index, side="right"))
        place = (index - (ends[room] - self.crops_of_room[room]) + 0.5) / self.crops_of_room[room]
        return self.names[room], int(place * self.sizes[room])  # Rooms are in spatial order.

    def _tree(self, name: str):
        from scipy.spatial import cKDTree

        if name not in self.trees:
            self.trees[name] = cKDTree(self.rooms[name].positions)
        return self.trees[name]


def build(config: StanfordConfig) -> CloudData:
    """Reads the rooms, from the cache where they are there.

    Raises:
        UserError: for a folder of another layout, and for files that are damaged.
    """
    folder = Path(config.folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.folder {folder} does not exist; it should hold the areas of {config.name}")
    cache = Path(config.cache_folder).expanduser() if config.cache_folder else folder / "tfdlcv_cache"
    areas = _s3dis_areas(folder) if config.name == "s3dis" else _mat_areas(folder)
    if not areas:
        expected = "Area_1/..." if config.name == "s3dis" else "area_1/3d/pointcloud.mat"
        raise UserError(f"{folder} holds no area of {config.name}: expected {expected}")
    rooms = {"train": {}, "test": {}}
    for area, path in areas.items():
        part = "test" if _area_number(area) == config.test_area else "train"
        rooms[part] |= _area(config, area, path, cache)
    for part, found in rooms.items():
        if not found:
            raise UserError(f"{folder} has no {part} area for data.test_area ({config.test_area}). Areas: {[*areas]}")
    held_out = round(config.validation_fraction * len(rooms["train"]))
    order = [[*rooms["train"]][i] for i in splits.hashed_order([*rooms["train"]])]
    validation = {name: rooms["train"].pop(name) for name in order[:held_out]} or rooms["test"]
    crops = {"points": config.points, "seed": config.data_seed}
    return CloudData(
        train=Crops(rooms["train"], count=config.train_examples, **crops),
        validation=Crops(validation, count=None, **crops),
        test=Crops(rooms["test"], count=None, **crops),
        class_names=CLASS_NAMES if config.clutter == "class" else CLASS_NAMES[:-1],
        points=config.points,
        centre="floor",
    )


def _area(config: StanfordConfig, area: str, path: Path, cache: Path) -> dict[str, Cloud]:
    """Thinned rooms of an area by name."""
    store = cache / f"{config.name}_{area}_{config.grid_metres:g}m.npz"
    if not store.is_file():
        arrays = {}
        for name, cloud in (_s3dis_rooms if config.name == "s3dis" else _mat_rooms)(area, path):
            check_cloud(cloud, name)
            thin = _thinned(cloud, config.grid_metres)
            arrays |= {f"{name}/{key}": getattr(thin, key) for key in ("positions", "color", "label")}
        if not arrays:
            raise UserError(f"{path} holds no rooms")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = store.with_name(f".{store.name}.unfinished.npz")
        np.savez(unfinished, **arrays)
        unfinished.replace(store)
    try:
        with np.load(store, allow_pickle=False) as content:
            names = dict.fromkeys(key.rpartition("/")[0] for key in content.files)
            parts = ("positions", "color", "label")
            rooms = {name: Cloud(**{part: content[f"{name}/{part}"] for part in parts}) for name in names}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError) as error:
        raise UserError(f"{store} is damaged: {error}. Remove it, to have it made anew") from None
    if config.clutter == "class":
        return rooms
    last = CLASS_NAMES.index("clutter")
    return {
        name: Cloud(room.positions, color=room.color, label=np.where(room.label == last, -1, room.label))
        for name, room in rooms.items()
    }


def _thinned(cloud: Cloud, cell_metres: float) -> Cloud:
    """One point of each cell, in spatial order."""
    cells = np.floor((cloud.positions - cloud.positions.min(axis=0)) / cell_metres).astype(np.int64)
    keys = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]
    cloud = cloud.select(np.unique(keys, return_index=True)[1])
    return cloud.select(spatial_order(cloud.positions))


def _s3dis_areas(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.glob("Area_*")) if path.is_dir()}


def _s3dis_rooms(area: str, folder: Path):
    """(name, cloud) of each room."""
    for room in sorted(path for path in folder.iterdir() if (path / "Annotations").is_dir()):
        objects = sorted((room / "Annotations").glob("*.txt"))
        if not objects:
            raise UserError(f"{room / 'Annotations'} holds no objects")
        tables = [_object_table(path) for path in objects]
        label = [np.full(len(t), _label(path.stem), np.int32) for t, path in zip(tables, objects, strict=True)]
        yield f"{area}/{room.name}", _cloud(np.concatenate(tables), np.concatenate(label))


def _object_table(path: Path) -> np.ndarray:
    """(N, 6) float64."""
    content = path.read_bytes()
    # Some published files have a control character between two numbers.
    content = re.sub(rb"[^0-9eE+\-.\s]", b" ", content)
    try:
        table = np.loadtxt(content.decode("ascii").splitlines(), ndmin=2)
    except ValueError as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None
    if table.size and table.shape[1] != 6:
        raise UserError(f"{path}: rows must be x y z r g b, but the table is {table.shape}")
    return table.reshape(-1, 6)


def _mat_areas(folder: Path) -> dict[str, Path]:
    return {path.parent.parent.name: path for path in sorted(folder.glob("area_*/3d/pointcloud.mat"))}


def _mat_rooms(area: str, path: Path):
    """(name, cloud) of each room. A MATLAB struct array is a group of data sets of references."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            (top,) = [name for name in file if name.startswith("Area")]
            spaces = file[top]["Disjoint_Space"]
            for name_reference, object_reference in zip(spaces["name"][:, 0], spaces["object"][:, 0], strict=True):
                objects = file[object_reference]
                tables, labels = [], []
                for columns in zip(
                    objects["name"][:, 0], objects["points"][:, 0], objects["RGB_color"][:, 0], strict=True
                ):
                    name, points, color = (file[reference][()] for reference in columns)
                    # MATLAB stores columns first: (3, N).
                    tables.append(np.concatenate([points.T, color.T], axis=1).astype(np.float64))
                    labels.append(np.full(len(tables[-1]), _label(_matlab_text(name)), np.int32))
                yield (
                    f"{area}/{_matlab_text(file[name_reference][()])}",
                    _cloud(np.concatenate(tables), np.concatenate(labels)),
                )
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None


def _matlab_text(codes: np.ndarray) -> str:
    return "".join(chr(code) for code in np.asarray(codes).reshape(-1))


def _cloud(table: np.ndarray, label: np.ndarray) -> Cloud:
    color = np.clip(np.round(table[:, 3:]), 0, 255).astype(np.uint8)
    return Cloud(table[:, :3].astype(np.float32), color=color, label=label)


def _label(object_name: str) -> int:
    """Class of an object such as chair_7; stairs count as clutter, as everywhere, and <UNK> is not labelled."""
    name = object_name.split("_")[0]
    if name in CLASS_NAMES:
        return CLASS_NAMES.index(name)
    return CLASS_NAMES.index("clutter") if name == "stairs" else -1


def _area_number(name: str) -> int:
    """5 of Area_5 and of area_5a."""
    return int(re.search(r"\d+", name).group())
