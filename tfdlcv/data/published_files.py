"""Readers of MNIST's IDX files and of CIFAR's binary and Python archives.

Sources: the MNIST page of Yann LeCun ("File formats for the MNIST database") and the CIFAR page of Alex Krizhevsky at
the University of Toronto ("Python version", "Binary version").

Shape legend: N examples, images H x W with C channels.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfdlcv.errors import UserError

_IDX_UINT8 = 0x08  # The third byte of an IDX file: the type of its values.
_CIFAR_SHAPE = (3, 32, 32)  # As stored: channels first.
_CIFAR_PIXELS = 3 * 32 * 32
_DAMAGED = (EOFError, OSError, zlib.error, tarfile.TarError)


@dataclass(frozen=True)
class PublishedPart:
    """Training or test examples as published: images (N, H, W, C) uint8, labels (N,) int32."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class PublishedSet:
    """A data set as published, with its own division into training and test examples."""

    train: PublishedPart
    test: PublishedPart
    class_names: tuple[str, ...]


def read_idx_set(folder: Path, *, title: str, source: str, class_names: tuple[str, ...]) -> PublishedSet:
    """A data set in MNIST's four IDX files, each plain or with `.gz`.

    Args:
        folder: where the files are.
        title, source: name of the data set and of the place that publishes it, for messages.
        class_names: the files hold none.

    Raises:
        UserError: for a missing, truncated or inconsistent file.
    """
    _check_folder(folder, title=title, source=source)
    found = {}
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        # Some unpackers write a dot for the dash.
        spellings = [name, f"{name}.gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"]
        found[name] = next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise UserError(
            f"{title} needs these files in {folder}, as they are or with .gz: {', '.join(missing)}. "
            f"They are on {source}."
        )
    train_images, train_labels, test_images, test_labels = found.values()
    return PublishedSet(
        train=_idx_part(train_images, train_labels),
        test=_idx_part(test_images, test_labels),
        class_names=class_names,
    )


