"""Image classification: one label for an image, from digits to your own folders of photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.digits import DigitsConfig
from tfdlcv.data.image_folder import ImageFolder
from tfdlcv.errors import UserError
from tfdlcv.systems.networks import (
    ImageNetworkConfig,
    build_image_network,
    is_synchronized,
    load_pretrained,
    main_logits,
    without_auxiliary_heads,
)
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.systems.image_explanations import Request
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 25  # Validation images whose predictions TensorBoard shows after each epoch.


class CrossEntropyConfig(Section):
    """Cross-entropy."""

    name: Literal["cross_entropy"]
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] | tuple[Annotated[float, Field(ge=0)], ...] = "none"
    """balanced: inversely proportional to the classes' training examples; or a number for each class."""
    auxiliary_weight: float = Field(0.3, ge=0)  # Szegedy et al. 2015, Going Deeper with Convolutions, section 5.
    """Factor of the losses of a network's auxiliary heads, where it has them."""


class BinaryCrossEntropyConfig(Section):
    """Cross-entropy of a yes or no for each class, so that an image blended of two may show both."""

    name: Literal["binary_cross_entropy"]
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    target_threshold: float | None = Field(None, ge=0, lt=1)
    """Classes with a larger share of a blended image count as shown in full; all others as absent."""
    auxiliary_weight: float = Field(0.3, ge=0)
    """As of cross_entropy."""


class PerceptronLossConfig(Section):
    """Rosenblatt's rule: with `sgd`, weights move by learning_rate * image for the label's class, and by as much the
    other way for the class that was taken for it; not at all for images that are classified right."""

    name: Literal["perceptron"]


LossConfig = Annotated[
    CrossEntropyConfig | BinaryCrossEntropyConfig | PerceptronLossConfig, Field(discriminator="name")
]


class Config(Section):
    """A run of image classification."""

    system: Literal["classification/image_classifier"]
    model: ImageNetworkConfig
    data: Annotated[DigitsConfig | ImageFolder, Field(discriminator="name")]
    loss: LossConfig = CrossEntropyConfig(name="cross_entropy")
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        if is_synchronized(self.model) and self.trainer.xla == "on":
            raise ValueError(
                "model.batch_norm synchronized and trainer.xla on exclude each other: "
                "a step that XLA compiles cannot talk to the other replicas"
            )
        if isinstance(self.loss, PerceptronLossConfig):
            self._check_perceptron_rule()
        return self

    def _check_perceptron_rule(self):
        augmentation = self.data.augmentation
        if getattr(self.model, "auxiliary_heads", False):
            raise ValueError("loss perceptron and model.auxiliary_heads exclude each other: the rule has no weights")
        if augmentation.mixup_alpha or augmentation.cutmix_alpha:
            raise ValueError(
                f"loss perceptron needs one label an image: data.augmentation.mixup_alpha ({augmentation.mixup_alpha}) "
                f"and cutmix_alpha ({augmentation.cutmix_alpha}) must be 0"
            )


