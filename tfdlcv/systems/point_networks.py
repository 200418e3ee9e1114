"""The networks for point clouds that a config may choose from, as sections of it, and what their runs share.

Keras is imported when a network is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data.pyramid import PyramidSpec
from tfdlcv.data.volumes import VolumeSpec
from tfdlcv.errors import UserError
from tfdlcv.systems.networks import Share

if TYPE_CHECKING:
    import keras

    from tfdlcv.data.pipeline import Datasets, Split
    from tfdlcv.data.point_clouds import CloudData

_SPACING_CLOUDS = 8  # Enough for a mean; each is read or generated before training starts.

Filters = tuple[Annotated[int, Field(ge=1)], ...]
Sampling = Literal["inverse_density", "random"]


class _FlexConfig(Section):
    neighbors: int = Field(9, ge=2)
    ratio: int = Field(4, ge=2)
    """Points of a level for one of the next."""
    sampling: Sampling = "inverse_density"
    dropout: Share = 0.0
    batch_norm_momentum: Share = 0.99
    """Share of the old moving statistics that a step keeps; 0.9 for trainings of a few hundred steps."""


class FlexClassifierConfig(_FlexConfig):
    """Stages of flex-convolutions, then the mean and maximum over points."""

    name: Literal["flex_classifier"]
    filters: Filters = Field((64, 128, 256), min_length=1)
    blocks: int = Field(1, ge=0)
    summary_units: int = Field(256, ge=0)
    """Of each stage's dense layer of its points and their positions; 0: the last stage alone is summed up."""
    hidden_units: int = Field(256, ge=1)


class FlexMnist3dConfig(Section):
    """The demonstration network of the flex-convolution's authors; needs 1,024 points and K = 16 for theirs."""

    name: Literal["flex_mnist3d"]
    neighbors: int = Field(16, ge=2)
    head: Literal["flex", "max"] = "flex"
    sampling: Sampling = "inverse_density"


class PointNetConfig(Section):
    """PointNet without alignment networks; a baseline that knows no neighbours."""

    name: Literal["pointnet"]
    dropout: Share = 0.0
    batch_norm_momentum: Share = 0.99


class _VolumeConfig(Section):
    # Of positions alone, whatever `data.features` says.
    resolution: int = Field(64, ge=16, multiple_of=8)
    """Voxels along each axis of the volume that the unit sphere fills."""
    hidden_units: int = Field(512, ge=1)
    dropout: Share = 0.0


class OctNetConfig(_VolumeConfig):
    """OctNet: convolutions of an octree of occupied voxels; at 64^3 the released ModelNet10 network."""

    name: Literal["octnet"]


class Dense3dConfig(_VolumeConfig):
    """The layers of OctNet on the dense volume; its baseline."""

    name: Literal["dense3d"]


class FlexUnetConfig(_FlexConfig):
    """U-Net of flex-convolutions."""

    name: Literal["flex_unet"]
    filters: Filters = Field((32, 64, 128, 256), min_length=1)
    encoder_blocks: int = Field(1, ge=1)
    decoder_blocks: int = Field(1, ge=0)
    upsampling: Literal["nearest", "inverse_distance"] = "inverse_distance"
    upsampling_neighbors: int = Field(3, ge=1)


ClassifierNetworkConfig = Annotated[
    FlexClassifierConfig | FlexMnist3dConfig | PointNetConfig | OctNetConfig | Dense3dConfig,
    Field(discriminator="name"),
]
SegmenterNetworkConfig = Annotated[FlexUnetConfig | PointNetConfig, Field(discriminator="name")]
NetworkConfig = (
    FlexClassifierConfig | FlexMnist3dConfig | PointNetConfig | OctNetConfig | Dense3dConfig | FlexUnetConfig
)


def pyramid_of(model: NetworkConfig) -> PyramidSpec | VolumeSpec:
    """What the network wants to know of a cloud: neighbours on several levels, or occupied voxels."""
    match model:
        case OctNetConfig() | Dense3dConfig():
            return VolumeSpec(model.resolution, octree=isinstance(model, OctNetConfig))
        case PointNetConfig():
            return PyramidSpec(neighbors=0)
        case FlexMnist3dConfig():
            return PyramidSpec(neighbors=model.neighbors, levels=4, sampling=model.sampling)
        case _:
            return PyramidSpec(
                neighbors=model.neighbors,
                levels=len(model.filters),
                ratio=model.ratio,
                upsampling_neighbors=getattr(model, "upsampling_neighbors", 0),
                sampling=model.sampling,
            )


def check_points(model: NetworkConfig, points: int):
    """For validators of configs: raises a ValueError if clouds of so many points are too small for the network."""
    spec = pyramid_of(model)
    if spec.neighbors and points < spec.neighbors:
        raise ValueError(f"data.points ({points}) must be at least model.neighbors ({spec.neighbors})")
    if spec.neighbors and points < spec.ratio ** (spec.levels - 1):
        raise ValueError(
            f"data.points ({points}) must be at least {spec.ratio ** (spec.levels - 1)}, so that a point is left "
            f"on the last of {spec.levels} levels"
        )


