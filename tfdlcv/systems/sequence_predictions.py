"""Predictions for sequences in files of the user: one file, one sequence."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdlcv.errors import UserError


def read_sequence(path: Path, *, steps: int | None, channels: int) -> np.ndarray:
    """A sequence (T, C) float32 from a .npy or .csv file, a row for each step.

    Raises:
        UserError: no such file, another kind of file, no numbers, or another shape.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name its .npy or .csv files")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".csv":
            values = np.loadtxt(path, delimiter=",", ndmin=2)
        else:
            raise UserError(f"{path} must be a .npy or .csv file")
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if values.dtype.kind not in "biuf":
        raise UserError(f"{path} must hold numbers, but holds {values.dtype}")
    if values.ndim != 2 or values.shape[1] != channels or len(values) < 1 or (steps and len(values) != steps):
        wanted = f"({steps or 'at least 1 step'}, {channels})"
        raise UserError(f"{path} must hold a sequence of {wanted}, but holds {values.shape}")
    if not np.isfinite(values).all():
        raise UserError(f"{path}: row {int(np.argmin(np.isfinite(values).all(axis=1)))} has a value that is not finite")
    return values.astype(np.float32)


def predict_sequences(
    serve: Callable, paths: Sequence[Path], directory: Path, on_error: str, *, steps: int | None, channels: int
) -> dict[str, Path]:
    """Runs `serve(sequence=(1, T, C))` on each file and writes its outputs to `directory`/predictions.json."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            sequence = read_sequence(path, steps=steps, channels=channels)
        except UserError as error:
            if on_error == "stop":
                raise
            print(f"Skipped: {error}")
            continue
        outputs = serve(sequence=sequence[None])
        rows.append({"file": str(path), **{name: value.numpy()[0].tolist() for name, value in outputs.items()}})
    if not rows:
        raise UserError("there is no sequence to predict")
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "predictions.json"
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return {"predictions": target}