def read_idx(path: Path, *, num_dimensions: int) -> np.ndarray:
    """Array uint8 of an IDX file with so many dimensions.

    Raises:
        UserError: when the file is not one, or is shorter or longer than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except _DAMAGED as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    header_bytes = 4 + 4 * num_dimensions
    expected_magic = _IDX_UINT8 << 8 | num_dimensions
    magic = int.from_bytes(content[:4], "big")
    if len(content) < header_bytes or magic != expected_magic:
        raise UserError(
            f"{path} is not an IDX file of bytes with {num_dimensions} dimension(s): it has {len(content):,} bytes and "
            f"starts with the number {magic} where {expected_magic} is expected"
        )
    shape = tuple(np.frombuffer(content, ">u4", count=num_dimensions, offset=4).tolist())
    expected_bytes = header_bytes + int(np.prod(shape, dtype=object))
    if len(content) != expected_bytes:
        sizes = " x ".join(str(size) for size in shape)
        raise UserError(
            f"{path} has {len(content):,} bytes, but its header says {sizes} values and so {expected_bytes:,} bytes: "
            f"the file is {'cut short' if len(content) < expected_bytes else 'too long'}"
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def read_cifar10(folder: Path) -> PublishedSet:
    """CIFAR-10 from its Python or binary version: unpacked into or inside `folder`, or as `.tar.gz` in it.

    Raises:
        UserError: for a missing, truncated or inconsistent file.
    """
    batches = [f"data_batch_{number}" for number in range(1, 6)]
    version, files = _cifar_files(
        folder,
        "CIFAR-10",
        {
            "cifar-10-batches-py": ("cifar-10-python.tar.gz", [*batches, "test_batch", "batches.meta"]),
            "cifar-10-batches-bin": (
                "cifar-10-binary.tar.gz",
                [*(f"{batch}.bin" for batch in batches), "test_batch.bin", "batches.meta.txt"],
            ),
        },
    )
    if version == "cifar-10-batches-py":
        parts = {name: _python_batch(files, name, b"labels") for name in [*batches, "test_batch"]}
        class_names = _python_names(files, "batches.meta", b"label_names")
    else:
        parts = {name: _binary_batch(files, f"{name}.bin", labels_per_record=1) for name in [*batches, "test_batch"]}
        class_names = _text_names(files, "batches.meta.txt")
    train = PublishedPart(
        images=np.concatenate([parts[name].images for name in batches]),
        labels=np.concatenate([parts[name].labels for name in batches]),
    )
    return PublishedSet(train=train, test=parts["test_batch"], class_names=class_names)


def read_cifar100(folder: Path, *, coarse: bool = False) -> PublishedSet:
    """CIFAR-100 as `read_cifar10`; with its 100 fine or its 20 coarse classes."""
    kind = "coarse" if coarse else "fine"
    version, files = _cifar_files(
        folder,
        "CIFAR-100",
        {
            "cifar-100-python": ("cifar-100-python.tar.gz", ["train", "test", "meta"]),
            "cifar-100-binary": ("cifar-100-binary.tar.gz", ["train.bin", "test.bin", f"{kind}_label_names.txt"]),
        },
    )
    if version == "cifar-100-python":
        return PublishedSet(
            train=_python_batch(files, "train", f"{kind}_labels".encode()),
            test=_python_batch(files, "test", f"{kind}_labels".encode()),
            class_names=_python_names(files, "meta", f"{kind}_label_names".encode()),
        )
    label_place = 0 if coarse else 1  # A record begins with the coarse label, then the fine one.
    return PublishedSet(
        train=_binary_batch(files, "train.bin", labels_per_record=2, label_place=label_place),
        test=_binary_batch(files, "test.bin", labels_per_record=2, label_place=label_place),
        class_names=_text_names(files, f"{kind}_label_names.txt"),
    )


@dataclass(frozen=True)
class _Files:
    """Contents of files by name, and what to call the place they come from in a message."""

    place: Path
    contents: Mapping[str, bytes]

    def path(self, name: str) -> str:
        return str(self.place / name)


def _idx_part(images_path: Path, labels_path: Path) -> PublishedPart:
    images = read_idx(images_path, num_dimensions=3)
    labels = read_idx(labels_path, num_dimensions=1)
    if len(images) != len(labels):
        raise UserError(f"{images_path} has {len(images):,} images, but {labels_path} has {len(labels):,} labels")
    return PublishedPart(images=images[..., np.newaxis], labels=labels.astype(np.int32))


def _cifar_files(folder: Path, title: str, versions: Mapping[str, tuple[str, Collection[str]]]) -> tuple[str, _Files]:
    """The first version that is in `folder`: {unpacked folder: (archive, names of files)} -> (unpacked folder, files).

    An archive is read into memory, never unpacked: nothing in it can write to the disk.
    """
    source = "the CIFAR page of Alex Krizhevsky at the University of Toronto"
    _check_folder(folder, title=title, source=source)
    for unpacked, (archive, names) in versions.items():
        for place in (folder, folder / unpacked):
            present = [name for name in names if (place / name).is_file()]
            # One file name of several versions, such as "train", is no sign of a version unless the others agree.
            if not present or (place == folder and folder.name != unpacked and len(present) < len(names)):
                continue
            missing = [name for name in names if name not in present]
            if missing:
                raise UserError(f"{title} in {place} lacks: {', '.join(missing)}. The files are on {source}.")
            try:
                return unpacked, _Files(place, {name: (place / name).read_bytes() for name in names})
            except OSError as error:
                raise UserError(f"{title} in {place} cannot be read: {error}") from error
        if (folder / archive).is_file():
            return unpacked, _Files(folder / archive, _archive_contents(folder / archive, names))
    expected = [f"{unpacked}/ or {archive}" for unpacked, (archive, _) in versions.items()]
    raise UserError(f"there is no {title} in {folder}: expected {', or '.join(expected)}. They are on {source}.")


def _archive_contents(path: Path, names: Collection[str]) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in names:
                    contents[name] = archive.extractfile(member).read()
    except _DAMAGED as error:
        raise UserError(f"{path} is damaged or cut short: {error}") from error
    missing = [name for name in names if name not in contents]
    if missing:
        raise UserError(f"{path} lacks: {', '.join(missing)}")
    return contents


def _binary_batch(files: _Files, name: str, *, labels_per_record: int, label_place: int = 0) -> PublishedPart:
    record_bytes = labels_per_record + _CIFAR_PIXELS
    content = files.contents[name]
    if not content or len(content) % record_bytes:
        raise UserError(
            f"{files.path(name)} has {len(content):,} bytes, which is not a whole number of records of "
            f"{record_bytes:,} bytes: the file is damaged or cut short"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record_bytes)
    return PublishedPart(
        images=_channels_last(records[:, labels_per_record:]), labels=records[:, label_place].astype(np.int32)
    )


def _python_batch(files: _Files, name: str, labels_key: bytes) -> PublishedPart:
    batch = _unpickled_dict(files, name, [b"data", labels_key])
    pixels, labels = batch[b"data"], batch[labels_key]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), _CIFAR_PIXELS):
        kind = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise UserError(
            f"{files.path(name)} should hold images as uint8 ({len(labels)}, {_CIFAR_PIXELS}), one row for each of its "
            f"{len(labels)} labels, but holds {kind}"
        )
    return PublishedPart(images=_channels_last(pixels), labels=np.asarray(labels, np.int32))


def _python_names(files: _Files, name: str, key: bytes) -> tuple[str, ...]:
    return tuple(
        item.decode() if isinstance(item, bytes) else str(item) for item in _unpickled_dict(files, name, [key])[key]
    )


def _text_names(files: _Files, name: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in files.contents[name].decode().splitlines() if line.strip())


def _channels_last(rows: np.ndarray) -> np.ndarray:
    """(N, 3072) red plane, green plane, blue plane -> (N, 32, 32, 3)."""
    return np.ascontiguousarray(rows.reshape(-1, *_CIFAR_SHAPE).transpose(0, 2, 3, 1))


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of numbers, text, bytes, lists, dicts and NumPy arrays, and refuses all else.

    A pickle can name any function for the reader to call, so a file from the web that is opened with `pickle.load`
    can run a program. The CIFAR files need only the three names below (and `_codecs.encode`, by which Python 3 writes
    bytes in the files' old protocol).
    """

    _allowed = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),  # Where NumPy 1 kept it, which wrote the published files.
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str):
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file does")
        # NumPy 2 keeps the old place, with a warning.
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def _unpickled_dict(files: _Files, name: str, keys: Collection[bytes]) -> dict:
    try:
        # Python 2 wrote the files: its text is bytes here.
        content = _ArrayUnpickler(io.BytesIO(files.contents[name]), encoding="bytes").load()
    except Exception as error:  # A damaged pickle can fail in any way that its instructions can.
        raise UserError(f"{files.path(name)} is not a readable CIFAR file: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{files.path(name)} should hold a dict, but holds a {type(content).__name__}")
    # Files that Python 3 wrote anew have text for keys.
    content = {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}
    missing = [key.decode() for key in keys if key not in content]
    if missing:
        raise UserError(f"{files.path(name)} lacks the key(s) {', '.join(missing)}")
    return content


def _check_folder(folder: Path, *, title: str, source: str) -> None:
    if not folder.is_dir():
        raise UserError(f"data.folder {folder} does not exist; it should hold the files of {title} from {source}")
