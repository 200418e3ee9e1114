"""Decoding all files of a data set once, before the first step: to find the unreadable ones and to fill a cache.

A run that stops at a damaged file after hours is worse than a minute's wait at its start. What was found is kept in
the cache folder, under a key of all paths, sizes and times of change, so that the next run on the same files starts at
once.

Shape legend: N files, images H x W with C channels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdlcv.data import images
from tfdlcv.data.renamed_files import written_then_renamed
from tfdlcv.errors import UserError

_LOGGER = logging.getLogger(__name__)
_FORMAT = 1  # Grows when the decoder or what is stored changes, so that older stores are not used.
_GROUP = 64  # Files handed to a thread at a time; one by one, a million files would be a million objects.
_PROGRESS_FROM = 1000  # Fewer files are done before one could read a progress bar.


def default_cache_folder() -> Path:
    """`tfdlcv` in the folder that the system names for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfdlcv"


def content_key(paths: Sequence[str], **facts: Any) -> str:
    """A name for the content of files, as far as their sizes and times of change tell, and for `facts`."""
    digest = hashlib.blake2b(json.dumps([_FORMAT, facts], sort_keys=True).encode(), digest_size=16)
    for path in paths:
        try:
            status = os.stat(path)
            facts_of_file = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0"
        except OSError:  # A link to nowhere, say: reading it tells the fault.
            facts_of_file = f"{path}\0"
        digest.update(facts_of_file.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def find_unreadable(paths: Sequence[str], cache_folder: Path) -> dict[int, str]:
    """Index -> what is wrong with it, for every file that cannot be decoded."""
    known = cache_folder / f"{content_key(paths, kind='faults')}.faults.json"
    faults = _stored_faults(known)
    if faults is None:
        faults = decode_all(paths, images.decode_at_full_size, lambda index, image: None, "checking image files")
        _store_faults(known, faults)
    return faults


def in_memory(
    paths: Sequence[str], decode: images.Decoder, image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, dict[int, str]]:
    """Images (N, H, W, C) uint8 and what is wrong with the unreadable files, whose rows are black."""
    num_bytes = len(paths) * int(np.prod(image_shape))
    _LOGGER.info("caching %s images in %s of memory", f"{len(paths):,}", _gigabytes(num_bytes))
    try:
        array = np.zeros((len(paths), *image_shape), np.uint8)
    except MemoryError:
        raise UserError(
            f"data.cache: memory needs {_gigabytes(num_bytes)} for {len(paths):,} images of {image_shape}, which this "
            "machine has not; use data.cache: disk, or none"
        ) from None
    return array, decode_all(paths, decode, array.__setitem__, "decoding image files")


def on_disk(
    paths: Sequence[str],
    decode: images.Decoder,
    image_shape: tuple[int, int, int],
    cache_folder: Path,
    **facts: Any,
) -> tuple[np.ndarray, dict[int, str]]:
    """As `in_memory`, in a memory-mapped .npy file of `cache_folder` that later runs on the same files use again.

    The file is written under another name and renamed when it is whole, so a run that stops half-way leaves none, and
    several processes may write it at the same time.

    Args:
        facts: all that decides how `decode` prepares an image.
    """
    stem = content_key(paths, kind="images", image_shape=image_shape, **facts)
    array_path, faults_path = cache_folder / f"{stem}.npy", cache_folder / f"{stem}.faults.json"
    faults = _stored_faults(faults_path)
    if faults is None or not array_path.is_file():
        num_bytes = len(paths) * int(np.prod(image_shape))
        _LOGGER.info("caching %s images in %s on disk: %s", f"{len(paths):,}", _gigabytes(num_bytes), array_path)
        try:
            cache_folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(cache_folder).free
            if free < num_bytes:
                raise UserError(
                    f"data.cache: disk needs {_gigabytes(num_bytes)} in {cache_folder}, where {_gigabytes(free)} are "
                    "free; name another folder in data.cache_folder"
                )
            with written_then_renamed(array_path) as partial:
                shape = (len(paths), *image_shape)
                array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
                faults = decode_all(paths, decode, array.__setitem__, "decoding image files")
                array.flush()
        except OSError as error:
            raise UserError(
                f"data.cache: disk cannot write to {cache_folder}: {error.strerror}; name another folder in "
                "data.cache_folder"
            ) from error
        _store_faults(faults_path, faults)
    return np.load(array_path, mmap_mode="r"), faults


def decode_all(
    paths: Sequence[str], decode: images.Decoder, store: Callable[[int, np.ndarray], None], what: str
) -> dict[int, str]:
    """Decodes every file on all cores, gives each image to `store(index, image)`, and returns the faults by index."""
    import keras

    graph_decode = _graph(decode)

    def fault_of(index: int) -> str | None:
        try:
            content = Path(paths[index]).read_bytes()
            fault = images.unsupported(content)
            if fault is None:
                store(index, graph_decode(tf.constant(content)).numpy())
            return fault
        except OSError as error:
            return error.strerror or str(error)
        except tf.errors.InvalidArgumentError as error:
            return images.readable_message(error)

    def faults_of(group: range) -> dict[int, str]:
        faults = {index: fault_of(index) for index in group}
        return {index: fault for index, fault in faults.items() if fault is not None}

    groups = [range(first, min(first + _GROUP, len(paths))) for first in range(0, len(paths), _GROUP)]
    progress = None
    if len(paths) >= _PROGRESS_FROM:
        _LOGGER.info("%s: %s", what, f"{len(paths):,}")
        progress = keras.utils.Progbar(len(paths), unit_name="file")
    faults = {}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for group, faults_of_group in zip(groups, pool.map(faults_of, groups), strict=True):
            faults.update(faults_of_group)
            if progress is not None:
                progress.update(group.stop)
    finally:
        pool.shutdown(cancel_futures=True)  # An interrupt must not wait for the files that are left.
    return faults


@lru_cache(maxsize=4)
def _graph(decode: images.Decoder) -> Callable[[tf.Tensor], tf.Tensor]:
    """`decode` as a graph; tracing it takes longer than decoding a hundred files."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def graph_decode(encoded):
        with tf.device("CPU:0"):
            return decode(encoded)

    return graph_decode


def _stored_faults(path: Path) -> dict[int, str] | None:
    """What an earlier run stored, or None."""
    try:
        return {int(index): fault for index, fault in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError):  # Missing, or cut short by a full disk: found anew.
        return None


def _store_faults(path: Path, faults: dict[int, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_then_renamed(path) as partial:
            partial.write_text(json.dumps(faults), encoding="utf-8")
    except OSError as error:
        _LOGGER.warning("the files will be checked again next time: cannot write %s: %s", path, error.strerror)


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f} GiB"
