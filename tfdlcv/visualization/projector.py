"""Embeddings for TensorBoard's projector: their coordinates, what is known of each, and its picture.

Shape legend: N embeddings, d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.plugins import projector

from tfdlcv.visualization.pictures import save_png

_TILE = 32  # Pixels of an image in the sprite.
_LARGEST_SPRITE = 8192  # Pixels of a side that a browser takes.


def write_projector(
    directory: str | Path,
    embeddings: np.ndarray,
    columns: Mapping[str, Sequence],
    images: Sequence[np.ndarray] = (),
    *,
    name: str = "embeddings",
):
    """Writes the files of one set of embeddings beside the event files of `directory`; an earlier one is replaced.

    Args:
        directory: a folder that TensorBoard shows as a run.
        embeddings: (N, d).
        columns: by title, N texts or numbers for the points of the projector to show and to be coloured by.
        images: N arrays (H, W, C) uint8 with 1 or 3 channels, all of one shape; or none.
        name: of the set.
    """
    embeddings = np.asarray(embeddings)
    for title, values in columns.items():
        if len(values) != len(embeddings):
            raise ValueError(
                f"column {title!r} ({len(values)} values) must be as long as embeddings ({len(embeddings)})"
            )
    if len(images) not in (0, len(embeddings)):
        raise ValueError(f"images ({len(images)}) must be as many as embeddings ({len(embeddings)}), or none")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = name
    embedding.tensor_path = f"{name}.tsv"
    lines = ["\t".join(f"{value:.6g}" for value in row) for row in embeddings]
    (directory / embedding.tensor_path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if columns:
        embedding.metadata_path = f"{name}_metadata.tsv"
        rows = zip(*[[str(value) for value in values] for values in columns.values()], strict=True)
        lines = ["\t".join(row) for row in rows]
        if len(columns) > 1:  # Of a single column, the projector takes a title for a value.
            lines.insert(0, "\t".join(columns))
        (directory / embedding.metadata_path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if len(images):
        embedding.sprite.image_path = f"{name}_sprite.png"
        embedding.sprite.single_image_dim.extend([_TILE, _TILE])
        save_png(_sprite(images), directory / embedding.sprite.image_path)
    projector.visualize_embeddings(str(directory), config)


def _sprite(images: Sequence[np.ndarray]) -> np.ndarray:
    """All images in one picture, row by row; a square, as the projector counts on."""
    columns = int(np.ceil(np.sqrt(len(images))))
    if columns * _TILE > _LARGEST_SPRITE:
        raise ValueError(f"images ({len(images)}) must be at most {(_LARGEST_SPRITE // _TILE) ** 2}")
    sprite = np.full((columns * _TILE, columns * _TILE, 3), 255, np.uint8)
    for index, image in enumerate(images):
        rgb = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        top, left = index // columns * _TILE, index % columns * _TILE
        sprite[top : top + _TILE, left : left + _TILE] = np.asarray(rgb.resize((_TILE, _TILE)))
    return sprite
