"""Images with a number beside their label: an angle, a year, a price. The area of hyperspherical learning.

Batch dict of the area, for B examples of K classes:
    image, label, id, valid: as in `tfdlcv.data.labelled_images`.
    value: (B,) float32, in the units of the data set, within its range; where the data set has values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from tfdlcv.errors import UserError

if TYPE_CHECKING:  # The readers' configs are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfdlcv.data.labelled_images import LabelledImages
    from tfdlcv.data.pipeline import Split

OutOfRange = Literal["stop", "clip"]


@dataclass(frozen=True)
class ValueFacts:
    """What the numbers of a data set are. `lower` and `upper` are the ends of their range."""

    name: str
    unit: str
    lower: float
    upper: float


@dataclass(frozen=True)
class ValuedImages:
    """Labelled images, perhaps with a number each.

    value: None where the data set has labels alone.
    draw_values: for training, (batch, seed (2,) int32) -> batch with new values and images to match; None where each
        example keeps its own.
    """

    images: LabelledImages
    value: ValueFacts | None = None
    draw_values: Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]] | None = None


def with_values(split: Split, values: Sequence[float]) -> Split:
    """`split`, whose examples also have `value`: those of `values` (N,), in the order of the split."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        values = tf.constant(np.asarray(values, np.float32))

    def fetch(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**split.fetch(indices), "value": tf.gather(values, indices)}

    return replace(split, fetch=fetch)


def values_in_range(
    values: Sequence[float], facts: ValueFacts, out_of_range: OutOfRange, describe: Callable[[int], str]
) -> np.ndarray:
    """`values` (N,) as float64 within the range of `facts`.

    Raises:
        UserError: a value is no finite number; or is outside the range, and `out_of_range` is "stop". It names the
            first such example.
    """
    values = np.asarray(values, np.float64)
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        raise UserError(f"{describe(int(broken[0]))} has no {facts.name}: {values[broken[0]]}")
    outside = np.flatnonzero((values < facts.lower) | (values > facts.upper))
    if len(outside) and out_of_range == "stop":
        first = int(outside[0])
        raise UserError(
            f"{describe(first)} has {facts.name} {values[first]:g}, outside data.value_range "
            f"[{facts.lower:g}, {facts.upper:g}], as have {len(outside) - 1:,} others "
            "(data.out_of_range: clip would take the nearest end)"
        )
    return np.clip(values, facts.lower, facts.upper)


def check_range(lower: float, upper: float) -> None:
    """Raises ValueError unless `lower` is less than `upper`."""
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        raise ValueError(f"must be two finite numbers, the first less than the second, not [{lower:g}, {upper:g}]")
