"""Hyperspherical classification: an image points at its class's prototype; softmax and margin losses to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.systems import class_heads, hyperspherical_data, hyperspherical_outputs
from tfdlcv.systems.class_heads import ClassLossConfig
from tfdlcv.systems.hyperspherical_data import ClassDataConfig
from tfdlcv.systems.networks import ImageNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.systems.image_explanations import Request
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture


class Config(Section):
    """A run of hyperspherical classification."""

    system: Literal["hyperspherical/classifier"]
    model: ImageNetworkConfig
    data: ClassDataConfig
    loss: ClassLossConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        hyperspherical_outputs.check_sections(self.model, self.optimizer, self.trainer)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the data, and places the prototypes of its classes."""
    datasets = hyperspherical_data.build(config.data, needs_classes=True, needs_value=False)
    prototypes = class_heads.class_prototypes(config.loss, datasets.facts["class_names"])
    datasets.facts["prototypes"] = None if prototypes is None else prototypes.tolist()
    return datasets


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from tfdlcv.losses import batch_mean
    from tfdlcv.training.task import Task

    num_classes = len(facts["class_names"])
    head = class_heads.build_class_head(config.loss, num_classes, facts["prototypes"])
    network = hyperspherical_outputs.build_network(
        config.model,
        image_shape=facts["image_shape"],
        dimensions=head.dimensions,
        outputs_of=lambda embedding: {"scores": head.score(embedding)},
    )
    metrics = hyperspherical_outputs.class_metrics(num_classes, class_heads.confidence(config.loss))
    return Task(
        network,
        losses=lambda batch, outputs: {
            config.loss.name: batch_mean(head.loss(batch["label"], outputs["scores"]), batch["valid"])
        },
        metrics=metrics["always"],
        evaluation_metrics=metrics["evaluation"],
        metric_inputs=hyperspherical_outputs.metric_inputs(None),
        **hyperspherical_outputs.task_options(config.model, config.trainer, network),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the confusion matrix, predictions, and embeddings on the sphere."""
    from tfdlcv.systems import hyperspherical_pictures

    return {
        **hyperspherical_pictures.confusion_matrix(facts, task),
        **hyperspherical_pictures.embedding_pictures(
            facts, task, datasets, confidence=class_heads.confidence(config.loss), run_dir=config.trainer.run_dir
        ),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels to class, cosine or probability, and embedding."""
    return hyperspherical_outputs.build_serving(
        task.network, facts, hyperspherical_data.decoding(config.data), class_heads.confidence(config.loss)
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Classifies image files and writes tables and a contact sheet to `directory`."""
    return hyperspherical_outputs.predict_files(
        serving(config, facts, task), facts, hyperspherical_data.decoding(config.data), paths, directory, on_error
    )


def explain(config: Config, facts: dict[str, Any], task: Task, request: Request) -> dict[str, Path]:
    """Writes pictures of what the network sees in images, by the scores of classes."""
    import keras

    from tfdlcv.systems.image_explanations import explain

    return explain(
        keras.Model(task.network.input, task.network.output["scores"], name=task.network.name),
        facts,
        request,
        decoding=hyperspherical_data.decoding(config.data),
        datasets=lambda: build_datasets(config),
        confidence=class_heads.confidence(config.loss),
    )
