"""Temporal convolutional network: a stack of dilated causal residual blocks.

Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
Modeling", 2018.

Shapes: B sequences, T steps, C channels, K outputs.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.models import arguments


def tcn(
    input_shape: Sequence[int | None],
    *,
    filters: int,
    kernel_size: int,
    levels: int,
    outputs: int,
    last_step_only: bool,
    dropout: float = 0.0,
    dropout_kind: Literal["element", "channel"] = "element",
    initializer: str | keras.initializers.Initializer = "released",
    last_filters: int | None = None,
    weight_normalization: bool = True,
    activation: str = "relu",
    head: keras.layers.Layer | None = None,
    input_name: str = "sequence",
    name: str = "tcn",
) -> keras.Model:
    """The network of the paper: block i of `levels` has dilation 2^i, and a dense layer reads the last block.

    With `last_step_only`, the blocks compute only the steps that the last one depends on: for sequences that are longer
    than a filter about a fifth of the work, and the same output.

    Args:
        input_shape: (T, C); T may be None, for any length of at least one step.
        filters: Channels of every block, but for the last one where `last_filters` says otherwise.
        kernel_size: Taps of every filter, at least 1.
        levels: Blocks, at least 1.
        outputs: K.
        last_step_only: Whether the output is that of the last step, (B, K), or of every step, (B, T, K).
        dropout, dropout_kind: as `TemporalBlock` takes them.
        initializer: Of kernels. "released": uniform within +-1 / sqrt(inputs of the filter), which is what the authors'
            code does in effect, because weight normalisation overwrites what its own initialisation draws; "paper":
            normal of deviation 0.01 (section 3); or any of Keras's.
        last_filters: Channels of the last block; default: `filters`. The authors' language models give it as many as an
            embedding has, so that their output layer can share the embedding's matrix.
        weight_normalization, activation: of the blocks; the paper has weight normalisation and ReLU.
        head: In place of the dense layer; must treat each step by itself.
        input_name: Name of the input.
        name: Name of the model.

    Returns:
        A model from (B, T, C) float to (B, K) or (B, T, K) float32.

    Raises:
        ValueError: a size below 1, dropout outside [0, 1), or an input_shape that is not (T, C).
    """
    last_filters = filters if last_filters is None else last_filters
    arguments.check_sizes(
        filters=filters, kernel_size=kernel_size, levels=levels, outputs=outputs, last_filters=last_filters
    )
    arguments.check_sequence_shape(input_shape)
    inputs = x = keras.Input(tuple(input_shape), name=input_name)
    for level in range(levels):
        dilation_rate = 2**level
        x = TemporalBlock(
            filters if level + 1 < levels else last_filters,
            kernel_size,
            dilation_rate=dilation_rate,
            dropout=dropout,
            dropout_kind=dropout_kind,
            input_stride=dilation_rate if last_step_only else 1,
            output_stride=dilation_rate * (2 if level + 1 < levels else 1) if last_step_only else 1,
            weight_normalization=weight_normalization,
            activation=activation,
            kernel_initializer=kernel_initializer(initializer),
            name=f"block{level}",
        )(x)
    if last_step_only:
        x = x[:, -1]  # (B, filters)
    if head is None:
        head = keras.layers.Dense(
            outputs, kernel_initializer=kernel_initializer(initializer), dtype="float32", name="head"
        )
    return keras.Model(inputs, head(x), name=name)


def receptive_field(kernel_size: int, levels: int) -> int:
    """How many steps, its own included, an output of `tcn` depends on: 1 + 2 (k - 1) (2^levels - 1).

    The 2 is for the two convolutions of a block, which the paper's figure 1a does not show.
    """
    arguments.check_sizes(kernel_size=kernel_size, levels=levels)
    return 1 + 2 * (kernel_size - 1) * (2**levels - 1)


def kernel_initializer(name: str | keras.initializers.Initializer) -> keras.initializers.Initializer:
    """A new initializer: "released" and "paper" as `tcn` explains them, or one of Keras's."""
    if name == "released":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    if name == "paper":
        return keras.initializers.RandomNormal(stddev=0.01)
    return keras.initializers.get(name)
