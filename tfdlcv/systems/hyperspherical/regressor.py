"""Hyperspherical regression: a value is a place between two poles; mean squared error to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.systems import hyperspherical_data, hyperspherical_outputs, value_heads
from tfdlcv.systems.hyperspherical_data import ValueDataConfig
from tfdlcv.systems.networks import ImageNetworkConfig
from tfdlcv.systems.value_heads import ValueLossConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture


class Config(Section):
    """A run of hyperspherical regression."""

    system: Literal["hyperspherical/regressor"]
    model: ImageNetworkConfig
    data: ValueDataConfig
    loss: ValueLossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        hyperspherical_outputs.check_sections(self.model, self.optimizer, self.trainer)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the data."""
    return hyperspherical_data.build(config.data, needs_classes=False, needs_value=True)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from tfdlcv.losses import batch_mean
    from tfdlcv.training.task import Task

    value = facts["value"]
    head = value_heads.build_value_head(config.loss, lower=value["lower"], upper=value["upper"])
    network = hyperspherical_outputs.build_network(
        config.model,
        image_shape=facts["image_shape"],
        dimensions=head.dimensions,
        outputs_of=lambda embedding: {"position": head.position(embedding)},
    )
    return Task(
        network,
        losses=lambda batch, outputs: {
            config.loss.name: batch_mean(head.loss(batch["value"], outputs["position"]), batch["valid"])
        },
        metrics=hyperspherical_outputs.value_metrics(),
        metric_inputs=hyperspherical_outputs.metric_inputs(value),
        **hyperspherical_outputs.task_options(config.model, config.trainer, network),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: predictions, and embeddings on the sphere, coloured by value."""
    from tfdlcv.systems import hyperspherical_pictures

    return hyperspherical_pictures.embedding_pictures(
        facts, task, datasets, confidence=None, by_class=False, run_dir=config.trainer.run_dir
    )


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels to value, unit and embedding."""
    return hyperspherical_outputs.build_serving(task.network, facts, hyperspherical_data.decoding(config.data), None)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Says the values of image files and writes tables and a contact sheet to `directory`."""
    return hyperspherical_outputs.predict_files(
        serving(config, facts, task), facts, hyperspherical_data.decoding(config.data), paths, directory, on_error
    )
