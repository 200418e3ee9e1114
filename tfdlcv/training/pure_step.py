"""Losses and gradients as functions that are pure in the variables, so that XLA can compile them on each replica.

Shape legend: B examples on one replica, cut into `parts` where gradients are accumulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from tfdlcv.training.batches import Batch


@dataclass(frozen=True)
class Player:
    """One optimizer's part in a task: what it trains, on which losses, and how often.

    Attributes:
        name: Prefix of its logs when a task has several players.
        trains: The networks whose trainable variables it updates.
        forward: (batch, training) -> outputs; may call any network of the task.
        losses: (batch, outputs) -> {name: () scalar, the mean over this replica's examples}; their sum is minimised.
        every: It moves at each step s with s % every == 0.
    """

    name: str
    trains: Sequence[keras.Model]
    forward: Callable[[Batch, bool], object]
    losses: Callable[[Batch, object], dict[str, tf.Tensor]]
    every: int = 1

    @property
    def variables(self) -> list[keras.Variable]:
        """What it updates."""
        return [variable for network in self.trains for variable in network.trainable_variables]


def other_variables(player: Player, networks: Mapping[str, keras.Model]) -> list[keras.Variable]:
    """What the player's step reads besides the variables it trains: other networks, statistics, seeds."""
    trained = {id(variable) for variable in player.variables}
    everything = [variable for network in networks.values() for variable in network.variables]
    return [variable for variable in everything if id(variable) not in trained]


def forward(player: Player, networks, trained_values, other_values, batch: Batch, *, training: bool):
    """-> outputs, losses by name, and new values of the other variables (None: unchanged); touches no variable."""
    others = other_variables(player, networks)
    mapping = [*zip(player.variables, trained_values, strict=True), *zip(others, other_values, strict=True)]
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        outputs = player.forward(batch, training)
        losses = dict(player.losses(batch, outputs))
        layer_losses = [loss for network in player.trains for loss in network.losses]
        if layer_losses:
            losses["layers"] = tf.add_n([tf.cast(loss, tf.float32) for loss in layer_losses])
        new_values = []
        for variable, value in zip(others, other_values, strict=True):
            new_value = scope.get_current_value(variable)
            new_values.append(None if new_value is value or not training else new_value)
    return outputs, losses, new_values


def step(player: Player, networks, parts: int, trained_values, other_values, batch: Batch, loss_scale):
    """-> (gradients times `loss_scale`, losses by name, new values of the other variables, outputs).

    With several parts, gradients and losses are means over the parts, each computed after the one before.
    """
    if parts == 1:
        return _gradients(player, networks, trained_values, other_values, batch, loss_scale)
    batches = tf.nest.map_structure(lambda t: tf.reshape(t, (parts, t.shape[0] // parts, *t.shape[1:])), batch)
    changed: set[int] = set()  # Positions of the other variables that a part gives new values.

    def compute(part, other_values):
        part_batch = tf.nest.map_structure(lambda t: t[part], batches)
        gradients, losses, new_values, outputs = _gradients(
            player, networks, trained_values, other_values, part_batch, loss_scale
        )
        changed.update(i for i, value in enumerate(new_values) if value is not None)
        next_values = [old if new is None else new for old, new in zip(other_values, new_values, strict=True)]
        return [gradients, losses], next_values, outputs

    # The first part is computed before the loop and gives the structure and dtypes that the loop carries.
    sums, values, first_outputs = compute(0, other_values)
    arrays = tf.nest.map_structure(
        lambda t: tf.TensorArray(t.dtype, parts, element_shape=t.shape).write(0, t), first_outputs
    )

    def body(part, sums, values, arrays):
        terms, values, outputs = compute(part, values)
        arrays = tf.nest.map_structure(lambda array, t: array.write(part, t), arrays, outputs)
        return part + 1, tf.nest.map_structure(tf.add, sums, terms), values, arrays

    _, sums, values, arrays = tf.while_loop(
        lambda part, *_: part < parts,
        body,
        (tf.constant(1), sums, values, arrays),
        parallel_iterations=1,  # The point is to hold one part's activations at a time.
        maximum_iterations=parts - 1,
    )
    gradients, losses = tf.nest.map_structure(lambda total: total / parts, sums)
    outputs = tf.nest.map_structure(lambda array: _merge_parts(array.stack()), arrays)
    return gradients, losses, [value if i in changed else None for i, value in enumerate(values)], outputs


def _gradients(player: Player, networks, trained_values, other_values, batch: Batch, loss_scale):
    with tf.GradientTape() as tape:
        tape.watch(trained_values)
        outputs, losses, new_values = forward(player, networks, trained_values, other_values, batch, training=True)
        scaled_loss = tf.add_n([*losses.values()]) * loss_scale
    gradients = tape.gradient(scaled_loss, trained_values, unconnected_gradients="zero")
    # Those of embeddings are IndexedSlices, which a loop over parts cannot carry and replicas do not add up.
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    return gradients, losses, new_values, outputs


def _merge_parts(stacked: tf.Tensor) -> tf.Tensor:
    """(parts, B / parts, ...) -> (B, ...)."""
    return tf.reshape(stacked, (stacked.shape[0] * stacked.shape[1], *stacked.shape[2:]))
