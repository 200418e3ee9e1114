"""The networks for sequences that a config may choose from, as sections of it, and what their runs share.

Keras is imported when a network is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tfdlcv.training.config import TrainerConfig
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture


class TcnConfig(Section):
    """Temporal convolutional network."""

    name: Literal["tcn"]
    filters: int = Field(ge=1)
    kernel_size: int = Field(ge=1)
    levels: int = Field(ge=1, le=20)
    dropout: float = Field(0.0, ge=0, lt=1)
    dropout_kind: Literal["element", "channel"] = "element"
    """element: single values, as in the authors' code; channel: whole channels, as in the paper's text."""
    last_filters: int | None = Field(None, ge=1)
    """Channels of the last block; default: filters."""
    initializer: Literal["released", "paper"] = "released"
    """released: uniform in +-1/sqrt(inputs of a filter), what the authors' code does in effect; paper: N(0, 0.01)."""


class _RecurrentConfig(Section):
    units: int | None = Field(None, ge=1)
    parameters: int | None = Field(None, ge=1)
    """In place of units: as many units as come nearest to this number of parameters of the whole network."""
    layers: int = Field(1, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_size(self):
        if (self.units is None) == (self.parameters is None):
            raise ValueError(f"exactly one of units ({self.units}) and parameters ({self.parameters}) must be given")
        return self


class RnnConfig(_RecurrentConfig):
    """Recurrent network of tanh units."""

    name: Literal["rnn"]
    recurrent_initializer: Literal["orthogonal", "glorot_uniform"] = "orthogonal"


class LstmConfig(_RecurrentConfig):
    """Recurrent network of LSTM units."""

    name: Literal["lstm"]


class GruConfig(_RecurrentConfig):
    """Recurrent network of gated recurrent units."""

    name: Literal["gru"]


SequenceNetworkConfig = Annotated[TcnConfig | RnnConfig | LstmConfig | GruConfig, Field(discriminator="name")]


def build_sequence_network(
    config: TcnConfig | RnnConfig | LstmConfig | GruConfig,
    *,
    input_shape: Sequence[int | None],
    outputs: int,
    last_step_only: bool,
    xla: bool,
    head: keras.layers.Layer | None = None,
    rescaling: tuple[float, float] | None = None,
) -> keras.Model:
    """The network that `config` names: `sequence` (B, T, C) -> (B, outputs), or (B, T, outputs).

    Args:
        xla: Whether XLA is to compile it.
        head: In place of a dense layer.
        rescaling: (mean, deviation) of the inputs, removed inside the network.
    """
    import keras

    from tfdlcv import models

    shared = {"outputs": outputs, "last_step_only": last_step_only, "head": head}
    if isinstance(config, TcnConfig):
        body = models.tcn(input_shape, **config.model_dump(exclude={"name"}), **shared)
    else:
        units = config.units
        if units is None:
            try:
                units = models.units_for_parameters(
                    config.name, config.parameters, inputs=input_shape[-1], outputs=outputs, layers=config.layers
                )
            except ValueError as error:
                raise UserError(f"model.{error}") from None
        body = models.recurrent(
            input_shape,
            cell=config.name,
            units=units,
            layers=config.layers,
            dropout=config.dropout,
            recurrent_initializer=getattr(config, "recurrent_initializer", "orthogonal"),
            use_cudnn=False if xla else "auto",
            **shared,
        )
    if rescaling is None:
        return body
    mean, deviation = rescaling
    inputs = keras.Input(tuple(input_shape), name="sequence")
    scaled = keras.layers.Rescaling(1 / deviation, -mean / deviation, name="rescale")(inputs)
    return keras.Model(inputs, body(scaled), name=body.name)


def task_options(trainer: TrainerConfig) -> dict[str, Any]:
    """What every task takes from the trainer's section."""
    from tfdlcv.training import strategies

    return {
        "xla": strategies.use_xla(trainer),
        "accumulation_steps": trainer.accumulation_steps,
        "ema_momentum": trainer.ema_momentum,
    }


def gradient_picture(task: Task, sequences: np.ndarray) -> Picture:
    """How strongly the last output depends on each step, for some sequences (B, T, C); see lecture 3."""
    from tfdlcv.training.gradients_over_time import gradient_norms_over_time
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.gradients_over_time import draw_gradients_over_time

    return Picture(
        read=lambda: gradient_norms_over_time(task.network, sequences),
        draw=lambda norms: draw_gradients_over_time({task.network.name: norms}),
    )


def examples(split, count: int) -> dict[str, np.ndarray]:
    """The first `count` examples of a split as arrays, fewer where there are not as many."""
    import tensorflow as tf

    indices = tf.range(min(count, split.num_examples), dtype=tf.int64)
    return {name: value.numpy() for name, value in split.fetch(indices).items()}
