"""Restoring image files of the user: PNG files, a table, and a picture of noisy, restored and true images.

Where a file lies in a folder called `noisy`, and one of its name in a folder `clean` beside that, the latter is taken
for the truth: `holiday/noisy/1.png` and `holiday/clean/1.png`.

Shape legend: images H x W, C channels.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdlcv.errors import UserError

Restorer = Callable[[np.ndarray], np.ndarray]  # Image (H, W, C) uint8 -> restored (H, W, C), of 0..255.
_MOST_PICTURES = 20  # On the contact sheet, so that it stays readable; the table has every file.
_COLUMNS = ("file", "method", "restored", "psnr", "ssim", "psnr_before", "ssim_before")


def restore_files(
    restorers: Mapping[str, Restorer],
    paths: Sequence[Path],
    directory: Path,
    *,
    image_shape: tuple[int | None, int | None, int],
    on_error: str,
) -> dict[str, Path]:
    """Restores each file by each method. Returns the paths of what was written.

    Args:
        restorers: by the method's name, which is the folder inside `directory` of its PNG files.
        paths: image files, and folders of them.
        image_shape: H, W and C that the methods take; None for any.
        on_error: `stop` raises for the first file that cannot be restored; `skip` leaves such files out.

    Raises:
        UserError: a file is no image, in colour where C is 1, of another size than H x W, or of another than its truth.
    """
    from tfdlcv.systems.image_predictions import find_images, names_of_results

    found, faults = find_images(paths), []
    rows, shown = [], []
    for path, name in zip(found, names_of_results(found), strict=True):
        try:
            image = read_image(path, image_shape)
            truth = _read_truth(path, image.shape)
        except UserError as error:
            if on_error == "stop":
                raise
            faults.append(str(error))
            continue
        results = {method: as_pixels(restore(image)) for method, restore in restorers.items()}
        for method, restored in results.items():
            target = directory / method / f"{name}.png"
            _save(restored, target)
            rows.append(
                {"file": str(path), "method": method, "restored": str(target), **_scores(image, restored, truth)}
            )
            print(_line(rows[-1]))
        if len(shown) < _MOST_PICTURES:
            shown.append((path.name, image, results, truth))
    for fault in faults:
        print(f"Skipped: {fault}")
    if faults:
        print(f"{len(faults)} of {len(found)} files were skipped")
    if not rows:
        raise UserError("there is no image to restore")
    return _write(rows, shown, directory)


def read_image(path: Path, image_shape: tuple[int | None, int | None, int]) -> np.ndarray:
    """The image (H, W, C) uint8 of a file, as it is stored; raises as `restore_files`."""
    from tfdlcv.data.images import read_image_file

    height, width, channels = image_shape
    image = read_image_file(path)
    if height is not None and image.shape[:2] != (height, width):
        raise UserError(
            f"{path} has {image.shape[0]} x {image.shape[1]} pixels; this network restores images of {height} x {width}"
        )
    if channels == 1 and (image != image[..., :1]).any():
        raise UserError(f"{path} is in colour; this network restores grey images (data.channels: 1)")
    return image[..., :channels]


def as_pixels(image: np.ndarray) -> np.ndarray:
    """Values of about 0..255 as uint8, rounded."""
    return np.round(np.clip(np.asarray(image, np.float32), 0, 255)).astype(np.uint8)


def scores(truth: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """`psnr` in decibels and `ssim` of an image (H, W, C); without `ssim` where it is smaller than that looks at."""
    from tfdlcv.metrics import peak_signal_to_noise_ratio, structural_similarity
    from tfdlcv.metrics.restoration import SSIM_WINDOW

    pair = truth[None].astype(np.float32), image[None].astype(np.float32)
    found = {"psnr": float(np.asarray(peak_signal_to_noise_ratio(*pair))[0])}
    if min(image.shape[:2]) >= SSIM_WINDOW:
        found["ssim"] = float(np.asarray(structural_similarity(*pair))[0])
    return found


def _scores(image: np.ndarray, restored: np.ndarray, truth: np.ndarray | None) -> dict[str, float]:
    if truth is None:
        return {}
    return scores(truth, restored) | {f"{name}_before": value for name, value in scores(truth, image).items()}


def _read_truth(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    folder = path.absolute().parent
    truth_path = folder.parent / "clean" / path.name
    if folder.name != "noisy" or not truth_path.is_file():
        return None
    truth = read_image(truth_path, (None, None, shape[-1]))
    if truth.shape != shape:
        raise UserError(
            f"{path} ({shape[0]} x {shape[1]}) and {truth_path} ({truth.shape[0]} x {truth.shape[1]}) "
            "must be of one size"
        )
    return truth


def _save(image: np.ndarray, path: Path):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, format="PNG")


def _line(row: Mapping[str, Any]) -> str:
    known = f": {row['psnr_before']:.2f} dB before, {row['psnr']:.2f} dB restored" if "psnr" in row else ""
    return f"{row['file']}, {row['method']}{known}"


def _write(rows: Sequence[Mapping[str, Any]], shown: Sequence[tuple], directory: Path) -> dict[str, Path]:
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.restorations import draw_restorations

    written = {name: directory / name for name in ("predictions.csv", "predictions.json", "contact_sheet.png")}
    with open(written["predictions.csv"], "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = json.dumps({"predictions": list(rows)}, indent=2, ensure_ascii=False)
    written["predictions.json"].write_text(text + "\n", encoding="utf-8")
    names, images, results, truths = zip(*shown, strict=True)
    sheet = draw_restorations(
        images, {method: [each[method] for each in results] for method in results[0]}, truths, titles=names
    )
    save_png(sheet, written["contact_sheet.png"])
    return written
