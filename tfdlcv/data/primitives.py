"""Generated clouds of ten bodies, for classification: points of their surfaces, stretched, turned and noisy.

Every cloud is a function of the seed, its split and its index. The batch dict is described in
`tfdlcv.data.point_clouds`.
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
from tfdlcv.data.meshes import Mesh, arc, revolved
from tfdlcv.data.point_clouds import CloudData

CLASS_NAMES = (
    "box", "capsule", "cone", "cylinder", "hemisphere", "plane", "prism", "pyramid", "sphere", "torus"
)  # fmt: skip
_PARTS = ("train", "validation", "test")


class PrimitivesConfig(Section):
    """Generated bodies: box, capsule, cone, cylinder, hemisphere, plane, prism, pyramid, sphere, torus."""

    name: Literal["primitives"]
    points: int = Field(1024, ge=16)
    train_examples: int = Field(4000, ge=1)
    validation_examples: int = Field(500, ge=1)
    test_examples: int = Field(1000, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    stretch: float = Field(0.6, gt=0, le=1)
    """Each axis is scaled by a factor from here to 1."""
    noise: float = Field(0.02, ge=0)
    """Deviation of a Gaussian on every coordinate; the cloud's radius is 1."""
    density_ratio: float = Field(1.0, ge=1)
    """How many times denser the cloud is on one side than on the other."""
    features: tuple[Literal["ones", "position"], ...] = Field(("ones",), min_length=1)
    augmentation: CloudAugmentation = CloudAugmentation(rotation="any")


class Primitives:
    """The clouds of one part: `len` and `load(index)`."""

    def __init__(self, config: PrimitivesConfig, part: Literal["train", "validation", "test"]):
        self.config = config
        self.part = part

    def __len__(self) -> int:
        return getattr(self.config, f"{self.part}_examples")

    def load(self, index: int) -> Cloud:
        """The cloud of an index; classes come in turn, so that each has as many."""
        random = np.random.default_rng((self.config.data_seed, _PARTS.index(self.part), index))
        label = index % len(CLASS_NAMES)
        positions = sample_primitive(
            CLASS_NAMES[label],
            self.config.points,
            random,
            stretch=self.config.stretch,
            noise=self.config.noise,
            density_ratio=self.config.density_ratio,
        )
        return Cloud(positions=positions, label=label)

    def describe(self, index: int) -> str:
        """The name by which a person knows the cloud."""
        return f"{self.part} {CLASS_NAMES[index % len(CLASS_NAMES)]} {index}"


def build(config: PrimitivesConfig) -> CloudData:
    """The three parts; each cloud is made when it is asked for."""
    parts = {part: Primitives(config, part) for part in _PARTS}
    return CloudData(**parts, class_names=CLASS_NAMES, points=config.points, centre="unit_sphere")


def primitive(name: str, random: np.random.Generator) -> Mesh:
    """The mesh of a body of `CLASS_NAMES`, about as high as wide, of random proportions where it has several."""
    quarter = math.pi / 2
    match name:
        case "box":
            return meshes.box()
        case "capsule":
            half = random.uniform(0.3, 0.6)
            upper, lower = arc(0.4, 0, quarter, middle=(0, half)), arc(0.4, -quarter, 0, middle=(0, -half))
            return revolved([*lower, *upper])
        case "cone":
            return revolved([(0, -0.5), (0.5, -0.5), (0, 0.5)])
        case "cylinder":
            return revolved([(0, -0.5), (0.4, -0.5), (0.4, 0.5), (0, 0.5)])
        case "hemisphere":
            return revolved([(0, 0), *arc(0.6, 0, quarter)])
        case "plane":
            return meshes.rectangle((1, 0, 0), (0, 1, 0), (-0.5, -0.5, 0))
        case "prism":
            return revolved([(0, -0.5), (0.5, -0.5), (0.5, 0.5), (0, 0.5)], segments=3)
        case "pyramid":
            return revolved([(0, -0.5), (0.6, -0.5), (0, 0.5)], segments=4)
        case "sphere":
            return revolved(arc(0.5, -quarter, quarter))
        case "torus":
            return revolved(arc(random.uniform(0.12, 0.25), 0, 2 * math.pi, middle=(0.5, 0)))
    raise ValueError(f"name must be one of {', '.join(CLASS_NAMES)}. Received: name={name!r}")


def sample_primitive(
    name: str,
    count: int,
    random: np.random.Generator,
    *,
    stretch: float = 1.0,
    noise: float = 0.0,
    density_ratio: float = 1.0,
) -> np.ndarray:
    """Points (N, 3) float32 of a body, turned at random, about its middle, within a radius of 1 but for the noise."""
    mesh = primitive(name, random).transformed(random.uniform(stretch, 1, 3))
    # Thinning keeps (1 + 1 / ratio) / 2 of the points in the mean, at least a half.
    drawn = count if density_ratio == 1 else 4 * count + 64
    positions, _ = meshes.sample_surface(mesh, drawn, random)
    if density_ratio > 1:
        positions = positions[_denser_on_one_side(positions, density_ratio, random)][:count]
    positions = positions - positions.mean(axis=0)
    positions /= np.linalg.norm(positions, axis=1).max()
    positions += random.normal(0, noise, positions.shape)
    return (positions @ random_rotation(random).T).astype(np.float32)


def random_rotation(random: np.random.Generator) -> np.ndarray:
    """(3, 3) float64, uniform over all rotations: that of a normalised quaternion of Gaussians."""
    quaternion = random.normal(size=4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _denser_on_one_side(positions, ratio: float, random) -> np.ndarray:
    """Which points stay, (N,) bool, where the share that does falls linearly from 1 to 1 / ratio along an axis."""
    along = positions @ random_rotation(random)[0]
    along = (along - along.min()) / max(np.ptp(along), 1e-12)
    return random.random(len(positions)) < 1 - along * (1 - 1 / ratio)
