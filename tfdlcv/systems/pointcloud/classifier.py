"""Classification of point clouds: one label for a cloud, from generated bodies to ModelNet40; of points or voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.digit_clouds import DigitCloudsConfig
from tfdlcv.data.mesh_files import MeshFilesConfig
from tfdlcv.data.modelnet import ModelNetConfig
from tfdlcv.data.primitives import PrimitivesConfig
from tfdlcv.systems import point_networks
from tfdlcv.systems.point_networks import ClassifierNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 20  # Validation clouds whose predictions TensorBoard shows after each epoch.


class CrossEntropyConfig(Section):
    """Cross-entropy."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Config(Section):
    """A run of point-cloud classification."""

    system: Literal["pointcloud/classifier"]
    model: ClassifierNetworkConfig
    data: Annotated[
        PrimitivesConfig | DigitCloudsConfig | MeshFilesConfig | ModelNetConfig, Field(discriminator="name")
    ]
    loss: CrossEntropyConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        point_networks.check_points(self.model, self.data.points)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads or generates the clouds, and says what a network must know of them."""
    from tfdlcv.data import digit_clouds, mesh_files, modelnet, primitives

    reader = {
        PrimitivesConfig: primitives,
        DigitCloudsConfig: digit_clouds,
        MeshFilesConfig: mesh_files,
        ModelNetConfig: modelnet,
    }
    data = reader[type(config.data)].build(config.data)
    return point_networks.build_cloud_datasets(data, config, label_of="cloud")


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from tfdlcv.losses.cross_entropy import cross_entropy
    from tfdlcv.metrics import MeanClassAccuracy, classification_metrics
    from tfdlcv.training.task import Task

    num_classes = len(facts["class_names"])
    network = point_networks.build_classifier(
        config.model, num_classes=num_classes, features=facts["num_features"], points=facts["points"]
    )

    def losses(batch, logits):
        smoothing = config.loss.label_smoothing
        loss = cross_entropy(logits, batch["label"], valid=batch["valid"], label_smoothing=smoothing)
        return {"cross_entropy": loss}

    metrics = classification_metrics(num_classes)
    return Task(
        network,
        losses=losses,
        metrics=metrics["always"],
        evaluation_metrics=[*metrics["evaluation"], MeanClassAccuracy(num_classes)],
        **point_networks.task_options(config.trainer),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the confusion matrix of validation, and some clouds."""
    import numpy as np

    from tfdlcv.data.point_clouds import examples
    from tfdlcv.training.batches import network_inputs
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
    from tfdlcv.visualization.point_clouds import draw_cloud_predictions

    matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
    spread = np.linspace(0, datasets.validation.num_examples - 1, _SAMPLES).astype("int64")
    samples = examples(datasets.validation, sorted(set(spread.tolist())))
    inputs = network_inputs(task.network, samples)

    def draw_samples(logits):
        return draw_cloud_predictions(
            samples["positions"], logits, facts["class_names"], labels=samples["label"], up_axis=facts["up_axis"]
        )

    return {
        "confusion_matrix": Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        ),
        "predictions": Picture(read=lambda: np.asarray(task.infer(inputs)), draw=draw_samples),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: points to probabilities; neighbours are found inside, octrees are made by the client."""
    import tensorflow as tf

    from tfdlcv.data.volumes import VolumeSpec
    from tfdlcv.training.cloud_serving import cloud_serving
    from tfdlcv.training.volume_serving import volume_serving

    def describe(logits):
        return {"probabilities": tf.nn.softmax(logits), "class_id": tf.argmax(logits, axis=-1)}

    spec = point_networks.pyramid_of(config.model)
    serve = volume_serving if isinstance(spec, VolumeSpec) else cloud_serving
    return serve(task.network, facts=facts, spec=spec, describe=describe)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Classifies cloud files and writes tables and a picture to `directory`."""
    from tfdlcv.systems.point_predictions import classify_clouds

    return classify_clouds(
        task.network, facts, point_networks.pyramid_of(config.model), paths, directory, on_error=on_error
    )
