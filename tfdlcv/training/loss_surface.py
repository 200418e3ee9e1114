"""The loss on a plane through a network's weights, along two random directions that are scaled filter by filter.

Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, section 4: each
filter of a direction gets the length of the weights' own filter, since a network with ReLU and normalisation computes
the same with larger weights, around which the same step would look smaller. Weights of rank 1 (biases, normalisation)
stay, and so do moving statistics.

Shape legend: P points on a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.data import pipeline
from tfdlcv.training import pure_step
from tfdlcv.training.batches import batch_weight
from tfdlcv.training.checkpoints import atomic_file
from tfdlcv.training.task import Task


@dataclass(frozen=True)
class Surface:
    """Losses on the square.

    Attributes:
        steps: (P,) float64, coordinates along both directions; 0 in the middle.
        losses: (P, P) float64, [i, j] at weights + steps[i] * first direction + steps[j] * second.
        num_examples: Over which each loss is the mean.
    """

    steps: np.ndarray
    losses: np.ndarray
    num_examples: int


def loss_surface(
    task: Task, split: pipeline.Split, *, points: int, examples: int, radius: float, seed: int, batch_size: int
) -> Surface:
    """The loss of evaluation around the weights of a task of one player; its variables are only read.

    Args:
        points: P, odd, so that the middle is the network itself.
        examples: At most so many of the split, evenly spread.
        radius: The square reaches from -radius to radius.
        seed: Of the directions.
        batch_size: Of one pass.

    Raises:
        ValueError: for an even number of points or one below 3, and a radius or number of examples that is not above 0.
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points must be odd and at least 3. Received: points={points}")
    if radius <= 0 or examples < 1:
        raise ValueError(f"radius ({radius}) must be above 0 and examples ({examples}) at least 1")
    player = task.players[0]
    variables = player.variables
    first, second = (filter_normalized_direction(player.trains, seed=[seed, i]) for i in range(2))
    batches = _batches(split, examples, batch_size)
    others = [tf.convert_to_tensor(v.value) for v in pure_step.other_variables(player, task.networks)]

    @tf.function(autograph=False)
    def loss(values, batch):
        _, losses, _ = pure_step.forward(player, task.networks, values, others, batch, training=False)
        return tf.add_n([tf.cast(value, tf.float32) for value in losses.values()])

    values = [tf.convert_to_tensor(v.value) for v in variables]
    weights = np.array([float(batch_weight(batch)) for batch in batches])
    steps = np.linspace(-radius, radius, points)
    losses = np.empty((points, points))
    for i, along_first in enumerate(steps):
        for j, along_second in enumerate(steps):
            moved = [
                value + tf.cast(along_first * a + along_second * b, value.dtype)
                for value, a, b in zip(values, first, second, strict=True)
            ]
            losses[i, j] = np.average([float(loss(moved, batch)) for batch in batches], weights=weights)
    return Surface(steps, losses, int(weights.sum()))


def filter_normalized_direction(networks: Sequence[keras.Model], *, seed) -> list[np.ndarray]:
    """A random direction for each trainable variable of the networks, in their order, of its shape, float32.

    A filter is what makes one output: a kernel's part for its last axis, of depthwise convolutions for the two last.
    """
    random = np.random.default_rng(seed)
    depthwise = {id(layer.kernel) for network in networks for layer in _depthwise_layers(network)}
    directions = []
    for variable in [v for network in networks for v in network.trainable_variables]:
        values = variable.numpy().astype("float32")
        direction = random.standard_normal(values.shape).astype("float32")
        if values.ndim < 2:
            directions.append(np.zeros_like(values))
            continue
        kept = 2 if id(variable) in depthwise else 1
        axes = tuple(range(values.ndim - kept))
        lengths = np.sqrt(np.square(direction).sum(axis=axes, keepdims=True))
        directions.append(direction * np.sqrt(np.square(values).sum(axis=axes, keepdims=True)) / (lengths + 1e-12))
    return directions


def save(surface: Surface, path: Path) -> Path:
    """Writes `steps`, `losses` and `num_examples` to an .npz file that is either whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez(file, steps=surface.steps, losses=surface.losses, num_examples=surface.num_examples)
    return path


def _depthwise_layers(network: keras.Model) -> list[keras.layers.Layer]:
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found += _depthwise_layers(layer)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            found.append(layer)
    return found


def _batches(split: pipeline.Split, examples: int, batch_size: int) -> list[dict[str, tf.Tensor]]:
    """The chosen examples as batches of one size, the last one padded."""
    spread = tf.constant(np.unique(np.linspace(0, split.num_examples - 1, examples).astype(np.int64)))
    chosen = pipeline.Split(
        num_examples=len(spread),
        fetch=lambda indices: split.fetch(tf.gather(spread, indices)),
        describe=split.describe,
        fetch_per_example=split.fetch_per_example,
    )
    batch_size = min(batch_size, len(spread))
    dataset = pipeline.evaluation_dataset(chosen, batch_size=batch_size)
    return list(dataset.take(pipeline.evaluation_steps(chosen, batch_size)))
