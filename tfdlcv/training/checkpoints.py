"""Checkpoints: one file each, whole or absent, readable without TensorFlow.

A checkpoint is an uncompressed .npz archive of every variable of `Task.state()` by name, and the member `__meta__`,
JSON with where the run stands. It is written under a temporary name, flushed to the disk, and renamed, so that a file
with a final name is complete unless the disk damaged it; the archive's checksums then show it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfdlcv.errors import UserError

_META = "__meta__"
_NAME = re.compile(r"step_(\d{10})\.npz")


class DamagedCheckpointError(Exception):
    """A checkpoint file is cut short or altered."""


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run stands.

    step: global steps done. step_in_epoch: those of the unfinished epoch; 0 at an epoch's end.
    history: one row for each finished epoch, the columns of history.csv.
    best: the row's value of the monitored column, and its epoch, so far.
    """

    step: int
    epoch: int
    step_in_epoch: int = 0
    history: tuple[dict[str, float], ...] = ()
    best_value: float | None = None
    best_epoch: int | None = None


def checkpoint_path(directory: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return directory / f"step_{step:010d}.npz"


def save(path: Path, arrays: Mapping[str, np.ndarray], position: Position):
    """Writes `path` so that it is either complete or not there."""
    meta = np.frombuffer(json.dumps(dataclasses.asdict(position)).encode(), np.uint8)
    with atomic_file(path) as file:
        np.savez(file, **{_META: meta}, **arrays)


def load(path: Path) -> tuple[dict[str, np.ndarray], Position]:
    """Reads a checkpoint whole. Raises DamagedCheckpointError if a part is missing or fails its checksum."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop(_META).tobytes())
        meta["history"] = tuple(meta["history"])
        return arrays, Position(**meta)
    # A byte that is changed in the archive's directory may claim a compression or an encryption that zipfile lacks:
    # NotImplementedError, RuntimeError.
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, TypeError, RuntimeError) as error:
        raise DamagedCheckpointError(f"{path}: {error}") from error


def load_latest(directory: Path, report=print) -> tuple[Path, dict[str, np.ndarray], Position] | None:
    """The newest readable checkpoint; each damaged one is named by `report` and passed over."""
    for path in reversed(list_checkpoints(directory)):
        try:
            return path, *load(path)
        except DamagedCheckpointError as error:
            report(f"Damaged checkpoint passed over: {error}")
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """Step checkpoints, oldest first."""
    return sorted(path for path in directory.glob("step_*.npz") if _NAME.fullmatch(path.name))


def prune(directory: Path, keep_last: int, *, step: int):
    """Removes all but the newest step checkpoints up to `step`, and what an interrupted write left.

    Checkpoints beyond `step`, where the run stands, are damaged ones that it passed over when it resumed. Counted among
    the newest, they would push out the good ones.
    """
    saved = list_checkpoints(directory)
    passed_over = [path for path in saved if path.name > checkpoint_path(directory, step).name]
    for path in passed_over + saved[: len(saved) - len(passed_over)][:-keep_last]:
        path.unlink()
    for path in directory.glob("*.tmp"):
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path):
    """Copies a checkpoint so that `target` is either complete or as it was."""
    with open(source, "rb") as read, atomic_file(target) as write:
        shutil.copyfileobj(read, write)


def assign(variables: Mapping[str, object], arrays: Mapping[str, np.ndarray], source: Path):
    """Assigns arrays to the variables of the same names; every one must be there, in its shape."""
    missing = sorted(set(variables) - set(arrays))
    unknown = sorted(set(arrays) - set(variables))
    if missing or unknown:
        raise UserError(
            f"{source} does not fit the network and optimizer of this config. Missing in the file: "
            f"{missing[:3] or 'nothing'}. Unknown to the config: {unknown[:3] or 'nothing'}."
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(
                f"{source}: {name} has shape {arrays[name].shape}, but the network of this config needs "
                f"{tuple(variable.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "wb"):
    """Opens a temporary file beside `path` and renames it to `path` once it is written and flushed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
