"""Polyphonic music: which keys sound next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.data.music import KEYS, MusicConfig
from tfdlcv.systems import sequence_networks
from tfdlcv.systems.sequence_networks import SequenceNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture


class BinaryCrossEntropyConfig(Section):
    """The sum over the keys of the cross-entropies of sounding or not, the mean over steps."""

    name: Literal["binary_cross_entropy"] = "binary_cross_entropy"


class Config(Section):
    """A run on polyphonic music."""

    system: Literal["sequence/music"]
    model: SequenceNetworkConfig
    data: MusicConfig
    loss: BinaryCrossEntropyConfig = BinaryCrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads or makes up the pieces."""
    from tfdlcv.data import music
    from tfdlcv.data.pipeline import Datasets

    return Datasets(**music.build(config.data), facts={"keys": KEYS})


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss, and `nll`, the mean over all counted steps, as papers report it."""
    import keras

    from tfdlcv.losses import sequence as sequence_losses
    from tfdlcv.training.task import Task

    options = sequence_networks.task_options(config.trainer)
    network = sequence_networks.build_sequence_network(
        config.model, input_shape=(None, KEYS), outputs=KEYS, last_step_only=False, xla=options["xla"]
    )

    def losses(batch, logits):
        steps = sequence_losses.step_binary_cross_entropy(logits, batch["targets"])
        mean = sequence_losses.mean_over_steps(steps, counted=batch["counted"], valid=batch["valid"])
        return {"binary_cross_entropy": mean}

    def counted_steps(batch, logits):
        steps = sequence_losses.step_binary_cross_entropy(logits, batch["targets"])
        return steps, sequence_losses.step_weights(steps, counted=batch["counted"], valid=batch["valid"])

    return Task(
        network, losses=losses, metrics=[keras.metrics.Mean(name="nll")], metric_inputs=counted_steps, **options
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: a piece, and what was expected of it, step by step."""
    import numpy as np

    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.piano_roll import draw_piano_rolls

    sample = sequence_networks.examples(datasets.validation, 1)
    steps = int(sample["counted"][0].sum())

    def draw(logits):
        probabilities = 1 / (1 + np.exp(-logits[0, :steps]))
        return draw_piano_rolls({"played": sample["targets"][0, :steps], "expected": probabilities})

    return {"piano_roll": Picture(read=lambda: np.asarray(task.infer(sample["sequence"])), draw=draw)}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: piano rolls to probabilities of the next step; of a TCN, also step by step."""
    import tensorflow as tf

    from tfdlcv.training.sequence_serving import sequence_serving

    return sequence_serving(task.network, describe=lambda logits: {"probabilities": tf.nn.sigmoid(logits)})


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Probabilities of each next step for piano rolls in .npy or .csv files, 88 columns of zeros and ones."""
    from tfdlcv.systems.sequence_predictions import predict_sequences

    serve = serving(config, facts, task).signatures["serving_default"]
    return predict_sequences(serve, paths, directory, on_error, steps=None, channels=KEYS)
