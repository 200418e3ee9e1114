"""The data sets of the hyperspherical area: labelled images, of which some have a value besides.

TensorFlow is imported when data are read, not before, so that configs can be checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from tfdlcv.data.cub200 import Cub200
from tfdlcv.data.digits import DigitsConfig
from tfdlcv.data.image_folder import ImageFilesConfig, ImageFolder
from tfdlcv.data.image_table import ImageTable
from tfdlcv.data.rotated_digits import RotatedDigits
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets, Split
    from tfdlcv.data.valued_images import ValuedImages

ClassDataConfig = Annotated[
    DigitsConfig | ImageFolder | ImageTable | Cub200 | RotatedDigits, Field(discriminator="name")
]
ValueDataConfig = Annotated[RotatedDigits | ImageTable, Field(discriminator="name")]


def build(config: ClassDataConfig | ValueDataConfig, *, needs_classes: bool, needs_value: bool) -> Datasets:
    """Reads the data set; its facts are `class_names`, `class_counts`, `image_shape` and, of the values, `value`.

    Raises:
        UserError: the data set lacks labels or values that the system needs.
    """
    import dataclasses

    from tfdlcv.data.pipeline import Datasets

    data = _read(config)
    images = data.images
    if needs_classes and len(images.class_names) < 2:
        raise UserError("data.label_column is absent: this system needs classes")
    if needs_value and data.value is None:
        raise UserError("data.value_column is absent: this system needs values")
    facts: dict[str, Any] = {
        "class_names": list(images.class_names),
        "class_counts": list(images.class_counts),
        "image_shape": list(images.image_shape),
    }
    if data.value is not None:
        facts["value"] = dataclasses.asdict(data.value)
    return Datasets(images.train, images.validation, images.test, facts, _augmentation(config, data))


def decoding(config: ClassDataConfig | ValueDataConfig) -> dict[str, Any]:
    """How files become images of the network's size, as in training."""
    if isinstance(config, ImageFilesConfig):
        return {"resize": config.resize}
    return {"padding": config.padding}


def samples(split: Split, count: int) -> dict[str, Any]:
    """`count` examples, evenly spread over a split, as arrays by name; `id` is their place in it."""
    import numpy as np
    import tensorflow as tf

    spread = np.unique(np.linspace(0, split.num_examples - 1, count).astype(np.int64))
    if not split.fetch_per_example:
        return {"id": spread, **{name: value.numpy() for name, value in split.fetch(tf.constant(spread)).items()}}
    examples: Sequence[dict] = [split.fetch(tf.constant(index, tf.int64)) for index in spread]
    return {"id": spread, **{name: np.stack([each[name].numpy() for each in examples]) for name in examples[0]}}


def _read(config) -> ValuedImages:
    from tfdlcv.data import cub200, digits, image_folder, image_table, rotated_digits
    from tfdlcv.data.valued_images import ValuedImages

    match config:
        case RotatedDigits():
            return rotated_digits.build(config)
        case ImageTable():
            return image_table.build(config)
        case Cub200():
            return ValuedImages(cub200.build(config))
        case ImageFolder():
            return ValuedImages(image_folder.build(config))
    return ValuedImages(digits.build(config))


def _augmentation(config, data: ValuedImages):
    """New values first, then what `data.augmentation` asks for; None where there is neither."""
    import tensorflow as tf

    from tfdlcv.data.augmentation import build_augmentation

    if config.augmentation.mixup_alpha or config.augmentation.cutmix_alpha:
        raise UserError("data.augmentation.mixup_alpha and cutmix_alpha need soft labels, which prototypes cannot have")
    augment = build_augmentation(config.augmentation, len(data.images.class_names), data.images.image_shape)
    if data.draw_values is None or augment is None:
        return augment or data.draw_values

    def both(batch, seed):
        value_seed, image_seed = tf.unstack(tf.random.split(seed, 2))
        return augment(data.draw_values(batch, value_seed), image_seed)

    return both
