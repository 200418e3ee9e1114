"""ShapeNet-part: 16,881 shapes of 16 categories, whose points belong to 50 parts.

Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape Collections", 2016, in the form of Qi et al.
2017 (PointNet++), shapenetcore_partanno_segmentation_benchmark_v0_normal:

    synsetoffset2category.txt                           Airplane <tab> 02691156
    train_test_split/shuffled_train_file_list.json      ["shape_data/02691156/1a04e3eab45ca15dd86060f189eb133", ...]
    train_test_split/shuffled_val_file_list.json, shuffled_test_file_list.json
    02691156/1a04e3eab45ca15dd86060f189eb133.txt        x y z nx ny nz part, for each point
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.point_clouds import CloudData
from tfdlcv.errors import UserError

# Number of parts of each category; parts are numbered in this order, Airplane's 0..3, Bag's 4..5, and so on.
PARTS = {
    "Airplane": 4, "Bag": 2, "Cap": 2, "Car": 4, "Chair": 4, "Earphone": 3, "Guitar": 3, "Knife": 2,
    "Lamp": 4, "Laptop": 2, "Motorbike": 6, "Mug": 2, "Pistol": 3, "Rocket": 3, "Skateboard": 3, "Table": 3,
}  # fmt: skip
_LISTS = {"train": "train", "validation": "val", "test": "test"}


class ShapeNetPartConfig(Section):
    """ShapeNet-part, with its own division into training, validation and test shapes."""

    name: Literal["shapenet_part"]
    folder: str = Field(min_length=1)
    """shapenetcore_partanno_segmentation_benchmark_v0_normal."""
    points: int = Field(2048, ge=16)
    features: tuple[Literal["ones", "position", "height", "normal", "category"], ...] = Field(
        ("position", "normal", "category"), min_length=1
    )
    augmentation: CloudAugmentation = CloudAugmentation()
    keep_in_memory: bool = True
    """Hold every cloud's points and neighbours once they are made, 0.5 MB for 2,048 points."""


class PartShapes:
    """The clouds of one part of the data set: `len` and `load(index)`."""

    def __init__(self, files: list[tuple[Path, int]], points: int):
        self.files, self.points = files, points
        sizes = list(PARTS.values())
        self.first_part = np.cumsum([0, *sizes[:-1]])
        self.num_parts = np.array(sizes)

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> Cloud:
        """So many of the shape's points, the same ones each time; some twice where it has fewer."""
        path, category = self.files[index]
        try:
            rows = np.loadtxt(path, dtype=np.float32, ndmin=2)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        except ValueError as error:
            raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None
        if rows.shape[1] != 7 or not len(rows):
            raise UserError(f"{path}: rows must be x y z nx ny nz part, but the table is {rows.shape}")
        label = rows[:, 6].astype(np.int32)
        first, count = self.first_part[category], self.num_parts[category]
        outside = (label < first) | (label >= first + count)
        if outside.any():
            raise UserError(
                f"{path}: line {int(np.argmax(outside)) + 1}: part {label[outside][0]} is none of "
                f"{[*PARTS][category]}'s, {first}..{first + count - 1}"
            )
        random = np.random.default_rng((2, index))
        chosen = np.sort(random.choice(len(rows), self.points, replace=len(rows) < self.points))
        return Cloud(rows[chosen, :3], normal=rows[chosen, 3:6], category=category, label=label[chosen])

    def describe(self, index: int) -> str:
        """The name by which a person knows the shape."""
        path, category = self.files[index]
        return f"{[*PARTS][category]} {path.stem}"


def build(config: ShapeNetPartConfig) -> CloudData:
    """Lists the shapes; they are read when they are asked for.

    Raises:
        UserError: for a folder of another layout.
    """
    folder = Path(config.folder).expanduser()
    categories = _categories(folder)
    sources = {}
    for part, name in _LISTS.items():
        path = folder / "train_test_split" / f"shuffled_{name}_file_list.json"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: missing or damaged: {error}") from None
        files = []
        for entry in entries:
            synset, shape = Path(entry).parts[-2:]
            if synset not in categories:
                raise UserError(f"{path}: {entry} is of no category of synsetoffset2category.txt")
            files.append((folder / synset / f"{shape}.txt", categories[synset]))
        missing = [file for file, _ in files if not file.is_file()]
        if missing:
            raise UserError(f"{len(missing)} of {len(files)} shapes of {path.name} are missing, such as {missing[0]}")
        sources[part] = PartShapes(files, config.points)
    return CloudData(
        **sources,
        class_names=tuple(f"{name} {part}" for name, count in PARTS.items() for part in range(count)),
        points=config.points,
        centre="unit_sphere",
        up_axis=1,
        category_names=tuple(PARTS),
        label_category=tuple(category for category, count in enumerate(PARTS.values()) for _ in range(count)),
    )


def _categories(folder: Path) -> dict[str, int]:
    """{synset: category}."""
    path = folder / "synsetoffset2category.txt"
    if not path.is_file():
        raise UserError(f"{path} is missing: data.folder must hold ShapeNet-part as PointNet++ publishes it")
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            name, _, synset = line.partition("\t") if "\t" in line else line.partition(" ")
            if name.strip() not in PARTS:
                raise UserError(f"{path}: {name.strip()} is no category of ShapeNet-part")
            found[synset.strip()] = [*PARTS].index(name.strip())
    return found
