"""Losses of numbers for each pixel, of which some are unknown: depth and surface normals.

Shape legend: B images of H x W pixels, C channels.
"""

from __future__ import annotations

from keras import ops

from tfdlcv.losses.reduction import batch_mean


def known_pixels(targets, valid=None):
    """(B, H, W) bool: where all channels of `targets` (B, H, W, C) are finite, in the images that `valid` (B,) marks.

    Unknown values are NaN.
    """
    known = ops.all(ops.isfinite(targets), axis=-1)
    if valid is not None:
        known = ops.logical_and(known, ops.cast(valid, "bool")[:, None, None])
    return known


def known_values(targets):
    """`targets` with zeros where they are unknown, so that no NaN enters gradients."""
    return ops.where(ops.isfinite(targets), targets, ops.zeros_like(targets))


def masked_absolute_error(values, targets, *, valid=None):
    """Mean absolute difference over the channels and the known pixels, () float32; 0 where nothing is known.

    Args:
        values: (B, H, W, C) float.
        targets: (B, H, W, C) float, NaN where unknown.
        valid: (B,) bool; False marks padding.
    """
    difference = ops.abs(ops.cast(values, "float32") - known_values(targets))
    return _mean(ops.mean(difference, axis=-1), targets, valid)


def masked_huber(values, targets, *, delta: float = 1.0, valid=None):
    """As `masked_absolute_error`, with d^2 / (2 delta) for differences d below delta, and |d| - delta / 2 above."""
    if delta <= 0:
        raise ValueError(f"delta must be above 0. Received: delta={delta}")
    difference = ops.abs(ops.cast(values, "float32") - known_values(targets))
    small = ops.minimum(difference, delta)
    return _mean(ops.mean(small * small / (2 * delta) + difference - small, axis=-1), targets, valid)


def masked_cosine_distance(values, targets, *, valid=None):
    """Mean of 1 - cosine of the angle between vectors, over the known pixels, () float32; 0 where nothing is known.

    Args:
        values: (B, H, W, C) float, of length 1.
        targets: (B, H, W, C) float, of length 1, NaN where unknown.
        valid: (B,) bool; False marks padding.
    """
    cosines = ops.sum(ops.cast(values, "float32") * known_values(targets), axis=-1)
    return _mean(1.0 - cosines, targets, valid)


def _mean(values, targets, valid):
    return batch_mean(ops.reshape(values, (-1,)), ops.reshape(known_pixels(targets, valid), (-1,)))
