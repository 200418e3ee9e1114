"""Prototypes that took long to separate, kept in the user's cache folder under a hash of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np


def content_key(arguments: dict, *arrays: np.ndarray) -> str:
    """Hash of JSON-able arguments and of the bytes, shapes and dtypes of arrays."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def default_folder() -> Path:
    """`tfdlcv/prototypes` in the folder that the system names for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfdlcv" / "prototypes"


def load(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The float32 unit vectors (K, d) of a file; None if there is none, or it is damaged."""
    try:
        prototypes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if prototypes.shape != shape or prototypes.dtype != np.float32:
        return None
    norms = np.linalg.norm(prototypes.astype(np.float64), axis=1)
    return prototypes if np.allclose(norms, 1, rtol=0, atol=1e-6) else None


def save(path: Path, prototypes: np.ndarray):
    """Writes the file under another name and renames it, so that nobody reads half of it.

    A folder that cannot be written to costs a warning and no more: the prototypes are there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.save(file, prototypes)
        os.replace(file.name, path)
    except OSError as error:
        warnings.warn(f"prototypes cannot be cached in {path.parent}: {error.strerror}", stacklevel=3)
