"""Predictions for image files of the user: found, classified in batches, written as tables and a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.training.export import Serving

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})
_BATCH = 64  # Files at a time: enough to keep the cores busy, little enough for large photographs.
_MOST_PICTURES = 100  # On the contact sheet, so that it stays readable; the tables have every file.


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the image files in the folders among them, sorted."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _is_image_file(p))
            if not inside:
                raise UserError(f"{path} holds no image files ({', '.join(sorted(IMAGE_SUFFIXES))})")
            found += inside
        else:
            found.append(path)
    return found


def names_of_results(paths: Sequence[Path]) -> Iterator[str]:
    """For each file the name of what is made of it, without an ending; equal ones get numbers."""
    taken: set[str] = set()
    for path in paths:
        name, number = path.stem, 1
        while name in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(name)
        yield name


def _is_image_file(path: Path) -> bool:
    """Hidden files, such as the `._photo.jpg` that macOS leaves on other disks, are left alone, as in training."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def classify_files(
    serving: Serving, paths: Sequence[Path], image_shape: Sequence[int], decode: dict[str, Any], on_error: str
) -> list[dict[str, Any]]:
    """A row for each readable file: `file`, `class_id`, `label`, `probability`, `probabilities`, and `image` (H, W, C),
    None behind the first `_MOST_PICTURES`.

    Args:
        serving: Its signature `serving_default` takes `image_bytes`.
        decode: keyword arguments of `read_image_file`, those of training.
        on_error: `stop` raises for the first file that is no image; `skip` leaves such files out and says how many.
    """
    import tensorflow as tf

    readable, images = read_images(paths, image_shape, decode, on_error, most=_MOST_PICTURES)
    rows = []
    classify = serving.signatures["serving_default"]
    for start in range(0, len(readable), _BATCH):
        batch = readable[start : start + _BATCH]
        outputs = classify(tf.constant([path.read_bytes() for path in batch]))
        probabilities = outputs["probabilities"].numpy()
        for index, path in enumerate(batch):
            class_id = int(outputs["class_id"][index])
            rows.append(
                {
                    "file": str(path),
                    "class_id": class_id,
                    "label": serving.labels[class_id] if serving.labels else str(class_id),
                    "probability": float(probabilities[index, class_id]),
                    "probabilities": [float(p) for p in probabilities[index]],
                    "image": images[start + index],
                }
            )
    return rows


def read_images(
    paths: Sequence[Path],
    image_shape: Sequence[int],
    decode: dict[str, Any],
    on_error: str,
    *,
    most: int | None = None,
) -> tuple[list[Path], list[Any]]:
    """The paths of the readable files, and their images (H, W, C) uint8; arguments are those of `classify_files`.

    With `most`, all files are checked and as many images are kept; None stands for the others.
    """
    from tfdlcv.data.images import read_image_file

    readable, images, faults = [], [], []
    for path in paths:
        try:
            image = read_image_file(path, tuple(image_shape), **decode)
            images.append(image if most is None or len(images) < most else None)
            readable.append(path)
        except UserError as error:
            if on_error == "stop":
                raise
            faults.append(str(error))
    for fault in faults:
        print(f"Skipped: {fault}")
    if faults:
        print(f"{len(faults)} of {len(paths)} files were skipped")
    if not readable:
        raise UserError("there is no image to predict")

    return readable, images


def write_predictions(rows: Sequence[dict[str, Any]], class_names: Sequence[str], directory: Path) -> dict[str, Path]:
    """Writes predictions.csv, predictions.json and contact_sheet.png; returns their paths."""
    import numpy as np

    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.predictions import draw_predictions

    directory.mkdir(parents=True, exist_ok=True)
    names = ("predictions.csv", "predictions.json", "contact_sheet.png")
    paths = {name: directory / name for name in names}
    columns = ("file", "class_id", "label", "probability")
    with open(paths["predictions.csv"], "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = {
        "class_names": list(class_names),
        "predictions": [{name: row[name] for name in (*columns, "probabilities")} for row in rows],
    }
    paths["predictions.json"].write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shown = rows[:_MOST_PICTURES]
    sheet = draw_predictions(
        [row["image"] for row in shown],
        np.array([row["probabilities"] for row in shown]),
        class_names,
        image_names=[Path(row["file"]).name for row in shown],
    )
    save_png(sheet, paths["contact_sheet.png"])
    return paths
