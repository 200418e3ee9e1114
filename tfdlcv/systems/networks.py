"""The networks for images that several systems let a config choose from, as sections of it.

Keras is imported when a network is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import keras


class NetworkConfig(Section):
    """What every network can be told."""

    pixel_mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.5,)
    """Subtracted from the pixels, in units of 255: one number, or one for each channel."""
    pixel_deviation: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.5,)
    """The pixels are divided by it, in units of 255: one number, or one for each channel."""
    freeze: tuple[str, ...] = ()
    """Regular expressions; layers whose whole name matches one of them are not trained."""


class MlpConfig(NetworkConfig):
    """Fully connected layers."""

    name: Literal["mlp"]
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (512, 256)
    dropout: float = Field(0.0, ge=0, lt=1)


class LeNet5Config(NetworkConfig):
    """LeNet-5 for images of 28 x 28 or 32 x 32."""

    name: Literal["lenet5"]
    activation: Literal["tanh", "relu"] = "tanh"


class ResNetConfig(NetworkConfig):
    """The CIFAR-style residual network."""

    name: Literal["resnet"]
    depth: Literal[20, 32, 44, 56, 110] = 20
    shortcut: Literal["projection", "identity"] = "projection"
    batch_norm: Literal["local", "synchronized"] = "local"
    """Whether statistics are those of one replica's examples, or of all replicas'."""


ImageNetworkConfig = Annotated[MlpConfig | LeNet5Config | ResNetConfig, Field(discriminator="name")]


def is_synchronized(config: NetworkConfig) -> bool:
    """Whether the network talks across replicas within a step, which XLA cannot compile."""
    return getattr(config, "batch_norm", "local") == "synchronized"


def build_image_network(config: NetworkConfig, *, image_shape: Sequence[int], outputs: int) -> keras.Model:
    """The network that `config` names, with the scaling of its pixels: `image` (B, H, W, C), 0..255, -> (B, outputs).

    Raises:
        UserError: if the network cannot take such images, or `config.freeze` matches no layer.
    """
    import keras

    from tfdlcv import models

    try:
        match config:
            case MlpConfig():
                body = models.mlp(
                    image_shape, num_classes=outputs, hidden_units=config.hidden_units, dropout=config.dropout
                )
            case LeNet5Config():
                body = models.lenet5(image_shape, num_classes=outputs, activation=config.activation)
            case ResNetConfig():
                body = models.resnet_cifar(
                    image_shape,
                    num_classes=outputs,
                    depth=config.depth,
                    shortcut=config.shortcut,
                    synchronized_batch_norm=is_synchronized(config),
                )
    except ValueError as error:
        raise UserError(f"model ({config.name}) cannot be built for images of {tuple(image_shape)}: {error}") from None
    _freeze(body, config.freeze)
    inputs = keras.Input(tuple(image_shape), name="image")
    return keras.Model(inputs, body(_scaling(config, image_shape[-1])(inputs)), name=body.name)


def _scaling(config: NetworkConfig, channels: int) -> keras.layers.Layer:
    import keras

    for field in ("pixel_mean", "pixel_deviation"):
        if len(getattr(config, field)) not in (1, channels):
            raise UserError(f"model.{field} {list(getattr(config, field))} must have 1 or {channels} numbers")
    means = (config.pixel_mean * channels)[:channels]
    deviations = (config.pixel_deviation * channels)[:channels]
    return keras.layers.Rescaling(
        [1 / (255 * deviation) for deviation in deviations],
        [-mean / deviation for mean, deviation in zip(means, deviations, strict=True)],
        name="scale_pixels",
    )


def _freeze(network: keras.Model, patterns: Sequence[str]):
    names = [layer.name for layer in network.layers]
    for pattern in patterns:
        matches = [layer for layer in network.layers if re.fullmatch(pattern, layer.name)]
        if not matches:
            near = difflib.get_close_matches(pattern, names, cutoff=0.3) or names[:5]
            raise UserError(f"model.freeze: {pattern!r} matches no layer of {network.name}. Near: {', '.join(near)}")
        for layer in matches:
            layer.trainable = False