def build_classifier(model: NetworkConfig, *, num_classes: int, features: int, points: int) -> keras.Model:
    """The network that the section names, to logits of clouds."""
    from tfdlcv import models

    match model:
        case FlexClassifierConfig():
            options = model.model_dump(exclude={"name", "sampling"})
            return models.flex_classifier(num_classes, features=features, **options)
        case FlexMnist3dConfig():
            options = model.model_dump(exclude={"name", "sampling"})
            return models.flex_mnist3d(num_classes, features=features, points=points, **options)
        case PointNetConfig():
            return models.pointnet_classifier(num_classes, features=features, **model.model_dump(exclude={"name"}))
        case OctNetConfig() | Dense3dConfig():
            build = models.octnet if isinstance(model, OctNetConfig) else models.dense3d
            return build(num_classes, **model.model_dump(exclude={"name"}))
    raise TypeError(f"not a classifier's section: {model}")


def build_segmenter(model: NetworkConfig, *, num_classes: int, features: int) -> keras.Model:
    """The network that the section names, to logits of points."""
    from tfdlcv import models

    if isinstance(model, FlexUnetConfig):
        options = model.model_dump(exclude={"name", "sampling"})
        return models.flex_unet(num_classes, features=features, **options)
    return models.pointnet_segmenter(num_classes, features=features, **model.model_dump(exclude={"name"}))


def build_cloud_datasets(data: CloudData, config: Any, *, label_of: Literal["cloud", "point"]) -> Datasets:
    """Splits with pyramids, augmentation, and the facts that networks and predictions need."""
    from tfdlcv.data.cloud_augmentation import build_cloud_augmentation
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.data.point_clouds import cloud_split, feature_columns

    for part in ("train", "validation"):
        if not len(getattr(data, part)):
            raise UserError(f"data {config.data.name} has no {part} clouds")
    if isinstance(pyramid_of(config.model), VolumeSpec):
        return _volume_datasets(data, config)
    columns = feature_columns(config.data.features, num_categories=len(data.category_names))
    options = {
        "points": data.points,
        "features": config.data.features,
        "spec": pyramid_of(config.model),
        "label_of": label_of,
        "centre": data.centre,
        "up_axis": data.up_axis,
        "num_categories": len(data.category_names),
        "keep": getattr(config.data, "keep_in_memory", True),
    }
    splits = {
        part: None if source is None else cloud_split(source, **options)
        for part, source in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    facts = _facts(data, config.data.features, max(place.stop for place in columns.values()), data.centre)
    augment = build_cloud_augmentation(config.data.augmentation, columns, up_axis=data.up_axis)
    return Datasets(splits["train"], splits["validation"], splits["test"], facts, augment)


def _volume_datasets(data: CloudData, config: Any) -> Datasets:
    """Splits of volumes, and augmentation that makes them anew."""
    from tfdlcv.data.cloud_augmentation import build_cloud_augmentation
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.data.volumes import volume_augmentation, volume_split

    centre = "unit_sphere"  # The volume around it, whatever unit the data have.
    options = {
        "points": data.points,
        "spec": pyramid_of(config.model),
        "centre": centre,
        "up_axis": data.up_axis,
        "keep": getattr(config.data, "keep_in_memory", True),
    }
    splits = {
        part: None if source is None else volume_split(source, **options)
        for part, source in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    augment = build_cloud_augmentation(config.data.augmentation, {}, up_axis=data.up_axis)
    augment = None if augment is None else volume_augmentation(augment, options["spec"])
    facts = _facts(data, (), 1, centre)
    return Datasets(splits["train"], splits["validation"], splits["test"], facts, augment)


def _facts(data: CloudData, features: Sequence[str], num_features: int, centre: str) -> dict[str, Any]:
    """What networks and predictions need to know of the data."""
    return {
        "class_names": list(data.class_names),
        "features": list(features),
        "num_features": num_features,
        "points": data.points,
        "centre": centre,
        "up_axis": data.up_axis,
        "category_names": list(data.category_names),
        "label_category": list(data.label_category),
    }


def mean_spacing(split: Split) -> float:
    """Mean distance of a point to the one nearest to it, in some clouds of the split."""
    import numpy as np
    from scipy.spatial import cKDTree

    from tfdlcv.data.point_clouds import examples

    clouds = examples(split, range(min(_SPACING_CLOUDS, split.num_examples)))["positions"]
    return float(np.mean([cKDTree(positions).query(positions, k=2)[0][:, 1].mean() for positions in clouds]))


def task_options(trainer: Any) -> dict[str, Any]:
    """What every task takes from the trainer's section."""
    from tfdlcv.training import strategies

    return {
        "xla": strategies.use_xla(trainer),
        "accumulation_steps": trainer.accumulation_steps,
        "ema_momentum": trainer.ema_momentum,
    }
