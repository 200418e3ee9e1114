"""Metric learning: embeddings by triplet, contrastive or N-pair losses, judged by what they retrieve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.systems import hyperspherical_data, hyperspherical_outputs, pair_losses
from tfdlcv.systems.hyperspherical_data import ClassDataConfig
from tfdlcv.systems.networks import ImageNetworkConfig
from tfdlcv.systems.pair_losses import PairLossConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig

if TYPE_CHECKING:
    import keras

    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_MOST_KEPT = 2000  # Examples that are compared with each other; larger sets are thinned out evenly.
_RECALLS = (1, 2, 4, 8)  # As papers of image retrieval have them.


class Config(Section):
    """A run of metric learning."""

    system: Literal["hyperspherical/retrieval"]
    model: ImageNetworkConfig
    data: ClassDataConfig
    loss: PairLossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        hyperspherical_outputs.check_sections(self.model, self.optimizer, self.trainer)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the data. Fact `evaluated`: the number of examples of the larger set of validation and testing."""
    datasets = hyperspherical_data.build(config.data, needs_classes=True, needs_value=False)
    splits = [datasets.validation] + ([] if datasets.test is None else [datasets.test])
    datasets.facts["evaluated"] = max(split.num_examples for split in splits)
    return datasets


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    import keras

    from tfdlcv.losses import batch_mean
    from tfdlcv.training.task import Task

    network = hyperspherical_outputs.build_network(
        config.model,
        image_shape=facts["image_shape"],
        dimensions=config.loss.dimensions,
        outputs_of=lambda embedding: {},
    )
    loss = pair_losses.build_pair_loss(config.loss)

    def losses(batch, outputs):
        class_ids = keras.ops.where(batch["valid"], batch["label"], -1)  # What these losses take for padding.
        return {config.loss.name: batch_mean(loss.call(class_ids, outputs["embedding"]))}

    return Task(
        network,
        losses=losses,
        evaluation_metrics=_metrics(config.loss.dimensions, facts["evaluated"]),
        metric_inputs=_metric_inputs,
        **hyperspherical_outputs.task_options(config.model, config.trainer, network),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: embeddings on the sphere, and images beside the nearest other one."""
    from tfdlcv.systems import hyperspherical_pictures

    return hyperspherical_pictures.embedding_pictures(
        facts, task, datasets, confidence=None, run_dir=config.trainer.run_dir
    )


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels to their embedding."""
    return hyperspherical_outputs.build_serving(task.network, facts, hyperspherical_data.decoding(config.data), None)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Finds for each image file the nearest other one, and writes tables and a contact sheet to `directory`."""
    return hyperspherical_outputs.predict_files(
        serving(config, facts, task),
        facts,
        hyperspherical_data.decoding(config.data),
        paths,
        directory,
        on_error,
        complete=hyperspherical_outputs.add_nearest,
    )


def _metrics(dimensions: int, examples: int) -> list[keras.metrics.Metric]:
    from tfdlcv.metrics import RecallAtK, RetrievalAveragePrecision

    stride = -(-examples // _MOST_KEPT)
    kept = -(-examples // stride)
    recalls = [RecallAtK(k, kept, dimensions, stride=stride) for k in _RECALLS]
    return [*recalls, RetrievalAveragePrecision(kept, dimensions, stride=stride)]


def _metric_inputs(batch, outputs):
    return {"label": batch["label"], "id": batch["id"]}, outputs["embedding"], batch["valid"]
