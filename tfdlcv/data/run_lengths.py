"""Masks as the run lengths of COCO's annotations.

A mask is read column by column; counts are the lengths of the runs of zeros and ones in turn, zeros first. pycocotools
reads them as they are; its own text form packs the same numbers.

Shape legend: masks H x W.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def encode(mask: np.ndarray) -> dict[str, Any]:
    """`size` [H, W] and `counts` of a mask (H, W) bool, for JSON."""
    pixels = np.asarray(mask, bool).ravel(order="F")
    starts = np.flatnonzero(np.diff(pixels, prepend=False))  # Of every run but the first, of zeros.
    counts = np.diff(starts, prepend=0, append=len(pixels))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def decode(run_lengths: dict[str, Any]) -> np.ndarray:
    """Mask (H, W) bool of `encode`'s result.

    Raises:
        ValueError: the counts do not add up to H times W.
    """
    height, width = run_lengths["size"]
    counts = run_lengths["counts"]
    if sum(counts) != height * width:
        raise ValueError(f"counts must add up to {height} x {width}. Received: counts of sum {sum(counts)}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(height, width, order="F")
