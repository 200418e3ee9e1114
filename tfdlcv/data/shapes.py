"""Generated images of plain shapes, with boxes, labels, instances and classes of pixels.

On a gradient with noise lie 1 to 6 disks, squares, triangles, rings and crosses, which hide each other and are cut by
the border; one image in ten is empty. An example is a function of (seed, index) alone, so that any process makes the
same one, and there is no end of them. The same images serve segmentation, detection, few-shot learning and learning
from weak labels.

What is visible of an object is what its mask, its box and its pixels' class tell. An object is left out of the image
where it would show fewer than 25 pixels or 35 % of itself, so there is nothing in an image that has no label.

Shape legend: images H x W, M objects at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.dense_examples import DenseData, generated_data
from tfdlcv.data.mask_augmentation import MaskAugmentation
from tfdlcv.data.shapes_drawing import SHAPE_NAMES, Outline, rasterize

CLASS_NAMES = ("background", *SHAPE_NAMES)
PALETTE = ((0, 0, 0), (230, 75, 60), (60, 140, 230), (250, 190, 40), (60, 175, 90), (160, 90, 200))

_MIN_PIXELS = 25
_MIN_VISIBLE = 0.35  # Of the object's area.
_MIN_CONTRAST = 90  # Sum over the channels of the difference to any colour of the background.
_GRADIENT_STEPS = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class ShapesExample:
    """A generated image and all that is known of it.

    image: (H, W, 3) uint8.
    boxes: (M, 4) float32, x0, y0, x1, y1 in pixels; x1 and y1 are the far edges of the last visible pixels. -1 for
        padding.
    labels: (M,) int32, places in `SHAPE_NAMES`; -1 for padding.
    instances: (H, W) uint8, 0 for the background and k + 1 where object k is seen.
    mask: (H, W) uint8, 0 for the background and label + 1 where an object is seen: places in `CLASS_NAMES`.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    mask: np.ndarray

    @property
    def num_objects(self) -> int:
        """Objects without the padding."""
        return int(np.count_nonzero(self.labels >= 0))

    @property
    def instance_masks(self) -> np.ndarray:
        """(M, H, W) bool, the visible pixels of each object; none for padding."""
        return self.instances == np.arange(1, len(self.labels) + 1, dtype=np.uint8)[:, None, None]


class Shapes:
    """An endless list of examples: `Shapes(seed)[index]`.

    Args:
        seed: a number or several, such as (data seed, part); other numbers are other examples.
        size: height and width, or one number for both.
        objects: fewest and most in an image that is not empty, before those that others hide are left out.
        radius: smallest and largest, in pixels.
        noise: smallest and largest deviation of an image's Gaussian noise, of 0..255.
        empty_fraction: of images without objects.
        names: the shapes that occur; labels are places in `SHAPE_NAMES` whatever these are.

    Raises:
        ValueError: an argument is out of its range, or the largest shape is larger than the image.
    """

    def __init__(
        self,
        seed: int | Sequence[int] = 0,
        *,
        size: int | tuple[int, int] = 128,
        objects: tuple[int, int] = (1, 6),
        radius: tuple[float, float] = (6.0, 28.0),
        noise: tuple[float, float] = (2.0, 14.0),
        empty_fraction: float = 0.1,
        names: Sequence[str] = SHAPE_NAMES,
    ):
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        check_shapes(size=self.size, objects=objects, radius=radius, noise=noise)
        if not 0 <= empty_fraction <= 1:
            raise ValueError(f"empty_fraction must be in 0..1. Received: {empty_fraction}")
        if not names or set(names) - set(SHAPE_NAMES):
            raise ValueError(f"names must be among {', '.join(SHAPE_NAMES)}. Received: {tuple(names)}")
        self.objects, self.radius, self.noise, self.empty_fraction = objects, radius, noise, empty_fraction
        self.labels = np.array([SHAPE_NAMES.index(name) for name in names], np.int32)

    def __getitem__(self, index: int) -> ShapesExample:
        if index < 0:
            raise IndexError(f"index must be 0 or more. Received: {index}")
        random = np.random.default_rng((*self.seed, index))
        height, width = self.size
        most = self.objects[1]
        image, gradient = _background(height, width, random)
        example = ShapesExample(
            image=image,
            boxes=np.full((most, 4), -1, np.float32),
            labels=np.full(most, -1, np.int32),
            instances=np.zeros(self.size, np.uint8),
            mask=np.zeros(self.size, np.uint8),
        )
        if random.random() >= self.empty_fraction:
            self._paint(example, gradient, random)
        noise = random.standard_normal(image.shape, np.float32)
        image += np.multiply(noise, np.float32(random.uniform(*self.noise)), out=noise)
        np.clip(np.rint(image, out=image), 0, 255, out=image)
        return ShapesExample(image.astype(np.uint8), example.boxes, example.labels, example.instances, example.mask)

    def _paint(self, example: ShapesExample, gradient: np.ndarray, random: np.random.Generator) -> None:
        """Adds the objects, the one on top first: each takes what those above it leave, as if painted from behind."""
        number = 0
        for place in range(int(random.integers(self.objects[0], self.objects[1] + 1))):
            outline, label = self._outline(random, whole=place == 0)
            color = _color(gradient, random)
            patch = rasterize(outline, *self.size)
            window = (patch.rows, patch.columns)
            instances = example.instances[window]
            visible = patch.inside & (instances == 0)
            count = int(np.count_nonzero(visible))
            if count < _MIN_PIXELS or count < _MIN_VISIBLE * patch.area:
                continue
            instances[visible] = number + 1
            example.mask[window][visible] = label + 1
            example.image[window][visible] = color
            example.labels[number] = label
            example.boxes[number] = _box(visible, patch.columns.start, patch.rows.start)
            number += 1

    def _outline(self, random: np.random.Generator, *, whole: bool) -> tuple[Outline, int]:
        """A shape anywhere; `whole`: inside the image, so that an image that is to have objects has at least one."""
        label = int(self.labels[random.integers(len(self.labels))])
        radius = random.uniform(*self.radius)
        margin = radius if whole else 0.0
        height, width = self.size
        outline = Outline(
            SHAPE_NAMES[label],
            x=random.uniform(margin, width - margin),
            y=random.uniform(margin, height - margin),
            radius=radius,
            angle_radians=random.uniform(0, 2 * math.pi),
        )
        return outline, label


