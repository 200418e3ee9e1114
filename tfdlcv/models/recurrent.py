"""Recurrent networks to compare a temporal convolutional network with: tanh, LSTM and GRU units.

Chung, Gulcehre, Cho and Bengio, "Empirical Evaluation of Gated Recurrent Neural Networks on Sequence Modeling", 2014;
like it, and like Bai et al. 2018, comparisons are fair at equal numbers of parameters: see `units_for_parameters`.

Shapes: B sequences, T steps, D inputs, H units, K outputs.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments

Cell = Literal["rnn", "lstm", "gru"]


def recurrent(
    input_shape: Sequence[int | None],
    *,
    cell: Cell,
    units: int,
    outputs: int,
    last_step_only: bool,
    layers: int = 1,
    dropout: float = 0.0,
    recurrent_initializer: Literal["orthogonal", "glorot_uniform"] = "orthogonal",
    use_cudnn: bool | Literal["auto"] = "auto",
    head: keras.layers.Layer | None = None,
    input_name: str = "sequence",
    name: str | None = None,
) -> keras.Model:
    """Layers of recurrent units, one upon the other, and a dense layer on the last one.

    Args:
        input_shape: (T, D); T may be None, for any length of at least one step.
        cell: "rnn": h = tanh(W x + U h + b); "lstm"; "gru", in the form of the lecture, h~ = tanh(W x + r * (U h)).
        units: H of every layer.
        outputs: K.
        last_step_only: Whether the output is that of the last step, (B, K), or of every step, (B, T, K).
        layers: At least 1.
        dropout: Share of a layer's inputs, from the second on, and of the dense layer's, that training drops.
        recurrent_initializer: Of U. Orthogonal: all its eigenvalues have magnitude 1, so that at first the linear part
            lets gradients neither vanish nor explode (lecture 3).
        use_cudnn: Of LSTM and GRU on a GPU. XLA cannot compile that kernel: False where it is to.
        head, input_name: as `tfdlcv.models.tcn` takes them.
        name: Name of the model; default: `cell`.

    Returns:
        A model from (B, T, D) float to (B, K) or (B, T, K) float32.

    Raises:
        ValueError: a size below 1, another cell, or an input_shape that is not (T, D).
    """
    arguments.check_sizes(units=units, outputs=outputs, layers=layers)
    arguments.check_sequence_shape(input_shape)
    arguments.check_choice("cell", cell, ("rnn", "lstm", "gru"))
    inputs = x = keras.Input(tuple(input_shape), name=input_name)
    for index in range(layers):
        if index and dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
        options = {
            "return_sequences": not last_step_only or index + 1 < layers,
            "recurrent_initializer": recurrent_initializer,
            "name": f"{cell}{index}",
        }
        match cell:
            case "rnn":
                layer = keras.layers.SimpleRNN(units, **options)
            case "lstm":
                layer = keras.layers.LSTM(units, use_cudnn=use_cudnn, **options)
            case "gru":
                layer = keras.layers.GRU(units, use_cudnn=use_cudnn, **options)
        x = layer(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"dropout{layers}")(x)
    head = head or keras.layers.Dense(outputs, dtype="float32", name="head")
    return keras.Model(inputs, head(x), name=name or cell)


def parameters_of_recurrent(cell: Cell, *, units: int, inputs: int, outputs: int, layers: int = 1) -> int:
    """Parameters of `recurrent`, its dense layer included.

    A layer of H units on D inputs has H (D + H) + H for tanh, four times as many for LSTM, and 3 (H (D + H) + 2 H) for
    GRU, whose form here has two biases.
    """
    gates, biases = {"rnn": (1, 1), "lstm": (4, 1), "gru": (3, 2)}[cell]
    sizes = [inputs, *[units] * (layers - 1)]
    hidden = sum(gates * (units * (size + units) + biases * units) for size in sizes)
    return hidden + units * outputs + outputs


def units_for_parameters(cell: Cell, parameters: int, *, inputs: int, outputs: int, layers: int = 1) -> int:
    """The units with which `recurrent` comes nearest to `parameters`.

    Raises:
        ValueError: if a single unit already has more than twice as many.
    """

    def distance(units):
        return abs(
            parameters_of_recurrent(cell, units=units, inputs=inputs, outputs=outputs, layers=layers) - parameters
        )

    units = 1
    while distance(units + 1) < distance(units):
        units += 1
    if units == 1 and distance(1) > parameters:
        raise ValueError(
            f"parameters ({parameters}) are too few for a {cell} of {inputs} inputs, {outputs} outputs: one unit has "
            f"{parameters_of_recurrent(cell, units=1, inputs=inputs, outputs=outputs, layers=layers)}"
        )
    return units
