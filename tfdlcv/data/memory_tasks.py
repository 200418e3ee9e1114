"""Generated tasks of long memory: the adding problem and copy memory.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997 (adding); Arjovsky, Shah and Bengio, "Unitary Evolution
Recurrent Neural Networks", 2016; Bai, Kolter and Koltun 2018, section 4. The batch dict is described in
`tfdlcv.data.sequences`.

Every example is a function of the seed, its split and its index alone: nothing is stored, and the published code's
unseeded numpy is not followed.

Adding: `sequence` (B, T, 2): numbers uniform in [0, 1), and marks, 1 at two steps and 0 elsewhere; `label` (B,) float32
    is the sum of the two marked numbers. Always answering 1 has a mean squared error of 1/6.
Copy: `sequence` (B, T + 20, 1): ten symbols of 1..8, T - 1 zeros, and 9 eleven times, from where on the symbols are to
    be repeated; `targets` (B, T + 20) int32: zeros, and the ten symbols at the end. Answering the zeros surely and the
    symbols by chance has a cross-entropy of 10 ln 8 / (T + 20).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tfdlcv.config import Section

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

SYMBOLS = 10  # To remember, and classes: blank, eight symbols and the mark. Bai et al. 2018, section 4.
_PARTS = ("train", "validation", "test")


class _Generated(Section):
    train_examples: int = Field(ge=1)
    validation_examples: int = Field(1000, ge=1)
    test_examples: int = Field(1000, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)


class AddingConfig(_Generated):
    """The adding problem."""

    name: Literal["adding"]
    steps: int = Field(ge=2)
    """T, the length of a sequence; the paper has 200, 400 and 600."""
    train_examples: int = Field(50_000, ge=1)  # The authors' code.


class CopyConfig(_Generated):
    """Copy memory."""

    name: Literal["copy"]
    blanks: int = Field(ge=1)
    """T, how long the symbols are to be remembered; the paper has 500, 1000 and 2000. Sequences have T + 20 steps."""
    train_examples: int = Field(10_000, ge=1)  # The authors' code.


def adding_baseline() -> float:
    """Mean squared error of always answering 1: the variance of the sum of two numbers uniform in [0, 1)."""
    return 1 / 6


def copy_baseline(blanks: int) -> float:
    """Cross-entropy, per step, of knowing when to answer but not what."""
    return SYMBOLS * math.log(8) / (blanks + 2 * SYMBOLS)


def build_adding(config: AddingConfig) -> tuple[Split, Split, Split]:
    """Training, validation and test examples."""
    import tensorflow as tf

    from tfdlcv.data import counter_random

    steps = config.steps

    def examples(indices, key):
        numbers = tf.cast(counter_random.uniform(indices, steps, key=(*key, 0)), tf.float32)
        first = counter_random.integers(indices, 1, 0, steps, key=(*key, 1))[:, 0]
        second = counter_random.integers(indices, 1, 0, steps - 1, key=(*key, 2))[:, 0]
        second += tf.cast(second >= first, tf.int32)  # Uniform over the other steps.
        marks = tf.one_hot(first, steps) + tf.one_hot(second, steps)  # (B, T)
        return {"sequence": tf.stack([numbers, marks], axis=-1), "label": tf.reduce_sum(numbers * marks, axis=1)}

    return _splits(config, examples)


def build_copy(config: CopyConfig) -> tuple[Split, Split, Split]:
    """Training, validation and test examples."""
    import tensorflow as tf

    from tfdlcv.data import counter_random

    def examples(indices, key):
        symbols = counter_random.integers(indices, SYMBOLS, 1, 9, key=key)  # (B, 10)
        inputs = tf.pad(symbols, ((0, 0), (0, config.blanks - 1)))
        inputs = tf.pad(inputs, ((0, 0), (0, SYMBOLS + 1)), constant_values=9)
        targets = tf.pad(symbols, ((0, 0), (config.blanks + SYMBOLS, 0)))
        return {"sequence": tf.cast(inputs[..., None], tf.float32), "targets": targets}

    return _splits(config, examples)


def _splits(config: _Generated, examples) -> tuple[Split, Split, Split]:
    from tfdlcv.data.pipeline import Split

    return tuple(
        Split(
            num_examples=getattr(config, f"{part}_examples"),
            fetch=lambda indices, key=(config.data_seed, number): examples(indices, key),
            describe=lambda index, part=part: f"{config.name} {part} example {index}",
        )
        for number, part in enumerate(_PARTS)
    )