class ShapesConfig(Section):
    """Generated images of disks, squares, triangles, rings and crosses."""

    name: Literal["shapes"]
    image_size: tuple[int, int] = (128, 128)
    """Height and width."""
    train_examples: int = Field(3000, ge=1)
    validation_examples: int = Field(300, ge=1)
    test_examples: int = Field(500, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)
    objects: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=100)]] = (1, 6)
    """Fewest and most in an image."""
    radius: tuple[float, float] = (6.0, 28.0)
    """Smallest and largest, in pixels."""
    noise: tuple[float, float] = (2.0, 14.0)
    """Smallest and largest deviation of an image's noise, of 0..255."""
    empty_fraction: float = Field(0.1, ge=0, le=1)
    """Part of the images without objects."""
    keep_in_memory: bool = True
    """Make every example once: 4 bytes a pixel."""
    augmentation: MaskAugmentation = MaskAugmentation()

    @model_validator(mode="after")
    def _ranges(self):
        check_shapes(size=self.image_size, objects=self.objects, radius=self.radius, noise=self.noise)
        return self

    def generator(self, part: Literal["train", "validation", "test"]) -> Shapes:
        """The examples of a part."""
        return Shapes(
            (self.data_seed, _PARTS.index(part)),
            size=self.image_size,
            objects=self.objects,
            radius=self.radius,
            noise=self.noise,
            empty_fraction=self.empty_fraction,
        )


def build(config: ShapesConfig) -> DenseData:
    """The three parts, with `image` and `mask` of each example."""
    generators = {part: config.generator(part) for part in _PARTS}

    def make(part: str, index: int) -> dict[str, np.ndarray]:
        example = generators[part][index]
        return {"image": example.image, "mask": example.mask}

    return generated_data(config, make, class_names=CLASS_NAMES, palette=PALETTE)


def check_shapes(
    *, size: tuple[int, int], objects: tuple[int, int], radius: tuple[float, float], noise: tuple[float, float]
) -> None:
    """Raises ValueError for ranges that are none, and for shapes that are larger than the image."""
    if not 1 <= objects[0] <= objects[1] <= 100:
        raise ValueError(f"objects must be two numbers, 1 <= first <= second <= 100, not {list(objects)}")
    # Below, a triangle has fewer pixels than an object needs.
    if not 6 <= radius[0] <= radius[1]:
        raise ValueError(f"radius must be two numbers, 6 <= first <= second, not {list(radius)}")
    if 2 * radius[1] > min(size):
        raise ValueError(f"radius ({radius[1]:g}) must be at most half of the images' height and width {list(size)}")
    if not 0 <= noise[0] <= noise[1]:
        raise ValueError(f"noise must be two numbers, 0 <= first <= second, not {list(noise)}")


def _background(height: int, width: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A gradient (H, W, 3) float32 from one colour to another in any direction, and samples (9, 3) of its colours."""
    ends = random.uniform(0, 255, (2, 3)).astype(np.float32)
    angle = random.uniform(0, 2 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    length = abs(cosine) + abs(sine)  # Of the image along the direction, where its sides are 1.
    step = ends[1] - ends[0]
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[:, None] * np.float32(cosine / length)  # (W, 1)
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * np.float32(sine / length)  # (H, 1)
    # Pixels of a row one after another: loops over three channels would take ten times as long.
    image = down * np.tile(step, width)  # (H, 3 W)
    image += (ends[0] + (across + np.float32(0.5)) * step).ravel()
    return image.reshape(height, width, 3), _GRADIENT_STEPS * step + ends[0]


def _color(gradient: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(3,) float32, well apart from the colours of the background."""
    while True:
        candidates = random.uniform(0, 255, (8, 1, 3)).astype(np.float32)
        apart = np.abs(candidates - gradient).sum(axis=2).min(axis=1) >= _MIN_CONTRAST  # (8,)
        if apart.any():
            return candidates[apart.argmax(), 0]


def _box(visible: np.ndarray, left: int, top: int) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    return left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
