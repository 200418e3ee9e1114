"""The folder of a run: what lies where, whom it belongs to, and how far it is."""

from __future__ import annotations

import csv
import fcntl
import io
import json
from collections.abc import Sequence
from pathlib import Path

from tfdlcv.errors import UserError
from tfdlcv.training import checkpoints


class RunFolder:
    """Paths and small files of one run.

    config.yaml, dataset.json, checkpoints/, tensorboard/, history.csv, metrics.json, export/<version>/
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.facts = self.path / "dataset.json"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.npz"
        self.tensorboard = self.path / "tensorboard"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.export = self.path / "export"
        self.predictions = self.path / "predictions"
        self._lock = None

    def require(self):
        """Raises if this is not the folder of a run that has trained."""
        if not self.config.is_file():
            raise UserError(f"{self.path} is not a run folder: it has no config.yaml")

    def lock(self):
        """Takes the folder for this process until it ends, so that two runs never write into one folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / ".lock", "w")  # noqa: SIM115 - held open, and so locked, until `unlock`.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise UserError(f"another process is training in {self.path}") from None

    def unlock(self):
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_json(self, path: Path, content):
        with checkpoints.atomic_file(path) as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())

    def write_history(self, rows: Sequence[dict[str, float]]):
        """history.csv: a row for each finished epoch."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with checkpoints.atomic_file(self.history) as file:
            file.write(text.getvalue().encode())

    def is_finished(self) -> bool:
        return self.metrics.is_file()
