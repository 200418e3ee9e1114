"""What is said of the pixels of image files of the user, as files: label maps or numbers, pictures, and tables.

Shape legend: images H x W, K classes.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfdlcv.data.dense_examples import VOID
from tfdlcv.data.mask_decoding import MaskFormat
from tfdlcv.errors import UserError
from tfdlcv.systems.clustering import AgglomerativeConfig, KMeansConfig, cluster, name_clusters

_SHOWN_PIXELS = 1024  # Longer side, about, of what a picture is made of; more would not be seen.
_TILE_PIXELS = (200, 480)  # Smallest and largest side of a part of the picture.


@dataclass(frozen=True)
class Segmentation:
    """What was found in an image.

    labels: (H, W) of integers below K.
    confidence: (H, W), where it is known: the probability of the label.
    class_names, palette: K names and colours.
    named: (H, W), the labels as classes of the data set; void where they are none.
    """

    labels: np.ndarray
    class_names: Sequence[str]
    palette: Sequence[Sequence[int]]
    named: np.ndarray
    confidence: np.ndarray | None = None


def segment_files(
    segment: Callable[[np.ndarray, np.ndarray | None], Segmentation],
    paths: Sequence[Path],
    directory: Path,
    *,
    facts: Mapping[str, Any],
    masks: MaskFormat,
    truth: Path | None,
    on_error: str,
) -> dict[str, Path]:
    """Writes labels/NAME.png, overlays/NAME.png and predictions.csv to `directory`, with `truth` also per_class.csv.

    Args:
        segment: image (H, W, 3) uint8, and truth (H, W) uint8 where it is known -> what is found.
        facts: `class_names` and `palette` of the data set.
        masks: how the true label maps are saved.
        truth: folder of the true label maps.
        on_error: `stop` raises for the first file that cannot be read or segmented; `skip` leaves such files out.
    """
    from tfdlcv.data.mask_decoding import check_usable, read_mask
    from tfdlcv.metrics import class_table, confusion_scores
    from tfdlcv.visualization.label_maps import save_label_png

    num_classes = len(facts["class_names"])
    matrix = np.zeros((num_classes, num_classes), np.int64)
    written: dict[str, Path] = {}

    def work(path: Path, name: str, image: np.ndarray) -> dict[str, Any]:
        mask = None
        if truth is not None:
            mask_path = truth / masks.file_name(path.stem)
            mask = read_mask(mask_path, masks.table)
            check_usable(mask, image.shape[:2], mask_name=str(mask_path), image_name=str(path))
        start = time.perf_counter()
        found = segment(image, mask)
        row: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 3)}
        if found.confidence is not None:
            row["mean_confidence"] = round(float(found.confidence.mean()), 4)
        if mask is not None:
            counted = _confusion(mask, found.named, num_classes)
            matrix[...] += counted
            row |= {key: round(value, 4) for key, value in confusion_scores(counted).items()}
        shares = np.bincount(found.labels.ravel(), minlength=len(found.class_names)) / found.labels.size
        shown = {key: float(share) for key, share in zip(found.class_names, shares, strict=True)}
        print(f"{path}: " + ", ".join(f"{key} {share:.1%}" for key, share in shown.items() if share))
        written[f"{name} labels"] = save_label_png(found.labels, directory / "labels" / f"{name}.png", found.palette)
        written[f"{name} picture"] = _save_overlay(image, found, mask, facts, directory / "overlays" / f"{name}.png")
        return row | {f"share of {key}": round(share, 4) for key, share in shown.items()}

    rows = _each_file(paths, on_error, work)
    written["predictions.csv"] = _write_table(rows, directory / "predictions.csv")
    if truth is not None:
        written["per_class.csv"] = _write_table(_per_class(matrix, facts["class_names"]), directory / "per_class.csv")
        print(class_table(matrix, facts["class_names"]))
    return written


def measure_files(
    values_of: Callable[[np.ndarray], np.ndarray],
    paths: Sequence[Path],
    directory: Path,
    *,
    target: Mapping[str, Any],
    truth: Path | None,
    on_error: str,
) -> dict[str, Path]:
    """Writes values/NAME.npy, overlays/NAME.png and predictions.csv to `directory`.

    Args:
        values_of: image (H, W, 3) uint8 -> (H, W, C) float32.
        target: `name`, depth or normals, and `channels`, C.
        truth: folder of the true numbers, of the images' names with .npy, (H, W) or (H, W, C), NaN where unknown.
        on_error: as of `segment_files`.
    """
    from tfdlcv.visualization.value_maps import error_map

    kind = target["name"]
    written: dict[str, Path] = {}

    def work(path: Path, name: str, image: np.ndarray) -> dict[str, Any]:
        known = None if truth is None else _read_values(truth / f"{path.stem}.npy", image, target["channels"])
        values = values_of(image)
        row = {}
        if kind == "depth":
            row = {"nearest": round(float(values.min()), 4), "farthest": round(float(values.max()), 4)}
        if known is not None:
            errors = error_map(values, known, kind)
            errors = errors[np.isfinite(errors)]
            score = np.sqrt((errors**2).mean()) if kind == "depth" else errors.mean()
            row["rmse" if kind == "depth" else "angle_degrees"] = round(float(score), 4)
        print(f"{path}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
        written[f"{name} values"] = directory / "values" / f"{name}.npy"
        written[f"{name} values"].parent.mkdir(parents=True, exist_ok=True)
        np.save(written[f"{name} values"], values)
        picture_file = directory / "overlays" / f"{name}.png"
        written[f"{name} picture"] = _save_value_picture(image, values, known, kind, picture_file)
        return row

    rows = _each_file(paths, on_error, work)
    written["predictions.csv"] = _write_table(rows, directory / "predictions.csv")
    return written


def cluster_files(
    config: KMeansConfig | AgglomerativeConfig,
    paths: Sequence[Path],
    directory: Path,
    *,
    facts: Mapping[str, Any],
    masks: MaskFormat,
    truth: Path | None,
    on_error: str,
) -> dict[str, Path]:
    """As `segment_files`, with clusters of pixels. Where the truth is known, it names them."""
    from tfdlcv.visualization.legend import class_colors

    def segment(image: np.ndarray, mask: np.ndarray | None) -> Segmentation:
        clusters = cluster(image, config)
        count = int(clusters.max()) + 1
        names = [f"cluster {index}" for index in range(count)]
        named = clusters if mask is None else name_clusters(clusters, mask, len(facts["class_names"]))[clusters]
        return Segmentation(clusters, names, class_colors(count), named)

    return segment_files(segment, paths, directory, facts=facts, masks=masks, truth=truth, on_error=on_error)


def _confusion(truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels (K, K) of each true class (rows) and label (columns), of (H, W) both; what is void in one is left out."""
    known = (truth != VOID) & (labels != VOID)
    places = truth[known].astype(np.int64) * num_classes + labels[known]
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def _per_class(matrix: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each class; NaN where it is nowhere."""
    from tfdlcv.metrics import per_class_accuracy, per_class_iou

    columns = {"accuracy": per_class_accuracy(matrix), "precision": per_class_accuracy(matrix.T)}
    columns = {name: np.asarray(values) for name, values in {**columns, "iou": per_class_iou(matrix)}.items()}
    return [
        {"class": name, "pixels": int(matrix[k].sum())}
        | {key: round(float(values[k]), 4) for key, values in columns.items()}
        for k, name in enumerate(class_names)
    ]


def _each_file(
    paths: Sequence[Path], on_error: str, work: Callable[[Path, str, np.ndarray], dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each image file: path, name of its results, size, and what `work` makes of path, name and image."""
    from tfdlcv.data.images import read_image_file
    from tfdlcv.systems.image_predictions import find_images, names_of_results

    files = find_images(paths)
    rows = []
    for path, name in zip(files, names_of_results(files), strict=True):
        try:
            image = read_image_file(path)
        except UserError as error:  # It names the file.
            fault = error
        else:
            try:
                row = work(path, name, image)
                size = {"height": image.shape[0], "width": image.shape[1]}
                rows.append({"file": str(path), "name": name} | size | row)
                continue
            except UserError as error:
                fault = UserError(f"{path}: {error}")
        if on_error == "stop":
            raise fault
        print(f"Skipped: {fault}")
    if not rows:
        raise UserError("there is no image to predict")
    return rows


def _save_overlay(image, found: Segmentation, mask, facts: Mapping[str, Any], path: Path) -> Path:
    from tfdlcv.visualization.label_maps import draw_segmentations
    from tfdlcv.visualization.pictures import save_png

    labels, names, palette = found.labels, found.class_names, found.palette
    if mask is not None:
        labels, names, palette = found.named, facts["class_names"], facts["palette"]
    seen = _shown_part(image)
    truths = None if mask is None else [mask[seen]]
    picture = draw_segmentations(
        [image[seen]], [labels[seen]], names, palette, truths=truths, tile_pixels=_tile_pixels(image)
    )
    return save_png(picture, path)


def _save_value_picture(image, values, known, kind: str, path: Path) -> Path:
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.value_maps import draw_value_maps

    seen = _shown_part(image)
    truths = None if known is None else [known[seen]]
    picture = draw_value_maps([image[seen]], [values[seen]], kind, truths=truths, tile_pixels=_tile_pixels(image))
    return save_png(picture, path)


def _shown_part(image: np.ndarray) -> tuple[slice, slice]:
    step = -(-max(image.shape[:2]) // _SHOWN_PIXELS)
    return slice(None, None, step), slice(None, None, step)


def _tile_pixels(image: np.ndarray) -> int:
    return int(np.clip(max(image.shape[:2]), *_TILE_PIXELS))


def _read_values(path: Path, image: np.ndarray, channels: int) -> np.ndarray:
    try:
        values = np.load(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    values = values[..., None] if values.ndim == 2 else values
    if values.shape != (*image.shape[:2], channels):
        raise UserError(f"{path} must be {(*image.shape[:2], channels)} as its image. Received: shape={values.shape}")
    return values


def _write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))  # Images may have different clusters.
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
