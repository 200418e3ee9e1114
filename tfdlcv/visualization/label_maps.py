"""Segmentations of images as pictures, and label maps as PNG files that show their classes' colours.

Shape legend: N images of H x W pixels, K classes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tfdlcv.data.dense_examples import VOID
from tfdlcv.visualization import pictures
from tfdlcv.visualization.legend import draw_legend
from tfdlcv.visualization.tiles import draw_table

_VOID_COLOR = (224, 224, 192)  # That of PASCAL VOC.
_OPACITY = 0.6  # Of the classes' colours: the image's edges still show.


Colors = Sequence[Sequence[int]] | np.ndarray  # K of them, each of three bytes.


def palette(colors: Colors) -> np.ndarray:
    """(256, 3) uint8: the colour of each label; black for those that are no class.

    Args:
        colors: K of red, green and blue, at most 255.
    """
    if not 1 <= len(colors) <= VOID:
        raise ValueError(f"colors ({len(colors)}) must be 1 to {VOID}: label maps hold bytes, and {VOID} is void")
    table = np.zeros((VOID + 1, 3), np.uint8)
    table[: len(colors)] = colors
    table[VOID] = _VOID_COLOR
    return table


def save_label_png(labels: np.ndarray, path: str | Path, colors: Colors) -> Path:
    """Writes labels (H, W), integers of 0..K-1 or 255, as an indexed PNG: its values are the labels, its palette shows
    their colours. The file is either whole or absent."""
    labels = np.asarray(labels)
    wrong = (labels < 0) | ((labels >= len(colors)) & (labels != VOID))
    if labels.ndim != 2 or wrong.any():
        found = f", label {int(labels[wrong][0])}" if wrong.any() else ""
        raise ValueError(
            f"labels must be (H, W) of 0..{len(colors) - 1} or {VOID}. Received: shape={labels.shape}{found}"
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(palette(colors).tobytes())  # Turns grey pixels into indices.
    image.save(unfinished, format="PNG")
    os.replace(unfinished, path)
    return path


def labels_over(image: np.ndarray, labels: np.ndarray, colors: Colors) -> np.ndarray:
    """Labels (H, W) in their colours, half transparent over the grey image (H, W, C) uint8; (H, W, 3) uint8."""
    colored = palette(colors)[np.asarray(labels)]
    return np.round(_OPACITY * colored + (1 - _OPACITY) * _grey(image)).astype(np.uint8)


def errors_over(image: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where labels (H, W) differ from the truth (H, W), in the colour of mistakes, over the paled grey image; pixels
    whose truth is void are hatched; (H, W, 3) uint8."""
    pale = 255 - (255 - _grey(image)) * 0.5
    picture = np.broadcast_to(pale, (*truth.shape, 3)).copy()
    rows, columns = np.indices(truth.shape)
    picture[(truth == VOID) & ((rows + columns) % 4 == 0)] = 0
    wrong = (truth != labels) & (truth != VOID)
    picture[wrong] = 0.8 * np.array(pictures.WRONG) + 0.2 * picture[wrong]
    return np.round(picture).astype(np.uint8)


def draw_segmentations(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    class_names: Sequence[str],
    colors: Colors,
    *,
    truths: Sequence[np.ndarray] | None = None,
    titles: Sequence[str] = (),
    tile_pixels: int = 220,
) -> np.ndarray:
    """Draws, for each image in a row: the image, the truth where it is known, the prediction, and its mistakes.

    Args:
        images: N arrays (H, W, C) uint8 with 1 or 3 channels; their sizes may differ.
        labels: N arrays (H, W) of integers, the predictions.
        class_names, colors: of the K classes, for the legend.
        truths: N arrays (H, W), where known; 255 is void.
        titles: N texts beside the rows, or none.
        tile_pixels: side of the square into which each picture is fitted.

    Returns:
        (H, W, 3) uint8.
    """
    if len(class_names) != len(colors):
        raise ValueError(f"class_names ({len(class_names)}) must be as many as colors ({len(colors)})")
    _check_sizes(images, labels, "labels")
    if truths is not None:
        _check_sizes(images, truths, "truths")
    rows = []
    for index, (image, predicted) in enumerate(zip(images, labels, strict=True)):
        row = [image]
        if truths is not None:
            row.append(labels_over(image, truths[index], colors))
        row.append(labels_over(image, predicted, colors))
        if truths is not None:
            row.append(errors_over(image, truths[index], predicted))
        rows.append(row)
    columns = ["image", "prediction"] if truths is None else ["image", "truth", "prediction", "mistakes"]
    table = draw_table(rows, row_titles=titles, column_titles=columns, tile_pixels=tile_pixels)
    names, shown = [*class_names], np.asarray(colors, np.uint8)
    if truths is not None:
        names, shown = [*names, "void", "mistake"], [*shown, _VOID_COLOR, pictures.WRONG]
    return np.concatenate([table, draw_legend(names, shown, table.shape[1])])


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(image, np.float32).mean(axis=-1, keepdims=True)  # (H, W, 1)


def _check_sizes(images, maps, name: str):
    if len(maps) != len(images):
        raise ValueError(f"{name} ({len(maps)}) must be as many as images ({len(images)})")
    for index, (image, each) in enumerate(zip(images, maps, strict=True)):
        if np.shape(image)[:2] != np.shape(each):
            raise ValueError(
                f"{name}[{index}] must have the size of its image. Received: {np.shape(each)} and {np.shape(image)}"
            )