def build_datasets(config: Config) -> Datasets:
    """Reads the data and says what a network must know of it."""
    from tfdlcv.data import digits, image_folder
    from tfdlcv.data.augmentation import build_augmentation
    from tfdlcv.data.pipeline import Datasets

    data = image_folder.build(config.data) if isinstance(config.data, ImageFolder) else digits.build(config.data)
    facts = {
        "class_names": list(data.class_names),
        "class_counts": list(data.class_counts),
        "image_shape": list(data.image_shape),
    }
    augment = build_augmentation(config.data.augmentation, len(data.class_names), data.image_shape)
    return Datasets(data.train, data.validation, data.test, facts, augment)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from tfdlcv.metrics import classification_metrics
    from tfdlcv.training import strategies
    from tfdlcv.training.batches import default_metric_inputs
    from tfdlcv.training.task import Task

    num_classes = len(facts["class_names"])
    network = build_image_network(config.model, image_shape=facts["image_shape"], outputs=num_classes)
    loss_of = _loss_function(config.loss, facts["class_counts"])

    def losses(batch, outputs):
        values = {config.loss.name: loss_of(batch, main_logits(outputs))}
        if isinstance(outputs, dict):
            others = [logits for name, logits in outputs.items() if name != "logits"]
            weight = config.loss.auxiliary_weight
            values["auxiliary"] = weight * sum(loss_of(batch, logits) for logits in others)
        return values

    def metric_inputs(batch, outputs):
        return default_metric_inputs(batch, main_logits(outputs))

    metrics = classification_metrics(num_classes)
    return Task(
        network,
        losses=losses,
        metrics=metrics["always"],
        evaluation_metrics=metrics["evaluation"],
        metric_inputs=metric_inputs,
        initialize=lambda: load_pretrained(config.model, network),
        xla=strategies.use_xla(config.trainer) and not is_synchronized(config.model),
        accumulation_steps=config.trainer.accumulation_steps,
        ema_momentum=config.trainer.ema_momentum,
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the confusion matrix of validation, and some predictions."""
    import numpy as np

    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
    from tfdlcv.visualization.predictions import draw_predictions

    matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
    spread = np.linspace(0, datasets.validation.num_examples - 1, _SAMPLES).astype("int64")
    samples = _examples(datasets.validation, sorted(set(spread.tolist())))

    def draw_samples(logits):
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return draw_predictions(samples["image"], probabilities, facts["class_names"], labels=samples["label"])

    return {
        "confusion_matrix": Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        ),
        "predictions": Picture(read=lambda: np.asarray(main_logits(task.infer(samples["image"]))), draw=draw_samples),
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels to probabilities."""
    from tfdlcv.training.image_serving import image_classification_serving

    return image_classification_serving(
        without_auxiliary_heads(task.network),
        image_shape=tuple(facts["image_shape"]),
        class_names=facts["class_names"],
        **_decoding(config),
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Classifies image files and writes tables and a contact sheet to `directory`."""
    from tfdlcv.systems.image_predictions import classify_files, find_images, write_predictions

    rows = classify_files(
        serving(config, facts, task), find_images(paths), facts["image_shape"], _decoding(config), on_error
    )
    for row in rows[:20]:
        print(f"{row['file']}: {row['label']} ({row['probability']:.1%})")
    if len(rows) > 20:
        print(f"... and {len(rows) - 20} more")
    return write_predictions(rows, facts["class_names"], directory)


def features(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], output: Path, layer: str, on_error: str
) -> Path:
    """Writes what the network's layer `layer` makes of image files to `output`, an .npz file."""
    from tfdlcv.systems.image_features import write_features
    from tfdlcv.systems.image_predictions import find_images

    return write_features(
        task.network,
        layer,
        find_images(paths),
        output,
        image_shape=facts["image_shape"],
        decode=_decoding(config),
        on_error=on_error,
    )


def explain(config: Config, facts: dict[str, Any], task: Task, request: Request) -> dict[str, Path]:
    """Writes pictures of what the network sees in images."""
    from tfdlcv.systems.image_explanations import explain

    return explain(
        without_auxiliary_heads(task.network),
        facts,
        request,
        decoding=_decoding(config),
        datasets=lambda: build_datasets(config),
    )


def _decoding(config: Config) -> dict[str, Any]:
    """How files become images of the network's size, as in training."""
    if isinstance(config.data, ImageFolder):
        return {"resize": config.data.resize}
    return {"padding": config.data.padding}


def _loss_function(loss: LossConfig, class_counts: Sequence[int]) -> Callable[[dict[str, Any], Any], Any]:
    """(batch, logits) -> () float32."""
    from tfdlcv.losses.cross_entropy import binary_cross_entropy, cross_entropy
    from tfdlcv.losses.perceptron import perceptron_loss

    if isinstance(loss, PerceptronLossConfig):
        return lambda batch, logits: perceptron_loss(logits, batch["label"], valid=batch["valid"])
    if isinstance(loss, BinaryCrossEntropyConfig):
        function, options = binary_cross_entropy, {"target_threshold": loss.target_threshold}
    else:
        function, options = cross_entropy, {"class_weights": _class_weights(loss, class_counts)}
    return lambda batch, logits: function(
        logits,
        batch["label"],
        soft_labels=batch.get("soft_label"),
        valid=batch["valid"],
        label_smoothing=loss.label_smoothing,
        **options,
    )


def _class_weights(loss: CrossEntropyConfig, class_counts: Sequence[int]) -> tuple[float, ...] | None:
    from tfdlcv.losses.cross_entropy import balanced_class_weights

    if loss.class_weights == "none":
        return None
    if loss.class_weights == "balanced":
        if 0 in class_counts:
            raise UserError(
                f"loss.class_weights balanced needs a training example of every class. Examples: {list(class_counts)}"
            )
        return balanced_class_weights(class_counts)
    if len(loss.class_weights) != len(class_counts):
        raise UserError(
            f"loss.class_weights ({len(loss.class_weights)} numbers) must have one for each of the "
            f"{len(class_counts)} classes"
        )
    return loss.class_weights


def _examples(split, indices: Sequence[int]) -> dict[str, Any]:
    """Examples of a split as arrays."""
    import numpy as np
    import tensorflow as tf

    if not split.fetch_per_example:
        return {name: value.numpy() for name, value in split.fetch(tf.constant(indices, tf.int64)).items()}
    examples = [split.fetch(tf.constant(index, tf.int64)) for index in indices]
    return {name: np.stack([example[name].numpy() for example in examples]) for name in examples[0]}
