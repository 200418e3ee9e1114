"""From the clouds of a reader or generator to the batches of the point-cloud area.

Batch dict of the area, for B clouds of N points with C features:
    positions: (B, N, 3) float32, in the data set's unit, about the middle of the cloud (see `centre`).
    features: (B, N, C) float32; which, the config's `data.features` says, in its order (see `FEATURE_WIDTHS`).
    label: (B,) int32, the class of the cloud; or (B, N) int32, that of each point, -1 where it is not known.
    category: (B,) int32, where a cloud's category decides which classes its points may have (ShapeNet-part).
    neighbors{l}, pool{l}, up{l}: int32, of `tfdlcv.data.pyramid`, as many as the network's pyramid has.
    id: (B,) int64 and valid: (B,) bool, as everywhere.

Shape legend: B clouds, N points, C features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tfdlcv.data.clouds import Cloud, check_cloud
from tfdlcv.data.pyramid import PyramidSpec, build_pyramid
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

FEATURE_WIDTHS = {
    "ones": 1,  # Of every point the same: shape alone.
    "position": 3,
    "height": 1,  # Above the lowest point.
    "color": 3,  # -0.5..0.5
    "normal": 3,
    "intensity": 1,
    "category": None,  # One-hot, as many as there are categories.
}
Centre = Literal["mean", "unit_sphere", "floor"]


class CloudSource(Protocol):
    """Clouds that are drawn by index, each a pure function of it."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> Cloud:
        """The cloud, always of as many points where batches are made of it."""

    def describe(self, index: int) -> str:
        """The name by which a person knows it."""


@dataclass(frozen=True)
class CloudData:
    """What a reader or generator returns.

    Attributes:
        centre, up_axis: see `prepare`.
        category_names: of the clouds, where `Cloud.category` is set, whether or not it is among the features.
        label_category: category of each class, where a cloud's category decides which classes its points may have.
    """

    train: CloudSource
    validation: CloudSource
    test: CloudSource | None
    class_names: tuple[str, ...]
    points: int
    centre: Centre
    up_axis: int = 2
    category_names: tuple[str, ...] = ()
    label_category: tuple[int, ...] = ()


def feature_columns(names: Sequence[str], *, num_categories: int = 0) -> dict[str, slice]:
    """Places of the named features among the C columns.

    Raises:
        UserError: a feature that does not exist or is named twice.
    """
    columns, start = {}, 0
    for name in names:
        if name not in FEATURE_WIDTHS:
            raise UserError(f"data.features: there is no {name}; choose from {', '.join(FEATURE_WIDTHS)}")
        if name in columns:
            raise UserError(f"data.features names {name} twice")
        width = FEATURE_WIDTHS[name] or num_categories
        columns[name] = slice(start, start + width)
        start += width
    return columns


