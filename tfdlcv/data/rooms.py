"""Generated rooms for segmentation: floor and walls with tables, chairs, sofas, shelves, lamps and clutter.

Every room is a function of the seed, its split and its index. Points are uniform over all surfaces, coloured, with
noise on position and colour. Colours are drawn for each piece from a palette that several classes share, so that a
colour alone tells no class. The batch dict is described in `tfdlcv.data.point_clouds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import meshes
from tfdlcv.data.cloud_augmentation import CloudAugmentation
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.meshes import Mesh, box, joined, revolved
from tfdlcv.data.point_clouds import CloudData

CLASS_NAMES = ("floor", "wall", "table", "chair", "sofa", "shelf", "lamp", "clutter")
_PARTS = ("train", "validation", "test")
_PALETTE = np.array(
    [
        (226, 220, 205), (201, 196, 187), (170, 175, 180), (120, 122, 125), (70, 72, 78),  # Plaster, metal, slate.
        (193, 154, 107), (160, 110, 65), (110, 75, 50), (222, 190, 150),  # Woods.
        (150, 50, 45), (60, 85, 130), (70, 110, 80), (205, 160, 60),  # Cloth.
    ],
    np.float64,
)  # fmt: skip


class RoomsConfig(Section):
    """Generated rooms of eight classes: floor, wall, table, chair, sofa, shelf, lamp, clutter."""

    name: Literal["rooms"]
    points: int = Field(4096, ge=16)
    train_examples: int = Field(400, ge=1)
    validation_examples: int = Field(40, ge=1)
    test_examples: int = Field(100, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    noise_metres: float = Field(0.005, ge=0)
    color_noise: float = Field(12.0, ge=0)
    """Deviation, of 0..255."""
    features: tuple[Literal["ones", "position", "height", "color"], ...] = Field(("height", "color"), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation(
        # Qian et al. 2022 (PointNeXt), S3DIS.
        rotation="vertical", scale=(0.9, 1.1), jitter=0.005, color_drop=0.2
    )  # fmt: skip


class Rooms:
    """The rooms of one part: `len` and `load(index)`."""

    def __init__(self, config: RoomsConfig, part: Literal["train", "validation", "test"]):
        self.config = config
        self.part = part

    def __len__(self) -> int:
        return getattr(self.config, f"{self.part}_examples")

    def load(self, index: int) -> Cloud:
        """The room of an index."""
        random = np.random.default_rng((self.config.data_seed, _PARTS.index(self.part), index))
        return sample_room(
            self.config.points, random, noise_metres=self.config.noise_metres, color_noise=self.config.color_noise
        )

    def describe(self, index: int) -> str:
        """The name by which a person knows the room."""
        return f"{self.part} room {index}"


def build(config: RoomsConfig) -> CloudData:
    """The three parts; each cloud is made when it is asked for."""
    parts = {part: Rooms(config, part) for part in _PARTS}
    return CloudData(**parts, class_names=CLASS_NAMES, points=config.points, centre="floor")


def sample_room(
    count: int, random: np.random.Generator, *, noise_metres: float = 0.005, color_noise: float = 12.0
) -> Cloud:
    """A room of `count` points; one corner of the floor is at the origin, z points upwards, lengths are in metres."""
    room = _furnished_room(random)
    mesh = joined([piece.mesh for piece in room])
    piece_of = np.repeat(np.arange(len(room)), [len(piece.mesh.triangles) for piece in room])
    positions, triangles = meshes.sample_surface(mesh, count, random)
    pieces = piece_of[triangles]
    label = np.array([CLASS_NAMES.index(piece.name) for piece in room], np.int32)[pieces]
    color = np.stack([piece.color for piece in room])[pieces] + random.normal(0, color_noise, (count, 3))
    return Cloud(
        positions=(positions + random.normal(0, noise_metres, positions.shape)).astype(np.float32),
        color=np.clip(np.round(color), 0, 255).astype(np.uint8),
        label=label,
    )


def sample_building(count: int, *, seed: int = 0, points_per_room: int = 4096) -> Cloud:
    """Rooms side by side, with 0.3 m between them, until there are `count` points; as dense as single rooms are."""
    number = -(-count // points_per_room)
    columns = int(np.ceil(np.sqrt(number)))
    clouds = []
    for index in range(number):
        points = min(points_per_room, count - index * points_per_room)
        cloud = sample_room(points, np.random.default_rng((seed, 3, index)))
        # 6 m is the longest wall of a room.
        offset = np.array([(index % columns) * 6.3, (index // columns) * 6.3, 0], np.float32)
        clouds.append(Cloud(cloud.positions + offset, color=cloud.color, label=cloud.label))
    return Cloud(
        positions=np.concatenate([cloud.positions for cloud in clouds]),
        color=np.concatenate([cloud.color for cloud in clouds]),
        label=np.concatenate([cloud.label for cloud in clouds]),
    )


@dataclass(frozen=True)
class _Piece:
    name: str
    mesh: Mesh
    color: np.ndarray


@dataclass
class _Floor:
    """What stands where: rectangles (x0, y0, x1, y1), so that furniture does not overlap."""

    width: float
    depth: float
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def place(self, size: tuple[float, float], middle: tuple[float, float]) -> bool:
        """Takes a rectangle if it is free and inside the room."""
        x0, y0 = middle[0] - size[0] / 2, middle[1] - size[1] / 2
        x1, y1 = x0 + size[0], y0 + size[1]
        if x0 < 0.02 or y0 < 0.02 or x1 > self.width - 0.02 or y1 > self.depth - 0.02:
            return False
        if any(x0 < b[2] and b[0] < x1 and y0 < b[3] and b[1] < y1 for b in self.taken):
            return False
        self.taken.append((x0, y0, x1, y1))
        return True

    def anywhere(self, size: tuple[float, float], random: np.random.Generator) -> tuple[float, float] | None:
        """A free middle for a rectangle, or None after twenty tries."""
        for _ in range(20):
            middle = random.uniform(0, self.width), random.uniform(0, self.depth)
            if self.place(size, middle):
                return middle
        return None

    def by_wall(self, size: tuple[float, float], random: np.random.Generator) -> tuple[tuple[float, float], int] | None:
        """A free place with the back (the side of +y) at a wall: middle and quarter turns, or None."""
        for _ in range(20):
            turns = int(random.integers(4))
            across, along = (self.width, self.depth) if turns % 2 == 0 else (self.depth, self.width)
            x = random.uniform(size[0] / 2, max(across - size[0] / 2, size[0] / 2 + 1e-3))
            y = along - size[1] / 2 - 0.03
            middle = [(x, y), (self.width - y, x), (x, self.depth - y), (y, x)][turns]
            if self.place(size if turns % 2 == 0 else size[::-1], middle):
                return middle, turns
        return None


def _furnished_room(random: np.random.Generator) -> list[_Piece]:
    width, depth, height = random.uniform(3.2, 6), random.uniform(3.2, 6), random.uniform(2.3, 2.8)
    floor = _Floor(width, depth)
    pieces = [_Piece("floor", meshes.rectangle((width, 0, 0), (0, depth, 0)), _color(random))]
    wall_color = _color(random)
    for corner, along in (
        ((0, 0, 0), (width, 0, 0)),
        ((0, depth, 0), (width, 0, 0)),
        ((0, 0, 0), (0, depth, 0)),
        ((width, 0, 0), (0, depth, 0)),
    ):
        pieces.append(_Piece("wall", meshes.rectangle(along, (0, 0, height), corner), wall_color))
    tops: list[tuple[float, float, float]] = []  # Where clutter may lie: x, y, z.
    for _ in range(int(random.integers(1, 3))):
        pieces += _dining(floor, tops, random)
    for make, most in ((_sofa, 2), (_shelf, 3)):
        for _ in range(int(random.integers(1, most + 1))):
            pieces += make(floor, random)
    for make, most in ((_chair_alone, 2), (_lamp, 2), (_clutter, 4)):
        for _ in range(int(random.integers(1, most + 1))):
            pieces += make(floor, random)
    for x, y, z in tops:
        if random.random() < 0.5:
            thing = _standing(_thing(random, 0.1, 0.3)).transformed(offset=(x, y, z))
            pieces.append(_Piece("clutter", thing, _color(random)))
    return pieces


def _color(random: np.random.Generator) -> np.ndarray:
    return np.clip(_PALETTE[random.integers(len(_PALETTE))] * random.uniform(0.75, 1.15), 0, 255)


def _turned(mesh: Mesh, turns: float, middle: Sequence[float]) -> Mesh:
    """Quarter turns about z, then moved to (x, y)."""
    angle = turns * np.pi / 2
    sine, cosine = np.sin(angle), np.cos(angle)
    return mesh.transformed(np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]), (*middle, 0))


def _legs(width: float, depth: float, height: float, thickness: float) -> list[Mesh]:
    x, y = width / 2 - thickness, depth / 2 - thickness
    size = (thickness, thickness, height)
    return [box(size, (sx * x, sy * y, height / 2)) for sx in (-1, 1) for sy in (-1, 1)]


def _table_mesh(width: float, depth: float, height: float, random) -> Mesh:
    if random.random() < 0.3:
        radius = min(width, depth) / 2
        top = revolved([(0, height - 0.04), (radius, height - 0.04), (radius, height), (0, height)])
        foot = revolved([(0, 0.03), (radius / 2, 0.03), (radius / 2, 0), (0, 0)], segments=24)
        return joined([top, foot, revolved([(0.05, 0), (0.05, height)], segments=12)])
    return joined([box((width, depth, 0.04), (0, 0, height - 0.02)), *_legs(width, depth, height - 0.04, 0.06)])


def _chair_mesh(random) -> Mesh:
    seat, height, back = random.uniform(0.4, 0.5), random.uniform(0.42, 0.5), random.uniform(0.8, 1.0)
    parts = [
        box((seat, seat, 0.05), (0, 0, height - 0.025)),
        box((seat, 0.04, back - height), (0, seat / 2, (back + height) / 2)),
    ]
    if random.random() < 0.3:
        parts += [revolved([(0.04, 0.05), (0.04, height)], segments=12), box((seat, seat, 0.05), (0, 0, 0.03))]
    else:
        parts += _legs(seat, seat, height - 0.05, 0.045)
    return joined(parts)


def _dining(floor: _Floor, tops, random) -> list[_Piece]:
    """A table with chairs about it."""
    width, depth, height = random.uniform(0.8, 1.8), random.uniform(0.7, 1.0), random.uniform(0.7, 0.78)
    turns = int(random.integers(2))
    middle = floor.anywhere((width, depth) if turns == 0 else (depth, width), random)
    if middle is None:
        return []
    pieces = [
        _Piece("table", _turned(_standing(_table_mesh(width, depth, height, random)), turns, middle), _color(random))
    ]
    tops += [(*(np.array(middle) + random.uniform(-0.2, 0.2, 2)), height) for _ in range(int(random.integers(1, 3)))]
    color = _color(random)
    for side in range(4):
        if random.random() < 0.25:
            continue
        half = (depth if side % 2 == turns else width) / 2
        # 0.1 m under the table's edge, or away from it; the back is turned outwards.
        direction = np.array([(0, 1), (-1, 0), (0, -1), (1, 0)][side])
        place = np.array(middle) + direction * (half + random.uniform(0.1, 0.4)) + random.uniform(-0.1, 0.1, 2)
        if not (0.3 < place[0] < floor.width - 0.3 and 0.3 < place[1] < floor.depth - 0.3):
            continue
        if floor.place((0.5, 0.5), tuple(place)) or random.random() < 0.3:
            pieces.append(
                _Piece("chair", _turned(_standing(_chair_mesh(random)), side + random.normal(0, 0.2), place), color)
            )
    return pieces


def _chair_alone(floor: _Floor, random) -> list[_Piece]:
    return _anywhere("chair", (0.6, 0.6), floor, _chair_mesh, random)


def _standing(mesh: Mesh) -> Mesh:
    """Without the side that it stands on, which would lie in the floor."""
    lowest = mesh.vertices[:, 2].min()
    below = (mesh.vertices[mesh.triangles, 2] < lowest + 1e-6).all(axis=1)
    return Mesh(mesh.vertices, mesh.triangles[~below])


def _anywhere(
    name: str, size, floor: _Floor, make: Callable[[np.random.Generator], Mesh], random: np.random.Generator
) -> list[_Piece]:
    """A piece that is turned as it may be, or none where there is no room for it."""
    middle = floor.anywhere(size, random)
    if middle is None:
        return []
    return [_Piece(name, _turned(_standing(make(random)), random.uniform(0, 4), middle), _color(random))]


def _at_wall(
    name: str, size, floor: _Floor, make: Callable[[float, float, np.random.Generator], Mesh], random
) -> list[_Piece]:
    """A piece with its back at a wall, or none where there is no room for it."""
    found = floor.by_wall(size, random)
    if found is None:
        return []
    middle, turns = found
    return [_Piece(name, _turned(_standing(make(*size, random)), turns, middle), _color(random))]


def _sofa(floor: _Floor, random) -> list[_Piece]:
    def make(width, depth, random):
        seat, back, arm = random.uniform(0.38, 0.46), random.uniform(0.75, 0.95), random.uniform(0.12, 0.2)
        return joined(
            [
                box((width - 2 * arm, depth, seat), (0, 0, seat / 2)),
                box((width, 0.2, back), (0, depth / 2 - 0.1, back / 2)),
                box((arm, depth, seat + 0.2), (-width / 2 + arm / 2, 0, seat / 2 + 0.1)),
                box((arm, depth, seat + 0.2), (width / 2 - arm / 2, 0, seat / 2 + 0.1)),
            ]
        )

    return _at_wall("sofa", (random.uniform(1.0, 2.2), random.uniform(0.8, 0.95)), floor, make, random)


def _shelf(floor: _Floor, random) -> list[_Piece]:
    def make(width, depth, random):
        height, boards = random.uniform(1.1, 2.1), int(random.integers(3, 7))
        sides = [box((0.03, depth, height), (side * (width / 2 - 0.015), 0, height / 2)) for side in (-1, 1)]
        levels = [box((width, depth, 0.03), (0, 0, z)) for z in np.linspace(0.05, height - 0.015, boards)]
        back = meshes.rectangle((width, 0, 0), (0, 0, height), (-width / 2, depth / 2, 0))
        return joined([*sides, *levels, back])

    return _at_wall("shelf", (random.uniform(0.6, 1.4), random.uniform(0.28, 0.42)), floor, make, random)


def _lamp(floor: _Floor, random) -> list[_Piece]:
    def make(random):
        height, shade = random.uniform(1.3, 1.8), random.uniform(0.15, 0.22)
        return joined(
            [
                revolved([(0, 0.03), (0.15, 0.03), (0.15, 0), (0, 0)], segments=24),
                revolved([(0.02, 0), (0.02, height)], segments=8),
                revolved([(shade, height - 0.3), (0.6 * shade, height)], segments=24),
            ]
        )

    return _anywhere("lamp", (0.45, 0.45), floor, make, random)


def _thing(random, smallest: float, largest: float) -> Mesh:
    """A box, a ball or a vase that stands on z = 0."""
    size = random.uniform(smallest, largest)
    kind = random.integers(3)
    if kind == 0:
        mesh = box(size * random.uniform(0.6, 1, 3))
    elif kind == 1:
        mesh = revolved(meshes.arc(size / 2, -np.pi / 2, np.pi / 2, steps=10), segments=20)
    else:
        profile = np.array([(0, -0.5), (0.3, -0.5), (0.45, 0), (0.25, 0.5)]) * size
        mesh = revolved(profile, segments=20)
    return mesh.transformed(offset=(0, 0, -mesh.vertices[:, 2].min()))


def _clutter(floor: _Floor, random) -> list[_Piece]:
    return _anywhere("clutter", (0.4, 0.4), floor, lambda random: _thing(random, 0.2, 0.45), random)
