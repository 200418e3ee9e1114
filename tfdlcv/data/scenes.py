"""Generated rooms with spheres and boxes: the depth of every pixel, and the direction in which every surface looks.

A pinhole camera looks over a floor on which things stand, mostly towards a wall. Where it sees no wall, what is farther
than `FARTHEST_METRES` has neither depth nor normal. Surfaces are shaded by one distant lamp and an even light; images
have noise. An example is a function of (seed, index) alone.

Frame of the camera: x to the right, y down, z forward, metres. Depth is z, not the distance to the camera.

Shape legend: images H x W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data import ray_casting
from tfdlcv.data.dense_examples import DenseData, TargetFacts, generated_data
from tfdlcv.data.mask_augmentation import MaskAugmentation

FARTHEST_METRES = 10.0
TARGETS = {"depth": TargetFacts("depth", channels=1, unit="metres"), "normals": TargetFacts("normals", channels=3)}

_PARTS = ("train", "validation", "test")
_FIELD_OF_VIEW_RADIANS = math.radians(60)  # Horizontal; about that of the camera of a telephone.
_AMBIENT = 0.35  # Part of the light that comes from everywhere.


@dataclass(frozen=True)
class Scene:
    """A generated picture and what is known of it.

    image: (H, W, 3) uint8.
    depth: (H, W) float32, metres; NaN where nothing is near enough.
    normals: (H, W, 3) float32, of length 1, towards the camera; NaN where depth is.
    """

    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray


@dataclass(frozen=True)
class _Room:
    """Directions (3,) of the floor in the camera's frame, and the camera's height above it in metres."""

    up: np.ndarray
    forward: np.ndarray
    camera_height: float

    def above(self, right: float, forward: float, up: float) -> np.ndarray:
        """The point (3,) that is so far to the right, forward and above the floor from below the camera."""
        return np.array([right, 0, 0]) + forward * self.forward + (up - self.camera_height) * self.up


class Scenes:
    """An endless list of scenes: `Scenes(seed)[index]`.

    Args:
        seed: a number or several, such as (data seed, part).
        size: height and width.
        objects: fewest and most.
        noise: smallest and largest deviation of an image's Gaussian noise, of 0..255.

    Raises:
        ValueError: a range is none.
    """

    def __init__(
        self,
        seed: int | tuple[int, ...] = 0,
        *,
        size: tuple[int, int] = (96, 128),
        objects: tuple[int, int] = (2, 6),
        noise: tuple[float, float] = (1.0, 6.0),
    ):
        check_scenes(size=size, objects=objects, noise=noise)
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.size, self.objects, self.noise = size, objects, noise

    def __getitem__(self, index: int) -> Scene:
        if index < 0:
            raise IndexError(f"index must be 0 or more. Received: {index}")
        random = np.random.default_rng((*self.seed, index))
        view = ray_casting.View(ray_casting.rays(*self.size, _FIELD_OF_VIEW_RADIANS))
        room = _random_room(random)
        _add_floor(view, room, random)
        if random.random() < 0.75:
            _add_wall(view, room, random)
        for _ in range(int(random.integers(self.objects[0], self.objects[1] + 1))):
            _add_thing(view, room, random)
        return self._pictured(view, room, random)

    def _pictured(self, view: ray_casting.View, room: _Room, random: np.random.Generator) -> Scene:
        lamp = room.up + random.uniform(-0.8, 0.8, 3)
        lamp /= np.linalg.norm(lamp)
        light = np.clip(view.normals @ lamp.astype(np.float32), 0, None)  # (H, W)
        image = view.colors * (_AMBIENT + (1 - _AMBIENT) * light)[..., None]
        is_void = ~(view.depth <= FARTHEST_METRES)
        image[is_void] = random.uniform(0, 255, 3)
        image += np.float32(random.uniform(*self.noise)) * random.standard_normal(image.shape, np.float32)
        return Scene(
            image=np.clip(np.rint(image), 0, 255).astype(np.uint8),
            depth=np.where(is_void, np.float32(np.nan), view.depth),
            normals=np.where(is_void[..., None], np.float32(np.nan), view.normals),
        )


class ScenesConfig(Section):
    """Generated rooms with spheres and boxes."""

    name: Literal["scenes"]
    target: Literal["depth", "normals"] = "depth"
    image_size: tuple[int, int] = (96, 128)
    """Height and width."""
    train_examples: int = Field(2000, ge=1)
    validation_examples: int = Field(200, ge=1)
    test_examples: int = Field(400, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    objects: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=50)]] = (2, 6)
    """Fewest and most in an image."""
    noise: tuple[float, float] = (1.0, 6.0)
    """Smallest and largest deviation of an image's noise, of 0..255."""
    keep_in_memory: bool = True
    """Make every example once: 7 bytes a pixel with depth, 15 with normals."""
    augmentation: MaskAugmentation = MaskAugmentation()

    @model_validator(mode="after")
    def _ranges(self):
        check_scenes(size=self.image_size, objects=self.objects, noise=self.noise)
        return self


