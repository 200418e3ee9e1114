"""Damaged images, what they were restored to, and the truth, side by side.

Shape legend: images H x W, C channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfdlcv.visualization import tiles

_CROP = 128  # Pixels of a photograph that are shown: noise does not survive reduction.
_TILE = 256
_ERROR_GAIN = 5  # So that errors of 51 are white.


def draw_restorations(
    images: Sequence[np.ndarray],
    restored: Mapping[str, Sequence[np.ndarray]],
    truths: Sequence[np.ndarray | None] = (),
    *,
    titles: Sequence[str] = (),
) -> np.ndarray:
    """A row for each image: as it is given, and as each method restores it. Where the truth is known, also that, and
    the first method's absolute error, five times as bright. Of large images the middle is shown, 128 x 128 pixels.

    Args:
        images: N arrays (H, W, C), of 0..255.
        restored: by the method's name, N arrays of the images' shapes.
        truths: N arrays, or None where unknown; or none.
        titles: N texts, beside the rows.

    Returns:
        (H, W, 3) uint8.
    """
    for name, results in restored.items():
        if [result.shape for result in results] != [image.shape for image in images]:
            raise ValueError(f"restored[{name!r}] must be as many as images, and of the same shapes")
    truths = list(truths) or [None] * len(images)
    shows_truth = any(truth is not None for truth in truths)
    rows = []
    for index, image in enumerate(images):
        results = [each[index] for each in restored.values()]
        row = [_shown(each) for each in (image, *results)]
        if truths[index] is not None:
            difference = np.abs(results[0].astype(np.float32) - truths[index].astype(np.float32))
            row += [_shown(truths[index]), _shown(_ERROR_GAIN * difference.mean(axis=-1, keepdims=True))]
        rows.append(row)
    columns = ["image", *(name.replace("_", " ") for name in restored)]
    columns += ["truth", f"error x {_ERROR_GAIN}"] if shows_truth else []
    rows = [row + [None] * (len(columns) - len(row)) for row in rows]
    return tiles.draw_table(rows, row_titles=titles, column_titles=columns, tile_pixels=_TILE)


def _shown(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = max(height - _CROP, 0) // 2, max(width - _CROP, 0) // 2
    image = image[top : top + _CROP, left : left + _CROP]
    return np.round(np.clip(image.astype(np.float32), 0, 255)).astype(np.uint8)
