import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tfdlcv.data import published_files
from tfdlcv.errors import UserError


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of bytes, by its published description."""
    return struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, *, num_train: int = 20, num_test: int = 10, zipped: bool = False) -> dict:
    random = np.random.RandomState(0)
    arrays = {
        "train-images-idx3-ubyte": random.randint(0, 256, (num_train, 28, 28)),
        "train-labels-idx1-ubyte": np.arange(num_train) % 10,
        "t10k-images-idx3-ubyte": random.randint(0, 256, (num_test, 28, 28)),
        "t10k-labels-idx1-ubyte": np.arange(num_test) % 10,
    }
    for name, array in arrays.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
        else:
            (folder / name).write_bytes(idx_bytes(array))
    return arrays


def read_idx_set(folder: Path):
    return published_files.read_idx_set(folder, title="MNIST", source="its page", class_names=("0", "1"))


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_set(tmp_path, zipped):
    arrays = write_idx_set(tmp_path, zipped=zipped)
    read = read_idx_set(tmp_path)
    np.testing.assert_array_equal(read.train.images[..., 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(read.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert read.train.images.shape == (20, 28, 28, 1)
    assert (read.train.images.dtype, read.train.labels.dtype) == (np.uint8, np.int32)
    assert read.class_names == ("0", "1")


def test_idx_set_with_dots_in_the_names(tmp_path):
    write_idx_set(tmp_path)
    for path in tmp_path.iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(read_idx_set(tmp_path).test.labels) == 10


def test_read_idx_of_a_file_written_by_hand(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255]))
    assert published_files.read_idx(path, num_dimensions=2).tolist() == [[1, 2, 3], [4, 5, 255]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2]),
            "has 10 bytes, but its header says 5 values and so 13 bytes: .* cut short",
        ),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]),
            "has 10 bytes, but its header says 1 values and so 9 bytes: .* too long",
        ),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1, 1, 2]), "starts with the number 2051 where 2049 is expected"),
        (b"<html>not found</html>", "starts with the number 1013478509 where 2049 is expected"),
        (b"", "it has 0 bytes"),
        (bytes([0, 0, 8, 1, 0]), "it has 5 bytes"),
        (bytes([0, 0, 8, 1, 255, 255, 255, 255]), "its header says 4294967295 values and so 4,294,967,303 bytes"),
    ],
)
def test_damaged_idx_files(tmp_path, content, message):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        published_files.read_idx(path, num_dimensions=1)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: b"no gzip" + data, lambda data: data[:40] + b"x" * 9 + data[49:]]
)
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "labels.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(np.arange(200) % 7))))
    with pytest.raises(UserError, match=r"labels\.gz cannot be read"):
        published_files.read_idx(path, num_dimensions=1)


def test_missing_idx_files_are_named(tmp_path):
    write_idx_set(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        UserError, match="t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. They are on its page"
    ) as error:
        read_idx_set(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "train-images" not in str(error.value)
    with pytest.raises(UserError, match="nowhere does not exist; it should hold the files of MNIST from its page"):
        read_idx_set(tmp_path / "nowhere")


def test_numbers_of_images_and_labels_must_agree(tmp_path):
    write_idx_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19)))
    with pytest.raises(UserError, match="has 20 images, but .* has 19 labels"):
        read_idx_set(tmp_path)


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 with NumPy 1 did, which made the published files: text and bytes alike as Python 2 text."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        value = value.encode("latin-1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<I", len(value)) + value)  # BINSTRING
        self.memoize(value)

    def save_global(self, value, name=None):
        module = "numpy.core.multiarray" if value.__name__ == "_reconstruct" else value.__module__
        self.write(f"c{module}\n{value.__name__}\n".encode())

    dispatch[bytes] = dispatch[str] = save_bytes
    dispatch[type] = dispatch[type(np.array)] = save_global


def python2_pickle(value) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def cifar_records(count: int, *, num_classes: int, seed: int = 0):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (count, 3072)).astype(np.uint8), [index % num_classes for index in range(count)]


CIFAR10_NAMES = [f"name {index}" for index in range(10)]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def cifar10_files(version: str) -> dict[str, bytes]:
    files = {}
    for seed, name in enumerate(BATCHES):
        pixels, labels = cifar_records(20, num_classes=10, seed=seed)
        if version == "python":
            files[name] = python2_pickle({b"batch_label": b"a batch", b"labels": labels, b"data": pixels})
        else:
            files[f"{name}.bin"] = b"".join(
                bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True)
            )
    if version == "python":
        files["batches.meta"] = python2_pickle(
            {b"num_vis": 3072, b"label_names": [name.encode() for name in CIFAR10_NAMES]}
        )
    else:
        files["batches.meta.txt"] = ("\n".join(CIFAR10_NAMES) + "\n\n").encode()
    return files


def cifar100_files(version: str) -> dict[str, bytes]:
    files = {}
    for seed, name in enumerate(["train", "test"]):
        pixels, fine = cifar_records(200, num_classes=100, seed=seed)
        coarse = [label // 5 for label in fine]
        if version == "python":
            files[name] = python2_pickle({b"fine_labels": fine, b"coarse_labels": coarse, b"data": pixels})
        else:
            files[f"{name}.bin"] = b"".join(
                bytes([c, f]) + row.tobytes() for c, f, row in zip(coarse, fine, pixels, strict=True)
            )
    fine_names, coarse_names = [f"fine {i}" for i in range(100)], [f"coarse {i}" for i in range(20)]
    if version == "python":
        names = {
            b"fine_label_names": [n.encode() for n in fine_names],
            b"coarse_label_names": [n.encode() for n in coarse_names],
        }
        files["meta"] = python2_pickle(names)
    else:
        files["fine_label_names.txt"] = "\n".join(fine_names).encode()
        files["coarse_label_names.txt"] = "\n".join(coarse_names).encode()
    return files


def place(folder: Path, inner: str, archive: str, files: dict[str, bytes], form: str) -> None:
    """Puts files where a person may have them: unpacked in `folder`, in its folder, or as the archive."""
    if form == "archive":
        with tarfile.open(folder / archive, "w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"{inner}/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return
    target = folder if form == "unpacked here" else folder / inner
    target.mkdir(exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)


@pytest.mark.parametrize("form", ["unpacked here", "unpacked inside", "archive"])
@pytest.mark.parametrize("version", ["python", "binary"])
def test_cifar10(tmp_path, version, form):
    inner = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}[version]
    place(tmp_path, inner, f"cifar-10-{version}.tar.gz", cifar10_files(version), form)
    read = published_files.read_cifar10(tmp_path)
    assert read.train.images.shape == (100, 32, 32, 3)
    assert read.test.images.shape == (20, 32, 32, 3)
    assert (read.train.images.dtype, read.train.labels.dtype) == (np.uint8, np.int32)
    assert read.class_names == tuple(CIFAR10_NAMES)
    # Record 23 is the fourth of the second file; a row holds the red plane, then green, then blue.
    row = cifar_records(20, num_classes=10, seed=1)[0][3]
    assert read.train.images[23, 5, 7].tolist() == [row[5 * 32 + 7], row[1024 + 5 * 32 + 7], row[2048 + 5 * 32 + 7]]
    assert read.train.labels[23] == 3


@pytest.mark.parametrize("form", ["unpacked here", "archive"])
@pytest.mark.parametrize("version", ["python", "binary"])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, version, form):
    place(tmp_path, f"cifar-100-{version}", f"cifar-100-{version}.tar.gz", cifar100_files(version), form)
    fine, coarse = published_files.read_cifar100(tmp_path), published_files.read_cifar100(tmp_path, coarse=True)
    assert fine.test.labels[123] == 23
    assert coarse.test.labels[123] == 4
    assert fine.class_names[23] == "fine 23"
    assert coarse.class_names == tuple(f"coarse {i}" for i in range(20))
    row = cifar_records(200, num_classes=100, seed=1)[0][123]
    assert fine.test.images[123, 0, 1].tolist() == row[[1, 1025, 2049]].tolist()
    np.testing.assert_array_equal(fine.train.images, coarse.train.images)


def test_archives_of_python_3_with_text_keys(tmp_path):
    files = {}
    for name in BATCHES:
        pixels, labels = cifar_records(2, num_classes=10)
        files[name] = pickle.dumps({"labels": labels, "data": pixels}, protocol=2)
    files["batches.meta"] = pickle.dumps({"label_names": CIFAR10_NAMES})
    place(tmp_path, "cifar-10-batches-py", "", files, "unpacked here")
    read = published_files.read_cifar10(tmp_path)
    assert read.class_names == tuple(CIFAR10_NAMES)
    np.testing.assert_array_equal(read.test.images[1, 0, 0], cifar_records(2, num_classes=10)[0][1, [0, 1024, 2048]])


class _Intruder:
    def __reduce__(self):
        return (Path.touch, (Path("intruder was here"),))


def test_a_pickle_cannot_run_a_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = cifar10_files("python")
    files["data_batch_3"] = pickle.dumps({b"data": _Intruder(), b"labels": []}, protocol=2)
    place(tmp_path, "cifar-10-batches-py", "", files, "unpacked inside")
    with pytest.raises(
        UserError, match=r"data_batch_3 is not a readable CIFAR file: it asks for .*which no CIFAR file"
    ):
        published_files.read_cifar10(tmp_path)
    assert not Path("intruder was here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "test_batch is not a readable CIFAR file"),
        (
            python2_pickle({b"labels": [1], b"data": np.zeros((1, 3072), np.uint8)})[:500],
            "is not a readable CIFAR file",
        ),
        (python2_pickle([1, 2]), "should hold a dict, but holds a list"),
        (python2_pickle({b"data": b""}), r"lacks the key\(s\) labels"),
        (
            python2_pickle({b"labels": [1, 2], b"data": np.zeros((1, 3072), np.uint8)}),
            r"uint8 \(2, 3072\).*holds uint8 \(1, 3072\)",
        ),
        (python2_pickle({b"labels": [1], b"data": b"abc"}), "holds bytes"),
    ],
)
def test_damaged_python_files(tmp_path, content, message):
    place(tmp_path, "cifar-10-batches-py", "", {**cifar10_files("python"), "test_batch": content}, "unpacked inside")
    with pytest.raises(UserError, match=message):
        published_files.read_cifar10(tmp_path)


def test_a_binary_file_that_is_cut_short(tmp_path):
    files = cifar10_files("binary")
    files["data_batch_4.bin"] = files["data_batch_4.bin"][:-1]
    place(tmp_path, "cifar-10-batches-bin", "", files, "unpacked inside")
    with pytest.raises(UserError, match=r"data_batch_4\.bin has 61,459 bytes, .* records of 3,073 bytes"):
        published_files.read_cifar10(tmp_path)


def test_an_archive_that_is_cut_short(tmp_path):
    place(tmp_path, "cifar-100-binary", "cifar-100-binary.tar.gz", cifar100_files("binary"), "archive")
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:-50_000])
    with pytest.raises(UserError, match=r"cifar-100-binary\.tar\.gz is damaged or cut short"):
        published_files.read_cifar100(tmp_path)


def test_an_archive_without_a_file(tmp_path):
    files = cifar10_files("python")
    del files["data_batch_2"]
    place(tmp_path, "cifar-10-batches-py", "cifar-10-python.tar.gz", files, "archive")
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz lacks: data_batch_2"):
        published_files.read_cifar10(tmp_path)


def test_missing_cifar_files_are_named_with_their_source(tmp_path):
    with pytest.raises(
        UserError, match="expected cifar-10-batches-py/ or cifar-10-python.tar.gz, or .*University of Toronto"
    ):
        published_files.read_cifar10(tmp_path)
    files = cifar10_files("python")
    del files["test_batch"]
    place(tmp_path, "cifar-10-batches-py", "", files, "unpacked inside")
    with pytest.raises(UserError, match="lacks: test_batch. The files are on the CIFAR page .* University of Toronto"):
        published_files.read_cifar10(tmp_path)
    # Its folder may have been named itself.
    with pytest.raises(UserError, match="lacks: test_batch"):
        published_files.read_cifar10(tmp_path / "cifar-10-batches-py")


def test_a_folder_named_train_is_no_cifar100(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "test").write_text("something else")
    with pytest.raises(UserError, match="there is no CIFAR-100 in"):
        published_files.read_cifar100(tmp_path)
