"""Hyperspherical classification and regression at once, in one space; softmax with squared error to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.systems import class_heads, hyperspherical_data, hyperspherical_outputs, value_heads
from tfdlcv.systems.class_heads import PrototypesConfig, SoftmaxConfig
from tfdlcv.systems.hyperspherical_data import ValueDataConfig
from tfdlcv.systems.networks import ImageNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

Weight = Annotated[float, Field(ge=0, le=1)]


class HypersphericalConfig(Section):
    """Prototypes for the classes, and an axis between two poles for the values, at right angles to them."""

    name: Literal["hyperspherical"]
    weight: Weight = 0.5
    """Of the classes; the values have the rest."""
    classes: PrototypesConfig
    """The embedding has one dimension more than `classes.dimensions`: the axis of the values."""


class MultiTaskConfig(Section):
    """The baseline of multi-task learning: softmax cross-entropy and squared error of one network."""

    name: Literal["multi_task"]
    weight: Weight = 0.5
    """Of the classes; the values have the rest."""
    classes: SoftmaxConfig = SoftmaxConfig(name="softmax")
    target: Literal["position", "value"] = "position"
    """What the network says of a value: the position in [-1, 1], or the value in its own units."""


class Config(Section):
    """A run of joint classification and regression."""

    system: Literal["hyperspherical/joint"]
    model: ImageNetworkConfig
    data: ValueDataConfig
    loss: Annotated[HypersphericalConfig | MultiTaskConfig, Field(discriminator="name")]
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        hyperspherical_outputs.check_sections(self.model, self.optimizer, self.trainer)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the data, and places the prototypes of its classes."""
    datasets = hyperspherical_data.build(config.data, needs_classes=True, needs_value=True)
    prototypes = class_heads.class_prototypes(config.loss.classes, datasets.facts["class_names"])
    datasets.facts["prototypes"] = None if prototypes is None else prototypes.tolist()
    return datasets


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, losses and metrics."""
    from tfdlcv.losses import batch_mean
    from tfdlcv.training.task import Task

    value, num_classes, weight = facts["value"], len(facts["class_names"]), config.loss.weight
    ends = {"lower": value["lower"], "upper": value["upper"]}
    class_head = class_heads.build_class_head(config.loss.classes, num_classes, facts["prototypes"])
    network = hyperspherical_outputs.build_network(
        config.model,
        image_shape=facts["image_shape"],
        dimensions=class_head.dimensions + 1,
        outputs_of=lambda embedding: _outputs(embedding, config.loss, class_head, ends),
    )
    half = (ends["upper"] - ends["lower"]) / 2  # Units of the value in one unit of the position.
    value_scale = half**2 if getattr(config.loss, "target", "position") == "value" else 1.0

    def losses(batch, outputs):
        class_loss = class_head.loss(batch["label"], outputs["scores"])
        value_loss = value_scale * value_heads.squared_error(batch["value"], outputs["position"], **ends)
        return {
            "classification": weight * batch_mean(class_loss, batch["valid"]),
            "regression": (1.0 - weight) * batch_mean(value_loss, batch["valid"]),
        }

    metrics = hyperspherical_outputs.class_metrics(num_classes, class_heads.confidence(config.loss.classes))
    return Task(
        network,
        losses=losses,
        metrics=[*metrics["always"], *hyperspherical_outputs.value_metrics()],
        evaluation_metrics=metrics["evaluation"],
        metric_inputs=hyperspherical_outputs.metric_inputs(value),
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
            facts,
            task,
            datasets,
            confidence=class_heads.confidence(config.loss.classes),
            run_dir=config.trainer.run_dir,
            skipped_dimensions=1 if isinstance(config.loss, HypersphericalConfig) else 0,
        ),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels to class, cosine or probability, value, unit and embedding."""
    return hyperspherical_outputs.build_serving(
        task.network, facts, hyperspherical_data.decoding(config.data), class_heads.confidence(config.loss.classes)
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Says class and value of image files and writes tables and a contact sheet to `directory`."""
    return hyperspherical_outputs.predict_files(
        serving(config, facts, task), facts, hyperspherical_data.decoding(config.data), paths, directory, on_error
    )


def _outputs(embedding, loss: HypersphericalConfig | MultiTaskConfig, class_head, ends: Mapping[str, float]):
    """`scores` and `position` of an embedding, whose first dimension (or, of the baseline, output) is the value's."""
    from tfdlcv.losses.hyperspherical import first_axis
    from tfdlcv.ops import hypersphere

    scores = class_head.score(embedding[:, 1:])
    if isinstance(loss, HypersphericalConfig):
        return {"scores": scores, "position": hypersphere.cosine(embedding, first_axis(embedding.shape[-1]))}
    if loss.target == "position":
        return {"scores": scores, "position": embedding[:, 0]}
    return {"scores": scores, "position": hypersphere.value_to_cosine(embedding[:, 0], **ends)}