def build(config: ScenesConfig) -> DenseData:
    """The three parts, with `image` and `target` of each example."""
    scenes = {
        part: Scenes((config.data_seed, place), size=config.image_size, objects=config.objects, noise=config.noise)
        for place, part in enumerate(_PARTS)
    }

    def make(part: str, index: int) -> dict[str, np.ndarray]:
        scene = scenes[part][index]
        return {"image": scene.image, "target": scene.depth[..., None] if config.target == "depth" else scene.normals}

    return generated_data(config, make, target=TARGETS[config.target])


def check_scenes(*, size: tuple[int, int], objects: tuple[int, int], noise: tuple[float, float]) -> None:
    """Raises ValueError for ranges that are none."""
    if min(size) < 8:
        raise ValueError(f"image_size must be two numbers >= 8, not {list(size)}")
    if not 0 <= objects[0] <= objects[1]:
        raise ValueError(f"objects must be two numbers, 0 <= first <= second, not {list(objects)}")
    if not 0 <= noise[0] <= noise[1]:
        raise ValueError(f"noise must be two numbers, 0 <= first <= second, not {list(noise)}")


def _random_room(random: np.random.Generator) -> _Room:
    tilt = random.uniform(math.radians(5), math.radians(25))  # Of the camera, downwards.
    return _Room(
        up=np.array([0, -math.cos(tilt), -math.sin(tilt)]),
        forward=np.array([0, -math.sin(tilt), math.cos(tilt)]),
        camera_height=random.uniform(1.0, 1.8),
    )


def _add_floor(view: ray_casting.View, room: _Room, random: np.random.Generator) -> None:
    colors, tile_metres = random.uniform(40, 255, (2, 3)).astype(np.float32), np.float32(random.uniform(0.3, 1.0))
    depth = ray_casting.plane(view.rays, room.up, room.camera_height)
    points = view.rays * np.minimum(depth, 2 * FARTHEST_METRES)[..., None]
    tiles = np.floor(points[..., 0] / tile_metres) + np.floor(points @ room.forward.astype(np.float32) / tile_metres)
    checkers = colors[(tiles.astype(np.int32) & 1)] if random.random() < 0.5 else colors[0]
    view.add(depth, room.up, checkers)


def _add_wall(view: ray_casting.View, room: _Room, random: np.random.Generator) -> None:
    turn = random.uniform(-math.radians(35), math.radians(35))
    normal = -math.cos(turn) * room.forward + np.array([math.sin(turn), 0, 0])
    view.add(ray_casting.plane(view.rays, normal, random.uniform(3, 8)), normal, random.uniform(40, 255, 3))


def _add_thing(view: ray_casting.View, room: _Room, random: np.random.Generator) -> None:
    """A sphere or a box on the floor, in front of the camera."""
    distance = random.uniform(1.8, 6)
    right = random.uniform(-0.5, 0.5) * distance
    color = random.uniform(20, 255, 3)
    if random.random() < 0.5:
        radius = random.uniform(0.15, 0.5)
        view.add(*ray_casting.sphere(view.rays, room.above(right, distance, radius), radius), color)
        return
    size = random.uniform(0.2, 1.0, 3)
    turn = random.uniform(0, math.pi)
    along = math.cos(turn) * room.forward + np.array([math.sin(turn), 0, 0])
    axes = np.stack([np.cross(room.up, along), room.up, along])
    view.add(*ray_casting.box(view.rays, room.above(right, distance, size[1] / 2), axes, size), color)
