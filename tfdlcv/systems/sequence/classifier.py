"""Sequence classification: one label for a sequence; images read pixel by pixel (sequential and permuted MNIST)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.sequences import PixelSequencesConfig
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


class CrossEntropyConfig(Section):
    """Cross-entropy."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Config(Section):
    """A run of sequence classification."""

    system: Literal["sequence/classifier"]
    model: SequenceNetworkConfig
    data: Annotated[PixelSequencesConfig, Field(discriminator="name")]
    loss: CrossEntropyConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the images and says what a network must know of them."""
    from tfdlcv.data import sequences
    from tfdlcv.data.pipeline import Datasets

    data = sequences.build(config.data)
    height, width, channels = data.image_shape
    facts = {
        "class_names": list(data.class_names),
        "image_shape": [height, width, channels],
        "sequence_shape": [height * width, channels],
    }
    return Datasets(data.train, data.validation, data.test, facts)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from tfdlcv.losses.cross_entropy import cross_entropy
    from tfdlcv.metrics import classification_metrics
    from tfdlcv.training.task import Task

    num_classes = len(facts["class_names"])
    options = sequence_networks.task_options(config.trainer)
    network = sequence_networks.build_sequence_network(
        config.model,
        input_shape=facts["sequence_shape"],
        outputs=num_classes,
        last_step_only=True,
        xla=options["xla"],
        rescaling=(255 * config.data.pixel_mean, 255 * config.data.pixel_deviation),
    )

    def losses(batch, logits):
        smoothing = config.loss.label_smoothing
        loss = cross_entropy(logits, batch["label"], valid=batch["valid"], label_smoothing=smoothing)
        return {"cross_entropy": loss}

    metrics = classification_metrics(num_classes)
    return Task(network, losses=losses, metrics=metrics["always"], evaluation_metrics=metrics["evaluation"], **options)


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the confusion matrix, and gradients over time."""
    import numpy as np

    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix

    matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
    samples = sequence_networks.examples(datasets.validation, _GRADIENT_SAMPLES)
    return {
        "confusion_matrix": Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        ),
        "gradients_over_time": sequence_networks.gradient_picture(task, samples["sequence"]),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files, images or sequences to probabilities; of a TCN, also pixel by pixel."""
    import dataclasses

    import tensorflow as tf

    from tfdlcv.data import sequences
    from tfdlcv.training.image_serving import image_classification_serving
    from tfdlcv.training.sequence_serving import sequence_serving

    image_shape = tuple(facts["image_shape"])
    order = sequences.pixel_order(config.data, image_shape[0] * image_shape[1])

    def classify_images(images, training=False):
        return task.network(sequences.flatten_images(images, order), training=training)

    def describe(logits):
        return {"probabilities": tf.nn.softmax(logits), "class_id": tf.argmax(logits, axis=-1)}

    images = image_classification_serving(
        classify_images, image_shape=image_shape, class_names=facts["class_names"], padding=config.data.padding
    )
    stream = sequence_serving(task.network, describe=describe)
    renamed = {"serving_default": "sequences"}
    return dataclasses.replace(
        images,
        signatures={
            **images.signatures,
            **{renamed.get(name, name): function for name, function in stream.signatures.items()},
        },
        warmup_requests=(
            *images.warmup_requests,
            *(
                dataclasses.replace(request, signature=renamed.get(request.signature, request.signature))
                for request in stream.warmup_requests
            ),
        ),
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Classifies image files and writes tables and a contact sheet to `directory`."""
    from tfdlcv.systems.image_predictions import classify_files, find_images, write_predictions

    decoding = {"padding": config.data.padding}
    rows = classify_files(serving(config, facts, task), find_images(paths), facts["image_shape"], decoding, on_error)
    return write_predictions(rows, facts["class_names"], directory)
