"""Gaussian noise on clean images: the examples of restoration.

Batch dict of the area, for B examples:
    target: (B, H, W, C) float32, 0..255, the clean image; C = 1 (grey) or 3 (RGB).
    image: (B, H, W, C) float32, the same with noise, which may go beyond 0..255.
    sigma: (B,) float32, the noise's standard deviation, in the same units.
    id, valid: as in `tfdlcv.data.labelled_images`.

In training every step draws new noise. That of validation and testing belongs to the examples: it follows from
`evaluation_seed`, the part and the example's index alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section

if TYPE_CHECKING:  # A config is checked before TensorFlow is imported.
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

Sigma = Annotated[float, Field(ge=0, le=255)]
_PARTS = ("train", "validation", "test")


class NoiseConfig(Section):
    """Independent Gaussian noise on every value."""

    sigma: Sigma | tuple[Sigma, Sigma] = 25.0
    """Standard deviation, of values 0..255. Two numbers: each training example draws its own between them, and the
    network learns to be told none (blind denoising)."""
    evaluation_sigma: Sigma | None = None
    """Of validation and testing. Default: sigma, or the middle of its range."""
    evaluation_seed: int = Field(0, ge=0, lt=2**31)
    """Decides the noise of validation and testing."""
    pixels: Literal["float", "uint8"] = "float"
    """uint8: noisy values are rounded and cut to 0..255, as image files store them; float: as drawn, the usual test."""

    @model_validator(mode="after")
    def _range(self):
        if isinstance(self.sigma, tuple) and not self.sigma[0] < self.sigma[1]:
            raise ValueError(f"sigma must be a number, or two with first < second, not {list(self.sigma)}")
        if self.sigma == 0:
            raise ValueError("sigma must be more than 0")
        return self

    @property
    def sigma_of_evaluation(self) -> float:
        """The level of validation and testing."""
        if self.evaluation_sigma is not None:
            return self.evaluation_sigma
        return sum(self.sigma) / 2 if isinstance(self.sigma, tuple) else self.sigma


def with_fixed_noise(split: Split, noise: NoiseConfig | None, part: Literal["train", "validation", "test"]) -> Split:
    """`split`, whose `target` (B, H, W, C) uint8 become examples of the area; without noise, `image` is `target`."""
    import tensorflow as tf

    if noise is None:

        def fetch(indices: tf.Tensor) -> dict[str, tf.Tensor]:
            return without_noise(split.fetch(indices)["target"])

        return dataclasses.replace(split, fetch=fetch)

    key = tf.random.experimental.stateless_fold_in(tf.constant([noise.evaluation_seed, 0]), _PARTS.index(part))

    def fetch_noisy(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        target = tf.cast(split.fetch(indices)["target"], tf.float32)
        shape = tf.shape(target)[1:]

        # One by one, so that an example's noise does not depend on what it is batched with.
        def standard_noise(index: tf.Tensor) -> tf.Tensor:
            seed = tf.random.experimental.stateless_fold_in(key, tf.cast(index, tf.int32))
            return tf.random.stateless_normal(shape, seed, alg="philox")

        drawn = tf.map_fn(standard_noise, indices, fn_output_signature=tf.TensorSpec(target.shape[1:], tf.float32))
        sigma = tf.fill(tf.shape(indices), noise.sigma_of_evaluation)
        return _example(target, drawn, sigma, noise)

    return dataclasses.replace(split, fetch=fetch_noisy)


def draw_noise(noise: NoiseConfig) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """For training: (target (B, H, W, C), seed (2,) int32) -> `target`, `image` and `sigma`; pure."""
    import tensorflow as tf

    def draw(target: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        target = tf.cast(target, tf.float32)
        seeds = tf.random.split(seed, 2)
        count = tf.shape(target)[:1]
        if isinstance(noise.sigma, tuple):
            sigma = tf.random.stateless_uniform(count, seeds[0], *noise.sigma, alg="philox")
        else:
            sigma = tf.fill(count, noise.sigma)
        return _example(target, tf.random.stateless_normal(tf.shape(target), seeds[1], alg="philox"), sigma, noise)

    return draw


def without_noise(target: tf.Tensor) -> dict[str, tf.Tensor]:
    """Examples of an autoencoder, which is to return what it gets."""
    import tensorflow as tf

    target = tf.cast(target, tf.float32)
    return {"target": target, "image": target, "sigma": tf.zeros(tf.shape(target)[:1])}


def _example(target: tf.Tensor, drawn: tf.Tensor, sigma: tf.Tensor, noise: NoiseConfig) -> dict[str, tf.Tensor]:
    import tensorflow as tf

    sigma = tf.cast(sigma, tf.float32)
    image = target + sigma[:, None, None, None] * drawn
    if noise.pixels == "uint8":
        image = tf.clip_by_value(tf.round(image), 0.0, 255.0)
    return {"target": target, "image": image, "sigma": sigma}