def prepare(
    cloud: Cloud, names: Sequence[str], *, centre: Centre, up_axis: int = 2, num_categories: int = 0, source: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) float32 and features (N, C) float32 of a cloud, as networks take them.

    Args:
        centre: mean: positions are relative to their mean; unit_sphere: and divided by the largest distance to it;
            floor: relative to the middle of the extent, horizontally, and to the lowest point.
        up_axis: 0, 1 or 2.
        source: what to call the cloud in a message.

    Raises:
        UserError: the cloud lacks a feature.
    """
    positions = np.asarray(cloud.positions, np.float64)  # Map coordinates need more digits than float32 has.
    if centre == "floor":
        low, high = positions.min(axis=0), positions.max(axis=0)
        origin = (low + high) / 2
        origin[up_axis] = low[up_axis]
    else:
        origin = positions.mean(axis=0)
    positions = positions - origin
    if centre == "unit_sphere":
        positions /= max(np.linalg.norm(positions, axis=1).max(), 1e-12)
    positions = positions.astype(np.float32)
    parts = []
    for name in names:
        match name:
            case "ones":
                values = np.ones((len(positions), 1), np.float32)
            case "position":
                values = positions
            case "height":
                values = (positions[:, up_axis] - positions[:, up_axis].min())[:, None]
            case "category":
                values = np.zeros((len(positions), num_categories), np.float32)
                values[:, _known(cloud.category, name, source)] = 1
            case "color":
                values = _known(cloud.color, name, source).astype(np.float32) / 255 - 0.5
            case _:
                values = np.asarray(_known(getattr(cloud, name), name, source), np.float32)
                values = values.reshape(len(positions), FEATURE_WIDTHS[name])
        parts.append(values)
    return positions, np.concatenate(parts, axis=1)


def load_prepared(
    source: CloudSource,
    index: int,
    *,
    points: int,
    features: Sequence[str],
    centre: Centre,
    up_axis: int = 2,
    num_categories: int = 0,
    at_least: int = 1,
) -> tuple[Cloud, np.ndarray, np.ndarray]:
    """A cloud of `source`, and what `prepare` makes of it.

    Raises:
        UserError: it has not `points` points, fewer than `at_least`, or numbers that are not finite.
    """
    name = source.describe(index)
    cloud = source.load(index)
    check_cloud(cloud, name, at_least=max(points, at_least))
    if len(cloud) != points:
        raise UserError(f"{name}: the cloud has {len(cloud)} points, but batches are of {points}")
    prepared = prepare(cloud, features, centre=centre, up_axis=up_axis, num_categories=num_categories, source=name)
    return cloud, *prepared


def cloud_split(
    source: CloudSource,
    *,
    points: int,
    features: Sequence[str],
    spec: PyramidSpec,
    label_of: Literal["cloud", "point"],
    centre: Centre,
    up_axis: int = 2,
    num_categories: int = 0,
    keep: bool = True,
) -> Split:
    """Examples of `source` with their pyramids, made by host threads while the device computes.

    Args:
        points: N, of every cloud.
        keep: hold every example in memory once it is made, about 400 bytes a point; the neighbours of a cloud are then
            found in the first epoch alone.
    """
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    width = sum(FEATURE_WIDTHS[name] or num_categories for name in features)
    shapes = {"positions": (points, 3), "features": (points, width), **spec.shapes(points)}
    shapes["label"] = (points,) if label_of == "point" else ()
    if num_categories:
        shapes["category"] = ()
    dtypes = {name: tf.float32 if name in ("positions", "features") else tf.int32 for name in shapes}
    made: dict[int, list[np.ndarray]] = {}

    def make(index: int) -> list[np.ndarray]:
        cloud, positions, values = load_prepared(
            source,
            index,
            points=points,
            features=features,
            centre=centre,
            up_axis=up_axis,
            num_categories=num_categories,
            at_least=spec.neighbors,
        )
        # From another stream than the generators', which are seeded by parts of numbers below 2^31.
        pyramid = build_pyramid(positions, spec, random=np.random.default_rng((2**32, index)))
        example = {"positions": positions, "features": values, "label": np.asarray(cloud.label, np.int32), **pyramid}
        if num_categories:
            example["category"] = np.int32(cloud.category)
        return [np.asarray(example[key], dtypes[key].as_numpy_dtype) for key in shapes]

    def example_of(index):
        index = int(index)
        if not keep:
            return make(index)
        if index not in made:
            made[index] = make(index)
        return made[index]

    def fetch(index):
        values = tf.numpy_function(example_of, [index], [dtypes[name] for name in shapes], stateful=False)
        return {name: tf.ensure_shape(value, shapes[name]) for name, value in zip(shapes, values, strict=True)}

    return Split(num_examples=len(source), fetch=fetch, describe=source.describe, fetch_per_example=True)


def examples(split: Split, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """A batch of some examples, as arrays."""
    import tensorflow as tf

    if not split.fetch_per_example:
        return {name: value.numpy() for name, value in split.fetch(tf.constant([*indices], tf.int64)).items()}
    made = [split.fetch(tf.constant(index, tf.int64)) for index in indices]
    return {name: np.stack([example[name].numpy() for example in made]) for name in made[0]}


def _known(values, name: str, source: str):
    if values is None:
        raise UserError(f"{source}: the cloud has no {name}, which data.features asks for")
    return values
