"""Digits for autoencoders, clean or with noise: small images that are quick to train on.

The batch dict is described in `tfdlcv.data.noise`; the digits' labels are of no use here and left out.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from tfdlcv.data.digit_sources import DigitsOfSource
from tfdlcv.data.noise import NoiseConfig

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    from tfdlcv.data.pipeline import Datasets, Split


class NoisyDigits(DigitsOfSource):
    """Digits, with noise or, for a plain autoencoder, without."""

    name: Literal["noisy_digits"]
    noise: NoiseConfig | None = None

    @model_validator(mode="after")
    def _sections_fit(self):
        augmentation = self.augmentation
        if augmentation.mixup_alpha or augmentation.cutmix_alpha:
            raise ValueError(
                f"augmentation.mixup_alpha ({augmentation.mixup_alpha:g}) and cutmix_alpha "
                f"({augmentation.cutmix_alpha:g}) must be 0: they blend labels, and there are none"
            )
        return self


def build(config: NoisyDigits) -> Datasets:
    """Reads the digits.

    Raises:
        UserError: as `tfdlcv.data.digits.build`.
    """
    import tensorflow as tf

    from tfdlcv.data import digits
    from tfdlcv.data.augmentation import build_augmentation
    from tfdlcv.data.noise import draw_noise, with_fixed_noise, without_noise
    from tfdlcv.data.pipeline import Datasets

    data = digits.build(config.digits_config())
    change = build_augmentation(config.augmentation, len(data.class_names), data.image_shape)
    draw = None if config.noise is None else draw_noise(config.noise)

    def split_of(split: Split, part: str) -> Split:
        def fetch(indices):
            return {"target": split.fetch(indices)["image"]}

        return with_fixed_noise(dataclasses.replace(split, fetch=fetch), config.noise, part)

    def augment(batch, seed):
        seeds = tf.random.split(seed, 2)
        target = batch["target"]
        if change is not None:
            labels = tf.zeros(tf.shape(target)[:1], tf.int32)  # Which no change that is left looks at.
            target = change({"image": target, "label": labels}, seeds[0])["image"]
        return batch | (without_noise(target) if draw is None else draw(target, seeds[1]))

    validation = split_of(data.validation, "validation")
    # With data.validation_fraction 0 they are the same examples, and so is their noise.
    test = split_of(data.test, "test") if config.validation_fraction else validation
    facts = {"image_shape": list(data.image_shape)}
    return Datasets(split_of(data.train, "train"), validation, test, facts, augment)
