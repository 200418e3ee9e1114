"""The adding problem: the sum of two marked numbers of a long sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.data.memory_tasks import AddingConfig
from tfdlcv.systems import sequence_networks
from tfdlcv.systems.sequence_networks import SequenceNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_GRADIENT_SAMPLES = 8
_TOLERANCE = 0.04  # An answer farther off counts as wrong in Hochreiter and Schmidhuber 1997, section 5.4.


class SquaredErrorConfig(Section):
    """Mean squared error."""

    name: Literal["squared_error"] = "squared_error"


class Config(Section):
    """A run of the adding problem."""

    system: Literal["sequence/adding"]
    model: SequenceNetworkConfig
    data: AddingConfig
    loss: SquaredErrorConfig = SquaredErrorConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Generates the examples; `baseline_loss` is that of always answering 1."""
    from tfdlcv.data import memory_tasks
    from tfdlcv.data.pipeline import Datasets

    facts = {"sequence_shape": [config.data.steps, 2], "baseline_loss": memory_tasks.adding_baseline()}
    return Datasets(*memory_tasks.build_adding(config.data), facts)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and the share of answers that are near enough."""
    import keras
    from keras import ops

    from tfdlcv.training.task import Task

    options = sequence_networks.task_options(config.trainer)
    network = sequence_networks.build_sequence_network(
        config.model, input_shape=facts["sequence_shape"], outputs=1, last_step_only=True, xla=options["xla"]
    )

    def errors(batch, outputs):
        return ops.cast(outputs, "float32")[:, 0] - batch["label"]  # (B,)

    def losses(batch, outputs):
        valid = ops.cast(batch["valid"], "float32")
        squares = ops.square(errors(batch, outputs))
        return {"squared_error": ops.sum(squares * valid) / ops.maximum(ops.sum(valid), 1.0)}

    def near(batch, outputs):
        return ops.cast(ops.abs(errors(batch, outputs)) <= _TOLERANCE, "float32"), batch["valid"]

    return Task(network, losses=losses, metrics=[keras.metrics.Mean(name="accuracy")], metric_inputs=near, **options)


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: gradients over time."""
    samples = sequence_networks.examples(datasets.validation, _GRADIENT_SAMPLES)
    return {"gradients_over_time": sequence_networks.gradient_picture(task, samples["sequence"])}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: sequences to sums; of a TCN, also step by step."""
    from tfdlcv.training.sequence_serving import sequence_serving

    return sequence_serving(task.network, describe=lambda outputs: {"sum": outputs[..., 0]})


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Sums of sequences in .npy or .csv files, a row for each step: the number, and 1 where it is marked."""
    from tfdlcv.systems.sequence_predictions import predict_sequences

    serve = serving(config, facts, task).signatures["serving_default"]
    steps, channels = facts["sequence_shape"]
    return predict_sequences(serve, paths, directory, on_error, steps=steps, channels=channels)
