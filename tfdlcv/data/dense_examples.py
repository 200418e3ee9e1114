"""What the readers and generators of images with a value for each pixel return.

The batch dict is described in `tfdlcv.data.masks`.

Shape legend: images H x W, K classes, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # The readers' configs are checked before TensorFlow is imported.
    from tfdlcv.data.pipeline import Split

VOID = 255
"""The class of pixels that are neither trained on nor scored."""

_PARTS = ("train", "validation", "test")
_COUNTED_EXAMPLES = 200  # Of generated ones; their classes' shares then stand to a few percent.

Color = tuple[int, int, int]


@dataclass(frozen=True)
class TargetFacts:
    """What the numbers of a per-pixel regression are.

    name: such as depth.
    channels: of `target`.
    unit: such as metres; empty where there is none.
    """

    name: str
    channels: int
    unit: str = ""


@dataclass(frozen=True)
class DenseData:
    """A data set of images with a class, or numbers, for each pixel.

    image_shape: (H, W, 3), of every example.
    class_names, palette: K names and colours; none where `target` is set.
    class_pixels: training pixels of each class, (K,).
    class_image_pixels: training pixels, but for void, of all images in which the class occurs, (K,): what median
        frequency balancing divides by (Eigen and Fergus 2015, section 6.3.2).
    target: what `target` of the examples is, where they have it and not `mask`.
    """

    train: Split
    validation: Split
    test: Split | None
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()
    palette: tuple[Color, ...] = ()
    class_pixels: tuple[int, ...] = ()
    class_image_pixels: tuple[int, ...] = ()
    target: TargetFacts | None = None


@dataclass
class ClassPixels:
    """Counts the pixels of each class over masks."""

    counts: np.ndarray
    image_counts: np.ndarray

    @classmethod
    def none(cls, num_classes: int) -> ClassPixels:
        """Before the first mask."""
        return cls(np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64))

    def add(self, mask: np.ndarray) -> None:
        """Counts a mask (H, W) of integers in 0..K-1 or void."""
        counts = np.bincount(mask.ravel(), minlength=VOID + 1)[: len(self.counts)]
        self.add_counts(counts)

    def add_counts(self, counts: np.ndarray) -> None:
        """Counts a mask of which the pixels (K,) of each class are known."""
        self.counts += counts
        self.image_counts += counts.sum() * (counts > 0)


def generated_data(
    config: Any,
    make: Callable[[str, int], Mapping[str, np.ndarray]],
    *,
    class_names: Sequence[str] = (),
    palette: Sequence[Color] = (),
    target: TargetFacts | None = None,
) -> DenseData:
    """Data of a generator.

    Args:
        config: with `image_size`, `keep_in_memory`, and `train_examples` and so on.
        make: part and index -> example with `image` (H, W, 3) uint8 and `mask` (H, W) uint8 or `target` (H, W, C)
            float32; pure.
    """
    height, width = config.image_size
    shapes = {"image": (height, width, 3)}
    shapes |= {"mask": (height, width)} if target is None else {"target": (height, width, target.channels)}

    def split_of(part: str) -> Split:
        return generated_split(
            lambda index: make(part, index),
            getattr(config, f"{part}_examples"),
            shapes=shapes,
            name=f"{part} {config.name}",
            keep=config.keep_in_memory,
        )

    splits = {part: split_of(part) for part in _PARTS}
    pixels = ClassPixels.none(len(class_names))
    if class_names:
        for index in range(min(config.train_examples, _COUNTED_EXAMPLES)):
            pixels.add(make("train", index)["mask"])
    return DenseData(
        **splits,
        image_shape=shapes["image"],
        class_names=tuple(class_names),
        palette=tuple(palette),
        class_pixels=tuple(pixels.counts.tolist()),
        class_image_pixels=tuple(pixels.image_counts.tolist()),
        target=target,
    )


def generated_split(
    make: Callable[[int], Mapping[str, np.ndarray]],
    num_examples: int,
    *,
    shapes: Mapping[str, tuple[int, ...]],
    name: str,
    keep: bool,
) -> Split:
    """Examples that `make` makes of their indices.

    Args:
        shapes: of the arrays of an example that are wanted. `target` is float32, all others are uint8 as `make` gives
            them; `mask` is int32 in the batches.
        keep: hold each example in memory once it is made.
    """
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    dtypes = {key: np.float32 if key == "target" else np.uint8 for key in shapes}
    # Memory is taken where it is written to, so examples that are never asked for cost nothing.
    kept = {key: np.empty((num_examples if keep else 0, *shape), dtypes[key]) for key, shape in shapes.items()}
    is_made = np.zeros(num_examples, bool)

    def examples_of(indices: np.ndarray) -> list[np.ndarray]:
        if not keep:
            made = [make(int(index)) for index in indices]
            return [np.stack([example[key] for example in made]) for key in shapes]
        # Two threads may make the same example, and then write the same bytes.
        for index in indices[~is_made[indices]].tolist():
            example = make(index)
            for key, array in kept.items():
                array[index] = example[key]
            is_made[index] = True
        return [array[indices] for array in kept.values()]

    def fetch(indices):
        values = tf.numpy_function(examples_of, [indices], [dtypes[key] for key in shapes], stateful=False)
        batch = {
            key: tf.ensure_shape(value, (*indices.shape, *shape))
            for (key, shape), value in zip(shapes.items(), values, strict=True)
        }
        if "mask" in batch:
            batch["mask"] = tf.cast(batch["mask"], tf.int32)
        return batch

    return Split(num_examples=num_examples, fetch=fetch, describe=lambda index: f"{name} {index}")
