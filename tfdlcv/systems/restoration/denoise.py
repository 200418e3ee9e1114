"""Denoising: photographs without the noise of their sensors, and autoencoders that keep what matters of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.noisy_digits import NoisyDigits
from tfdlcv.data.photographs import PhotographFolder, ShippedPhotographs
from tfdlcv.systems import restoration_networks
from tfdlcv.systems.restoration_networks import RestorationNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    import numpy as np

    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 4  # Validation images that TensorBoard shows after each epoch.


class SquaredErrorConfig(Section):
    """Half the mean squared error, of pixels in 0..1: the greatest PSNR."""

    name: Literal["squared_error"] = "squared_error"


class AbsoluteErrorConfig(Section):
    """The mean absolute error, of pixels in 0..1."""

    name: Literal["absolute_error"] = "absolute_error"


class Config(Section):
    """A run of denoising."""

    system: Literal["restoration/denoise"]
    model: RestorationNetworkConfig
    data: Annotated[ShippedPhotographs | PhotographFolder | NoisyDigits, Field(discriminator="name")]
    loss: Annotated[SquaredErrorConfig | AbsoluteErrorConfig, Field(discriminator="name")] = SquaredErrorConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    baselines: tuple[Literal["non_local_means", "principal_components"], ...] = ()
    """Classical methods that `tfdlcv predict` runs beside the network. Non-local means are told data.noise.sigma where
    it is one number, and estimate it otherwise; principal components are as many as the dense autoencoder's code has
    numbers, of the training images."""

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        if restoration_networks.is_synchronized(self.model) and self.trainer.xla == "on":
            raise ValueError(
                "model.batch_norm synchronized and trainer.xla on exclude each other: "
                "a step that XLA compiles cannot talk to the other replicas"
            )
        is_dense = restoration_networks.needs_one_size(self.model)
        if is_dense and not isinstance(self.data, NoisyDigits):
            raise ValueError(
                f"model.form dense takes images of one size: data must be noisy_digits, not {self.data.name}"
            )
        if "principal_components" in self.baselines and not is_dense:
            raise ValueError("baselines principal_components needs model autoencoder of form dense, whose code it has")
        if self.data.noise is None and "non_local_means" in self.baselines:
            raise ValueError("baselines non_local_means needs data.noise")
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the images."""
    from tfdlcv.data import noisy_digits, photographs

    return (noisy_digits if isinstance(config.data, NoisyDigits) else photographs).build(config.data)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from keras import ops

    from tfdlcv.losses import absolute_error, batch_mean, half_squared_error
    from tfdlcv.metrics import PeakSignalToNoiseRatio, StructuralSimilarity
    from tfdlcv.metrics.restoration import SSIM_WINDOW
    from tfdlcv.training import strategies
    from tfdlcv.training.task import Task

    network = restoration_networks.build_restorer(config.model, facts["image_shape"])
    error_of = absolute_error if isinstance(config.loss, AbsoluteErrorConfig) else half_squared_error

    def losses(batch, restored):
        errors = error_of(batch["target"] / 255.0, restored / 255.0)
        return {config.loss.name: batch_mean(errors, batch["valid"])}

    def metric_inputs(batch, restored):
        return batch["target"], ops.clip(restored, 0.0, 255.0), ops.cast(batch["valid"], "float32")

    takes_ssim = min(facts["image_shape"][:2]) >= SSIM_WINDOW
    return Task(
        network,
        losses=losses,
        metrics=[PeakSignalToNoiseRatio()],
        evaluation_metrics=[StructuralSimilarity()] if takes_ssim else [],
        metric_inputs=metric_inputs,
        xla=strategies.use_xla(config.trainer) and not restoration_networks.is_synchronized(config.model),
        accumulation_steps=config.trainer.accumulation_steps,
        ema_momentum=config.trainer.ema_momentum,
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: some images of validation, noisy, restored and true."""
    import numpy as np
    import tensorflow as tf

    from tfdlcv.systems.image_restoration import as_pixels, scores
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.restorations import draw_restorations

    split = datasets.validation
    spread = sorted({*np.linspace(0, split.num_examples - 1, _SAMPLES).astype("int64").tolist()})
    samples = {name: value.numpy() for name, value in split.fetch(tf.constant(spread, tf.int64)).items()}

    def draw(restored):
        pixels = [as_pixels(image) for image in restored]
        decibels = [scores(truth, image)["psnr"] for truth, image in zip(samples["target"], pixels, strict=True)]
        titles = [f"{value:.2f} dB" for value in decibels]
        return draw_restorations(samples["image"], {"restored": pixels}, samples["target"], titles=titles)

    return {"restorations": Picture(read=lambda: np.asarray(task.infer(samples["image"])), draw=draw)}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: image files to restored ones, and pixels to pixels."""
    from tfdlcv.training.restoration_serving import restoration_serving

    shape = restoration_networks.served_shape(config.model, facts["image_shape"])
    return restoration_serving(task.network, image_shape=shape)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Restores image files, large ones in tiles: PNG files, tables and a contact sheet in `directory`.

    Of files `…/noisy/NAME` the truth is read from `…/clean/NAME`, where there is such a file, and the table says how
    near they came.
    """
    from tfdlcv.systems.image_restoration import restore_files

    restorers = {"restored": network_restorer(config, facts, task)}
    restorers |= {name: _baseline(name, config, task) for name in config.baselines}
    shape = restoration_networks.served_shape(config.model, facts["image_shape"])
    return restore_files(restorers, paths, directory, image_shape=shape, on_error=on_error)


def network_restorer(config: Config, facts: dict[str, Any], task: Task) -> Callable[[np.ndarray], np.ndarray]:
    """Image (H, W, C) of any size, of 0..255 -> restored, float32; in tiles that leave no seams."""
    import tensorflow as tf

    from tfdlcv.ops.tiling import tiled

    shape = restoration_networks.served_shape(config.model, facts["image_shape"])

    @tf.function(input_signature=[tf.TensorSpec((1, *shape), tf.float32)], autograph=False)
    def run(image):
        return task.network(image, training=False)

    if restoration_networks.needs_one_size(config.model):
        return lambda image: run(image[None].astype("float32"))[0].numpy()
    tile, halo = restoration_networks.tile_and_halo(config.model)
    return lambda image: tiled(lambda seen: run(seen.astype("float32")), image, tile=tile, halo=halo)


def _baseline(name: str, config: Config, task: Task) -> Callable[[np.ndarray], np.ndarray]:
    from tfdlcv.systems import classical_restoration
    from tfdlcv.systems.networks import body_of

    if name == "non_local_means":
        sigma = config.data.noise.sigma
        known = None if isinstance(sigma, tuple) else sigma
        return lambda image: classical_restoration.non_local_means(image, known)
    code_size = body_of(task.network).get_layer("code").units
    components = classical_restoration.PrincipalComponents.fit(training_targets(build_datasets(config)), code_size)
    return lambda image: components.restore(image[None])[0]


def training_targets(datasets: Datasets) -> np.ndarray:
    """All clean training images (N, H, W, C) float32."""
    import tensorflow as tf

    indices = tf.range(datasets.train.num_examples, dtype=tf.int64)
    return datasets.train.fetch(indices)["target"].numpy()
