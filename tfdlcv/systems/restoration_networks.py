"""The networks that restore images, as sections of a config.

Keras is imported when a network is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import keras

Count = Annotated[int, Field(ge=1)]


class RestorerConfig(Section):
    """What every network here can be told."""

    width: float = Field(1.0, gt=0)
    """Factor of the filters, or units, of all layers."""


class DnCNNConfig(RestorerConfig):
    """DnCNN, which finds the noise at full size."""

    name: Literal["dncnn"]
    depth: int = Field(17, ge=3)
    """Convolutions."""
    batch_norm: Literal["local", "synchronized"] = "local"
    """Whether statistics are those of one replica's examples, or of all replicas'."""


class DenoisingAutoencoderConfig(RestorerConfig):
    """Convolutions to a fraction of the size and back."""

    name: Literal["denoising_autoencoder"]
    levels: int = Field(2, ge=1, le=6)
    """How often height and width are halved."""
    skips: Literal["none", "add"] = "none"
    """add: features of the encoder are added to those of the decoder, and the image to the result."""


class AutoencoderConfig(RestorerConfig):
    """A bottleneck, through convolutions or fully connected layers."""

    name: Literal["autoencoder"]
    form: Literal["convolutional", "dense"] = "convolutional"
    code_size: int | None = Field(None, ge=1)
    """Channels, or numbers, of the bottleneck. Default: 16 channels, 30 numbers."""
    levels: int | None = Field(None, ge=1, le=6)
    """Of the convolutional form: how often height and width are halved. Default: 3."""
    hidden_units: tuple[Count, ...] | None = None
    """Of the dense form's encoder. Default: 1000, 500, 250."""

    @model_validator(mode="after")
    def _options_of_the_form(self):
        other = "hidden_units" if self.form == "convolutional" else "levels"
        if getattr(self, other) is not None:
            raise ValueError(f"form {self.form} has no {other} ({getattr(self, other)})")
        return self


RestorationNetworkConfig = Annotated[
    DnCNNConfig | DenoisingAutoencoderConfig | AutoencoderConfig, Field(discriminator="name")
]


def is_synchronized(config: RestorerConfig) -> bool:
    """Whether the network talks across replicas within a step, which XLA cannot compile."""
    return getattr(config, "batch_norm", "local") == "synchronized"


def needs_one_size(config: RestorerConfig) -> bool:
    """Whether the network takes images of the training's size alone."""
    return isinstance(config, AutoencoderConfig) and config.form == "dense"


def served_shape(config: RestorerConfig, image_shape: Sequence[int]) -> tuple[int | None, int | None, int]:
    """(H, W, C) of the images that the network takes; None for any."""
    return tuple(image_shape) if needs_one_size(config) else (None, None, image_shape[-1])


def build_restorer(config: RestorerConfig, image_shape: Sequence[int]) -> keras.Model:
    """The network that `config` names: `image` (B, H, W, C) of 0..255 -> the same restored, float32.

    Raises:
        UserError: the network cannot be built.
    """
    import keras

    from tfdlcv import models

    shape = served_shape(config, image_shape)
    arguments = config.model_dump(exclude={"name"}, exclude_none=True)
    if "batch_norm" in arguments:
        arguments["synchronized_batch_norm"] = arguments.pop("batch_norm") == "synchronized"
    try:
        body = getattr(models, config.name)(shape, **arguments)
    except ValueError as error:
        raise UserError(f"model ({config.name}) cannot be built for images of {shape}: {error}") from None
    image = keras.Input(shape, name="image")
    # In float32 under every policy, of which half-precision has not the levels of a pixel.
    scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="scale_pixels")(image)
    restored = keras.layers.Rescaling(255.0, dtype="float32", name="unscale_pixels")(body(scaled))
    return keras.Model(image, restored, name=body.name)


def tile_and_halo(config: RestorerConfig) -> tuple[int, int]:
    """Sides of the tiles in which photographs of any size are restored as if whole, and pixels around them."""
    from tfdlcv.models import autoencoder_radius

    tile = 512  # 70 MB for each layer of 64 filters; of 17 convolutions, a seventh is computed twice.
    if isinstance(config, DnCNNConfig):
        return tile, config.depth
    return tile, autoencoder_radius(getattr(config, "levels", None) or 3)
