"""Augmentation of batches of point clouds: turned, scaled, shifted, mirrored, jittered, without colour.

Neighbours are found before it. Rotations, mirroring, shifts and one scale for all axes do not change who is nearest;
jitter and a scale for each axis may, by a little, which is augmentation too.

Published recipes, as options: PointNet (Qi et al. 2017) on ModelNet40: rotation vertical, jitter 0.01 clipped at 0.05.
PointNet++ (Qi et al. 2017, released code): also scale 0.8..1.25 and shift 0.1. DGCNN (Wang et al. 2019, released code):
scale 2/3..3/2 for each axis, shift 0.2. PointNeXt (Qian et al. 2022) on S3DIS: scale 0.9..1.1, rotation vertical,
jitter 0.005, color_drop 0.2.

Shape legend: B clouds, N points, C features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section

if TYPE_CHECKING:
    import tensorflow as tf


class CloudAugmentation(Section):
    """What is changed at random in each training cloud; the defaults change nothing."""

    rotation: Literal["none", "vertical", "any"] = "none"
    """vertical: about the upward axis; any: about any axis."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Lowest and highest factor."""
    scale_each_axis: bool = False
    """A factor for each axis in place of one."""
    mirror: bool = False
    """Mirror each horizontal axis, every second time."""
    shift: float = Field(0.0, ge=0)
    """Most that the cloud is moved along each axis."""
    jitter: float = Field(0.0, ge=0)
    """Deviation of a Gaussian on each coordinate."""
    jitter_clip: float | None = Field(None, gt=0)
    """Most that jitter moves a coordinate."""
    color_drop: float = Field(0.0, ge=0, le=1)
    """Share of clouds that lose their colour (its features become 0)."""

    @model_validator(mode="after")
    def _scale_in_order(self):
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two numbers with 0 < lowest <= highest, not {list(self.scale)}")
        return self


def build_cloud_augmentation(
    config: CloudAugmentation, columns: Mapping[str, slice], *, up_axis: int = 2
) -> Callable[[dict[str, tf.Tensor], tf.Tensor], dict[str, tf.Tensor]] | None:
    """-> (batch, seed (2,) int32) -> batch; the same seed gives the same result. None where nothing changes.

    Args:
        columns: places of `position`, `height`, `normal` and `color` among the features, where they are there: they
            change with the cloud.
        up_axis: 0, 1 or 2.
    """
    if config == CloudAugmentation():
        return None
    import tensorflow as tf

    def augment(batch, seed):
        seeds = [tf.random.experimental.stateless_fold_in(seed, number) for number in range(7)]
        positions, features = batch["positions"], batch["features"]
        count = tf.shape(positions)[0]
        matrix, scale = _linear_maps(config, up_axis, count, seeds)
        shift = tf.random.stateless_uniform((count, 1, 3), seeds[4], -config.shift, config.shift)
        positions = tf.matmul(positions, matrix, transpose_b=True) + shift
        if config.jitter:
            jitter = config.jitter * tf.random.stateless_normal(tf.shape(positions), seeds[5])
            if config.jitter_clip is not None:
                jitter = tf.clip_by_value(jitter, -config.jitter_clip, config.jitter_clip)
            positions += jitter
        changed = {}
        if "position" in columns:
            changed["position"] = positions
        if "height" in columns:
            changed["height"] = features[..., columns["height"]] * scale[:, None, up_axis, None]
        if "normal" in columns:
            # A plane's normals change by the inverse transpose: the rotation of the inverse scales.
            inverse = tf.linalg.inv(matrix)  # (B, 3, 3)
            changed["normal"] = tf.math.l2_normalize(tf.matmul(features[..., columns["normal"]], inverse), axis=-1)
        if "color" in columns:
            kept = tf.random.stateless_uniform((count, 1, 1), seeds[6]) >= config.color_drop
            changed["color"] = tf.where(kept, features[..., columns["color"]], 0.0)
        return {**batch, "positions": positions, "features": _with_columns(features, columns, changed)}

    return augment


def _linear_maps(config: CloudAugmentation, up_axis: int, count, seeds):
    """Matrices (B, 3, 3) of rotation, scale and mirroring together, and the scales (B, 3)."""
    import tensorflow as tf

    low, high = config.scale
    scale = tf.random.stateless_uniform((count, 3 if config.scale_each_axis else 1), seeds[0], low, high)
    scale = tf.broadcast_to(scale, (count, 3))
    signs = tf.ones((count, 3))
    if config.mirror:
        flipped = tf.random.stateless_uniform((count, 3), seeds[1]) < 0.5
        horizontal = tf.constant([axis != up_axis for axis in range(3)])
        signs = tf.where(tf.logical_and(flipped, horizontal), -1.0, 1.0)
    stretch = tf.linalg.diag(scale * signs)
    if config.rotation == "none":
        return stretch, scale
    if config.rotation == "vertical":
        angle = tf.random.stateless_uniform((count,), seeds[2], 0, 2 * math.pi)
        rotation = _about_axis(angle, up_axis)
    else:
        rotation = _any_rotation(tf.random.stateless_normal((count, 4), seeds[3]))
    return tf.matmul(rotation, stretch), scale


def _about_axis(angle, axis: int):
    """(B,) radians -> (B, 3, 3)."""
    import tensorflow as tf

    sine, cosine, zero, one = tf.sin(angle), tf.cos(angle), tf.zeros_like(angle), tf.ones_like(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    entries = [[zero] * 3 for _ in range(3)]
    entries[axis][axis] = one
    entries[first][first] = entries[second][second] = cosine
    entries[first][second], entries[second][first] = -sine, sine
    return tf.stack([tf.stack(row, axis=-1) for row in entries], axis=-2)


def _any_rotation(gaussians):
    """(B, 4) -> (B, 3, 3), uniform over all rotations: those of the normalised quaternions."""
    import tensorflow as tf

    w, x, y, z = tf.unstack(tf.math.l2_normalize(gaussians, axis=-1), axis=-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)


def _with_columns(features, columns: Mapping[str, slice], changed: Mapping[str, tf.Tensor]):
    """`features` (B, N, C) with some columns replaced."""
    import tensorflow as tf

    if not changed:
        return features
    ordered = sorted(columns.items(), key=lambda item: item[1].start)
    return tf.concat([changed.get(name, features[..., place]) for name, place in ordered], axis=-1)
