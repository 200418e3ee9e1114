"""TensorBoard's event files of a run that goes on from a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

_PATTERN = "events.out.tfevents.*"


def rewind(directory: str | Path, step: int) -> bool:
    """Takes out of the event files in `directory`, not in its subfolders, what was written after `step`.

    A run that was killed has written points beyond its last checkpoint. Resumed, it writes these steps again, and
    charts would show both. TensorBoard's own purging depends on which of its readers meets the file, and other readers
    have none, so the points are removed from the files. Step 0 starts anew, and removes everything.

    Returns:
        Whether any event is left.
    """
    left = False
    for path in sorted(Path(directory).glob(_PATTERN)):
        records, complete = _records(path)
        kept = [record for record in records if _is_kept(record, step)]
        # What is only a file's header is not worth a file.
        if step == 0 or not any(
            tf.compat.v1.Event.FromString(record).WhichOneof("what") != "file_version" for record in kept
        ):
            path.unlink()
            continue
        left = True
        if complete and len(kept) == len(records):
            continue
        unfinished = path.with_name(f".unfinished.{os.getpid()}")  # TensorBoard reads no file of such a name.
        with tf.io.TFRecordWriter(str(unfinished)) as writer:
            for record in kept:
                writer.write(record)
        os.replace(unfinished, path)
    return left


def _is_kept(record: bytes, step: int) -> bool:
    return tf.compat.v1.Event.FromString(record).step <= step


def _records(path: Path) -> tuple[list[bytes], bool]:
    """The records of a file, and whether they are all: a process that is killed may leave half a record at the end."""
    records = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            records.append(record)
    except tf.errors.DataLossError:
        return records, False
    return records, True
