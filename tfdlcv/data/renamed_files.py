"""Files and folders that are either whole or absent, whenever a program stops."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_then_renamed(path: Path) -> Iterator[Path]:
    """Another name, beside `path`, to write to; what is there gets the name `path` at the end.

    Of several processes that write the same path, each has a name of its own.
    """
    partial = _other_name(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def folder_then_renamed(path: Path) -> Iterator[Path]:
    """As `written_then_renamed`, with an empty folder to write into; `path` must not exist, or be an empty folder."""
    partial = _other_name(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _other_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
