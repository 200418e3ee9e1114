"""Segmentation of point clouds: one label for each point, from generated rooms to S3DIS, and parts of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.mesh_scenes import MeshScenesConfig
from tfdlcv.data.rooms import RoomsConfig
from tfdlcv.data.shapenet_part import ShapeNetPartConfig
from tfdlcv.data.stanford import StanfordConfig
from tfdlcv.errors import UserError
from tfdlcv.systems import point_networks
from tfdlcv.systems.point_networks import SegmenterNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    import keras

    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 3  # Validation clouds that TensorBoard shows after each epoch.


class CrossEntropyConfig(Section):
    """Cross-entropy, the mean over all labelled points."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """A factor for each class."""


class PredictConfig(Section):
    """What `tfdlcv predict` must know of clouds; neither training nor the export looks at it."""

    category: str | int | None = None
    """Of all clouds, by its name or number, where the data set has categories (ShapeNet-part): a point is then given
    one of the category's parts. A network whose features have the category needs it."""


class Config(Section):
    """A run of point-cloud segmentation."""

    system: Literal["pointcloud/segmenter"]
    model: SegmenterNetworkConfig
    data: Annotated[RoomsConfig | MeshScenesConfig | ShapeNetPartConfig | StanfordConfig, Field(discriminator="name")]
    loss: CrossEntropyConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    predict: PredictConfig = PredictConfig()

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        point_networks.check_points(self.model, self.data.points)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads or generates the clouds, and says what a network must know of them."""
    from tfdlcv.data import mesh_scenes, rooms, shapenet_part, stanford

    reader = {
        RoomsConfig: rooms,
        MeshScenesConfig: mesh_scenes,
        ShapeNetPartConfig: shapenet_part,
        StanfordConfig: stanford,
    }
    data = reader[type(config.data)].build(config.data)
    datasets = point_networks.build_cloud_datasets(data, config, label_of="point")
    datasets.facts["spacing"] = point_networks.mean_spacing(datasets.train)
    return datasets


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from keras import ops

    from tfdlcv.losses.cross_entropy import cross_entropy
    from tfdlcv.metrics import PartIoU, segmentation_metrics
    from tfdlcv.training.task import Task

    num_classes = len(facts["class_names"])
    factors = config.loss.class_weights
    if factors is not None and len(factors) != num_classes:
        raise UserError(
            f"loss.class_weights ({len(factors)} numbers) must have one for each of the {num_classes} classes"
        )
    network = point_networks.build_segmenter(config.model, num_classes=num_classes, features=facts["num_features"])

    def counted_points(batch):
        return ops.logical_and(batch["label"] >= 0, ops.expand_dims(batch["valid"], -1))  # (B, N)

    def losses(batch, logits):
        loss = cross_entropy(
            ops.reshape(logits, (-1, num_classes)),
            ops.reshape(ops.maximum(batch["label"], 0), (-1,)),
            valid=ops.reshape(counted_points(batch), (-1,)),
            label_smoothing=config.loss.label_smoothing,
            class_weights=factors,
        )
        return {"cross_entropy": loss}

    def metric_inputs(batch, logits):
        return ops.maximum(batch["label"], 0), logits, ops.cast(counted_points(batch), "float32")

    metrics = segmentation_metrics(num_classes)
    if facts["label_category"]:
        metrics["evaluation"] += [PartIoU(facts["label_category"], average=kind) for kind in ("class", "instance")]
    return Task(
        network,
        losses=losses,
        metrics=metrics["always"],
        evaluation_metrics=metrics["evaluation"],
        metric_inputs=metric_inputs,
        **point_networks.task_options(config.trainer),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the confusion matrix, and clouds, truth beside prediction."""
    import numpy as np

    from tfdlcv.data.point_clouds import examples, feature_columns
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
    from tfdlcv.visualization.point_clouds import draw_segmentations

    matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
    samples = examples(datasets.validation, range(min(_SAMPLES, datasets.validation.num_examples)))
    inputs = {tensor.name: samples[tensor.name] for tensor in task.network.inputs}
    place = feature_columns(facts["features"], num_categories=len(facts["category_names"])).get("color")
    colors = None if place is None else np.round((samples["features"][..., place] + 0.5) * 255).astype(np.uint8)

    def draw_samples(logits):
        return draw_segmentations(
            samples["positions"],
            {"truth": samples["label"], "prediction": logits.argmax(axis=-1)},
            facts["class_names"],
            colors=colors,
            up_axis=facts["up_axis"],
        )

    return {
        "confusion_matrix": Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        ),
        "segmentation": Picture(read=lambda: np.asarray(task.infer(inputs)), draw=draw_samples),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: points to the probabilities of each; neighbours are found inside.

    Where the features have the category, classes that are not of it have the probability 0; and all are NaN of a
    category that does not exist.
    """
    import tensorflow as tf

    from tfdlcv.training.cloud_serving import cloud_serving

    def describe(logits):
        return {"probabilities": tf.nn.softmax(logits), "class_id": tf.argmax(logits, axis=-1)}

    network = _of_own_category(task.network, facts)
    return cloud_serving(network, facts=facts, spec=point_networks.pyramid_of(config.model), describe=describe)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Segments cloud files: labels, a PLY in the classes' colours, and a picture of each, in `directory`."""
    from tfdlcv.systems.point_predictions import Segmenter, segment_files

    segmenter = Segmenter(task.network, facts, point_networks.pyramid_of(config.model), config.model)
    category = _category_number(config.predict.category, facts)
    return segment_files(segmenter, paths, directory, category=category, on_error=on_error)


def _category_number(category: str | int | None, facts: dict[str, Any]) -> int | None:
    """The number of the category that `predict.category` names; UserError where it is none, or missing."""
    names = facts["category_names"]
    if category is None and "category" not in facts["features"]:
        return None
    if not names:
        raise UserError(f"predict.category ({category}) is for data sets with categories, but this run's has none")
    if category in names:
        return names.index(category)
    if isinstance(category, int) and 0 <= category < len(names):
        return category
    choices = ", ".join(f"{name} ({number})" for number, name in enumerate(names))
    if category is None:
        raise UserError(f"the network's features have the category: set predict.category to one of {choices}")
    raise UserError(f"predict.category ({category}) must be one of {choices}")


def _of_own_category(network: keras.Model, facts: dict[str, Any]) -> keras.Model:
    """The network, with logits of -inf for classes that are not of the category which the features name."""
    import keras
    from keras import ops

    from tfdlcv.data.point_clouds import feature_columns

    place = feature_columns(facts["features"], num_categories=len(facts["category_names"])).get("category")
    if place is None or not facts["label_category"]:
        return network
    inputs = {tensor.name: tensor for tensor in network.inputs}
    one_hot = inputs["features"][..., place]  # (B, N, categories)
    own = ops.take(one_hot, facts["label_category"], axis=-1) > 0  # (B, N, Q)
    return keras.Model(inputs, ops.where(own, network.output, float("-inf")), name=network.name)
