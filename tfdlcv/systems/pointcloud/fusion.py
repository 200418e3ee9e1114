"""Fusion of noisy depth maps into a clean signed distance, from coarse to fine, as OctNetFusion does.

A run is one level. The first is dense; each finer one names the finished run of half its resolution in `model.coarser`,
whose predictions say where its octree is split, and are a channel of its input. `iou` and `distance_error` are the
network's, `average_iou` and `average_distance_error` those of the plain average of the views, of the same scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.depth_fusion import PARTS, DepthScenesConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 4  # Validation scenes that TensorBoard shows after each epoch.


class FusionNetworkConfig(Section):
    """A U-Net of three scales, on a dense volume or, after a coarser level, on an octree."""

    name: Literal["octnet_fusion"]
    coarser: str | None = None
    """Folder of the finished run of half the resolution; none for the first level."""
    filters: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64), min_length=3, max_length=3)
    split_below: float = Field(0.5, gt=0, le=1)
    """Voxels are leaves of their own where the coarser distance, in truncations, is less than this."""


class AbsoluteErrorConfig(Section):
    """Mean absolute difference over all voxels."""

    name: Literal["absolute_error"] = "absolute_error"


class Config(Section):
    """A run of depth fusion."""

    system: Literal["pointcloud/fusion"]
    model: FusionNetworkConfig
    data: DepthScenesConfig
    loss: AbsoluteErrorConfig = AbsoluteErrorConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Generates the scenes; the network of the level before, if there is one, sees all of them first."""
    from tfdlcv.data.depth_fusion import Scenes, fusion_split
    from tfdlcv.data.pipeline import Datasets

    options: dict[str, Any] = {}
    if config.model.coarser is not None:
        from tfdlcv.models.octree_fusion import fusion_octree_spec
        from tfdlcv.systems.depth_fusion_levels import FusionLevels

        options["coarser"] = FusionLevels.of_coarser(config).fuse
        options["below"] = config.model.split_below
        options["spec"] = fusion_octree_spec(config.data.resolution)
    splits = {part: fusion_split(Scenes(config.data, part), **options) for part in PARTS}
    return Datasets(**splits, facts={"resolution": config.data.resolution})


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss and metrics."""
    from keras import ops

    from tfdlcv import models
    from tfdlcv.losses.reduction import batch_mean
    from tfdlcv.metrics import DistanceError, InsideIoU
    from tfdlcv.systems.point_networks import task_options
    from tfdlcv.training.task import Task

    dense = config.model.coarser is None
    build, channels = (models.dense_fusion, 10) if dense else (models.octree_fusion, 11)
    network = build(resolution=facts["resolution"], channels=channels, filters=config.model.filters)

    def losses(batch, outputs):
        errors = ops.mean(ops.abs(outputs - batch["target"][..., :1]), axis=(1, 2, 3, 4))
        return {"absolute_error": batch_mean(errors, batch["valid"])}

    def metric_inputs(batch, outputs):
        return batch["target"], outputs, ops.cast(batch["valid"], "float32")

    baseline = [InsideIoU(of="average", name="average_iou")]
    baseline.append(DistanceError(of="average", name="average_distance_error"))
    return Task(
        network,
        losses=losses,
        metrics=[InsideIoU(), DistanceError()],
        evaluation_metrics=baseline,
        metric_inputs=metric_inputs,
        **task_options(config.trainer),
    )


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: slices of some scenes, truth, average and prediction."""
    import numpy as np

    from tfdlcv.data.point_clouds import examples
    from tfdlcv.training.batches import network_inputs
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.volumes import draw_slices

    samples = examples(datasets.validation, range(min(_SAMPLES, datasets.validation.num_examples)))
    inputs = network_inputs(task.network, samples)

    def draw(outputs):
        truth, average = (samples["target"][..., channel] for channel in (0, 1))
        return draw_slices({"truth": truth, "average": average, "prediction": outputs[..., 0]})

    return {"slices": Picture(read=lambda: np.asarray(task.infer(inputs)), draw=draw)}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signature: the network's own inputs, made with `tfdlcv.data.depth_fusion`, to signed distances."""
    from tfdlcv.systems.depth_fusion_levels import fusion_serving

    return fusion_serving(config, task.network)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Fuses files of depth maps: signed distances, a PLY of the surface, and a picture of each, in `directory`."""
    from tfdlcv.systems.depth_fusion_levels import FusionLevels, fuse_files

    return fuse_files(FusionLevels(config, task.network), paths, directory, on_error=on_error)
