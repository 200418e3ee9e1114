"""Dense prediction: a class for each pixel of an image, or its depth, or the surface's normal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.masks import RegressionDataConfig, SegmentationDataConfig
from tfdlcv.systems import pixel_heads, segmentation_networks
from tfdlcv.systems.dense_inference import PredictConfig
from tfdlcv.systems.networks import is_synchronized
from tfdlcv.systems.pixel_heads import CrossEntropyConfig, DepthConfig, NormalsConfig, PixelLossConfig
from tfdlcv.systems.segmentation_networks import DenseNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.systems.dense_inference import DenseInference
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 4  # Validation images that TensorBoard shows after each epoch.


class Config(Section):
    """A run of dense prediction. Whether pixels get classes, depth or normals is for `data` and `loss` to say."""

    system: Literal["segmentation/semantic"]
    model: DenseNetworkConfig
    data: Annotated[SegmentationDataConfig | RegressionDataConfig, Field(discriminator="name")]
    loss: PixelLossConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    predict: PredictConfig = PredictConfig()

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        if is_synchronized(self.model) and self.trainer.xla == "on":
            raise ValueError(
                "model.batch_norm synchronized and trainer.xla on exclude each other: "
                "a step that XLA compiles cannot talk to the other replicas"
            )
        wanted = self.loss.name if isinstance(self.loss, DepthConfig | NormalsConfig) else "classes"
        given = {"scenes": getattr(self.data, "target", None), "motorcycle": "depth"}.get(self.data.name, "classes")
        if wanted != given:
            raise ValueError(f"loss {self.loss.name} is for {wanted}, but data {self.data.name} has {given}")
        if wanted != "classes" and (self.predict.scales != (1.0,) or self.predict.method.name != "network"):
            raise ValueError(
                f"predict.scales and predict.method are for classes: with its size, what an image shows changes its "
                f"{wanted}"
            )
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads or generates the data, and says what a network must know of it."""
    import dataclasses

    from tfdlcv.data import masks

    datasets = masks.build_datasets(config.data)
    if not getattr(config.loss, "border_weight", 0):
        return datasets
    augment = datasets.augment or (lambda batch, seed: batch)
    # Behind the augmentation, which knows nothing of weights.
    return dataclasses.replace(
        datasets,
        augment=lambda batch, seed: pixel_heads.add_border_weights(augment(batch, seed), config.loss, datasets.facts),
    )


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    import keras
    from keras import ops

    from tfdlcv.training import strategies
    from tfdlcv.training.task import Task

    head = pixel_heads.build_pixel_head(config.loss, facts)
    body = segmentation_networks.build_dense_network(config.model, outputs=head.outputs)
    network = keras.Model(body.input, head.finish(body.output), name=body.name)
    sizes = segmentation_networks.input_sizes(config.model, network)
    segmentation_networks.check_image_size("data.image_size", facts["image_shape"][:2], sizes)
    crop = config.data.augmentation.scale_crop
    if crop is not None and crop.size is not None:
        segmentation_networks.check_image_size("data.augmentation.scale_crop.size", crop.size, sizes)

    def within(batch):
        """The part of the truth that the network's outputs are for."""
        margin = sizes.margin
        names = [name for name in ("mask", "target", "pixel_weight") if margin and name in batch]
        return {**batch, **{name: batch[name][:, margin:-margin, margin:-margin] for name in names}}

    def metric_inputs(batch, outputs):
        return within(batch)[head.truth], outputs, ops.cast(batch["valid"], "float32")

    return Task(
        network,
        losses=lambda batch, outputs: head.losses(within(batch), outputs),
        metrics=head.metrics["always"],
        evaluation_metrics=head.metrics["evaluation"],
        metric_inputs=metric_inputs,
        initialize=lambda: segmentation_networks.load_pretrained(config.model, network),
        xla=strategies.use_xla(config.trainer) and not is_synchronized(config.model),
        accumulation_steps=config.trainer.accumulation_steps,
        ema_momentum=config.trainer.ema_momentum,
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: images with truth, prediction and mistakes; the confusion matrix."""
    import numpy as np

    from tfdlcv.data.point_clouds import examples
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
    from tfdlcv.visualization.label_maps import draw_segmentations
    from tfdlcv.visualization.value_maps import draw_value_maps

    spread = np.linspace(0, datasets.validation.num_examples - 1, _SAMPLES).astype("int64")
    samples = examples(datasets.validation, sorted({*spread.tolist()}))
    margin = segmentation_networks.input_sizes(config.model, task.network).margin
    inside = slice(margin, -margin or None)
    images = samples["image"][:, inside, inside]

    def draw(outputs):
        if facts["target"] is not None:
            truths = [*samples["target"][:, inside, inside]]
            return draw_value_maps([*images], [*outputs], facts["target"]["name"], truths=truths)
        truths = [*samples["mask"][:, inside, inside]]
        labels = [*outputs.argmax(axis=-1)]
        return draw_segmentations([*images], labels, facts["class_names"], facts["palette"], truths=truths)

    shown = {"dense": Picture(read=lambda: np.asarray(task.infer(samples["image"])), draw=draw)}
    if facts["target"] is None:
        matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
        shown["confusion_matrix"] = Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        )
    return shown


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files or pixels, of any size, to what is said of each pixel."""
    import tensorflow as tf

    from tfdlcv.training.dense_serving import dense_serving

    head = pixel_heads.build_pixel_head(config.loss, facts)
    sizes = segmentation_networks.input_sizes(config.model, task.network)

    def around(size):
        above = tf.maximum(size + 2 * sizes.margin - sizes.minimum, 0)
        whole = sizes.minimum + (above + sizes.step - 1) // sizes.step * sizes.step
        before = tf.fill([2], sizes.margin)
        return tf.stack([before, whole - size - before], axis=1)

    return dense_serving(
        lambda image: head.describe(head.values(task.network(image, training=False))),
        minimum_size=1 if sizes.margin else sizes.minimum,
        around=around if sizes.margin else None,
        as_png="class_id" if head.truth == "mask" else None,
        labels=tuple(facts["class_names"]),
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Label maps, or numbers, of image files, with pictures and tables, in `directory`; see `predict` of the config."""
    import numpy as np

    from tfdlcv.data.masks import mask_format
    from tfdlcv.systems import dense_predictions

    options = {"truth": None if config.predict.truth is None else Path(config.predict.truth), "on_error": on_error}
    if facts["target"] is None:
        options |= {"facts": facts, "masks": mask_format(config.data, len(facts["class_names"]))}
    if config.predict.method.name != "network":
        return dense_predictions.cluster_files(config.predict.method, paths, directory, **options)
    inference = dense_inference(config, facts, task)
    if facts["target"] is None:

        def segment(image, mask):
            labels, confidence = inference.best(image)
            return dense_predictions.Segmentation(labels, facts["class_names"], facts["palette"], labels, confidence)

        return dense_predictions.segment_files(segment, paths, directory, **options)

    def values_of(image):
        values = inference.values(image)
        # Means of two directions are shorter.
        return values / np.linalg.norm(values, axis=-1, keepdims=True) if values.shape[-1] == 3 else values

    return dense_predictions.measure_files(values_of, paths, directory, target=facts["target"], **options)


def dense_inference(config: Config, facts: dict[str, Any], task: Task) -> DenseInference:
    """The network for images of any size, as the config's `predict` says."""
    from tfdlcv.systems.dense_inference import DenseInference
    from tfdlcv.systems.networks import body_of
    from tfdlcv.systems.sliding_window import SlidingWindow

    head = pixel_heads.build_pixel_head(config.loss, facts)
    window = SlidingWindow(
        lambda image: head.values(task.network(image, training=False)),
        segmentation_networks.input_sizes(config.model, task.network),
        tile=config.predict.tile,
        overlap=config.predict.overlap,
        body=body_of(task.network),
        flip=config.predict.flip,
        mirror=head.mirror,
    )
    return DenseInference(window, config.predict.scales)
