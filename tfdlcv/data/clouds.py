"""What a point cloud is before it becomes tensors, and what is asked of one.

Shape legend: N points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from tfdlcv.errors import UserError


@dataclass(frozen=True)
class Cloud:
    """Points and what is known of each.

    Attributes:
        positions: (N, 3) float32 or float64, in metres where the source has a unit.
        color: (N, 3) uint8, sRGB.
        normal: (N, 3) float32, unit vectors.
        intensity: (N,) float32.
        category: of the whole cloud, where its labels depend on it (ShapeNet-part).
        label: (N,) int32, the class of each point, -1 where unknown; or one class of the whole cloud.
    """

    positions: np.ndarray
    color: np.ndarray | None = None
    normal: np.ndarray | None = None
    intensity: np.ndarray | None = None
    category: int | None = None
    label: np.ndarray | int | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def select(self, indices: np.ndarray) -> Cloud:
        """The points of the given indices, in their order; whole-cloud facts stay."""
        chosen = {
            field.name: value[indices]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **chosen)

    def repeated(self, count: int, random: np.random.Generator) -> Cloud:
        """All points, then some of them again, until there are `count`, which is at least N."""
        extra = random.choice(len(self), count - len(self))
        return self.select(np.concatenate([np.arange(len(self)), extra]))


def check_cloud(cloud: Cloud, source: str, *, at_least: int = 1) -> None:
    """Raise a UserError that names `source` and the tensor, if the cloud cannot be used.

    Args:
        at_least: How many points it must have.
    """
    positions = cloud.positions
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise UserError(f"{source}: positions must be (points, 3), but are {positions.shape}")
    if len(positions) == 0:
        raise UserError(f"{source}: the cloud is empty")
    if len(positions) < at_least:
        raise UserError(f"{source}: the cloud has {len(positions)} points, but at least {at_least} are needed")
    for name in ("positions", "color", "normal", "intensity", "label"):
        values = getattr(cloud, name)
        if not isinstance(values, np.ndarray):
            continue
        if len(values) != len(positions):
            raise UserError(f"{source}: {name} has {len(values)} rows for {len(positions)} points")
        if values.dtype.kind != "f":
            continue
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise UserError(f"{source}: {name} of point {row} is not finite: {values[row].tolist()}")
