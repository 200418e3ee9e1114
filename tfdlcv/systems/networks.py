"""The networks for images that several systems let a config choose from, as sections of it.

Keras is imported when a network is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import keras


Share = Annotated[float, Field(ge=0, lt=1)]

_IMAGENET_DEPTHS = (10, 18, 34, 50, 101, 152)  # Of ResNet.
_BOTTLENECK_DEPTHS = (164,)  # Of the CIFAR-style ResNet.


class NetworkConfig(Section):
    """What every network can be told."""

    pixel_mean: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.5,)
    """Subtracted from the pixels, in units of 255: one number, or one for each channel."""
    pixel_deviation: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.5,)
    """The pixels are divided by it, in units of 255: one number, or one for each channel."""
    pretrained: str | None = None
    """Weights that training starts from: a run's folder; .safetensors or .npz with the names of torchvision or timm;
    .keras; or a Model Garden ResNet checkpoint."""
    pretrained_head: Literal["load", "leave_out"] = "load"
    """leave_out: the last layer starts anew, as other classes need."""
    freeze_until: str | None = None
    """A layer; it and all layers that it depends on are not trained, and their normalisation keeps its statistics."""
    freeze: tuple[str, ...] = ()
    """Regular expressions; layers whose whole name matches one of them are not trained."""


class MlpConfig(NetworkConfig):
    """Fully connected layers."""

    name: Literal["mlp"]
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (512, 256)
    dropout: Share = 0.0


class LeNet5Config(NetworkConfig):
    """LeNet-5 for images of 28 x 28 or 32 x 32."""

    name: Literal["lenet5"]
    variant: Literal["dense", "original"] = "dense"
    activation: Literal["tanh", "relu"] = "tanh"

    @model_validator(mode="after")
    def _original_has_its_own_activation(self):
        if self.variant == "original" and self.activation != "tanh":
            raise ValueError(f"variant original has its own tanh: activation must be tanh, not {self.activation}")
        return self


class LectureConvnetConfig(NetworkConfig):
    """The convolution network that the lectures train on MNIST."""

    name: Literal["lecture_convnet"]
    dropout: Share = 0.0


class PerceptronConfig(NetworkConfig):
    """One layer of weights that start at zero; see the loss `perceptron`."""

    name: Literal["perceptron"]


class AlexNetConfig(NetworkConfig):
    """AlexNet, for images of 63 x 63 and more."""

    name: Literal["alexnet"]
    variant: Literal["grouped", "one_tower", "one_weird_trick"] = "grouped"
    dropout: Share = 0.0


class ZFNetConfig(NetworkConfig):
    """ZFNet, for images of 53 x 53 and more."""

    name: Literal["zfnet"]
    variant: Literal["original", "wide"] = "original"
    dropout: Share = 0.0


class VggConfig(NetworkConfig):
    """VGG, for images of 32 x 32 and more."""

    name: Literal["vgg"]
    depth: Literal[16, 19] = 16
    dropout: Share = 0.0


class NormalizedNetworkConfig(NetworkConfig):
    """What every network with batch normalisation can be told."""

    batch_norm: Literal["local", "synchronized"] = "local"
    """Whether statistics are those of one replica's examples, or of all replicas'."""


class GoogLeNetConfig(NormalizedNetworkConfig):
    """GoogLeNet, for images of 32 x 32 and more, or 65 x 65 with auxiliary heads."""

    name: Literal["googlenet"]
    variant: Literal["original", "batch_norm"] = "original"
    auxiliary_heads: bool = False
    """Two further classifiers in training, which the export leaves out; see the loss's `auxiliary_weight`."""
    dropout: Share = 0.0
    auxiliary_dropout: Share = 0.0


class ResidualNetworkConfig(NormalizedNetworkConfig):
    """What every residual network can be told."""

    stochastic_depth: Share = 0.0
    """Probability with which training drops the branch of the last unit; earlier ones' are proportional to their place
    (Huang et al. 2016, Deep Networks with Stochastic Depth)."""


class ResNetConfig(ResidualNetworkConfig):
    """Residual networks: depths 10, 18, 34, 50, 101 and 152 are those of ImageNet, all others the CIFAR-style ones."""

    name: Literal["resnet"]
    depth: Literal[10, 18, 20, 32, 34, 44, 50, 56, 101, 110, 152, 164] = 20
    shortcut: Literal["projection", "identity"] = "projection"
    """identity: CIFAR-style depths only."""
    block_order: Literal["original", "bn_after_add", "relu_before_add", "relu_only_preact", "full_preact"] = "original"
    stride_on: Literal["1x1", "3x3"] = "3x3"
    """1x1: depths 50, 101 and 152 only."""

    @model_validator(mode="after")
    def _choices_fit_the_depth(self):
        if self.shortcut == "identity" and self.depth in _IMAGENET_DEPTHS:
            raise ValueError(
                f"shortcut identity needs a CIFAR-style depth: 20, 32, 44, 56, 110 or 164, not {self.depth}"
            )
        if self.stride_on == "1x1" and self.depth not in (50, 101, 152):
            raise ValueError(f"stride_on 1x1 needs depth 50, 101 or 152, whose units begin with one, not {self.depth}")
        return self


class WideResNetConfig(ResidualNetworkConfig):
    """Wide residual networks for ImageNet."""

    name: Literal["wide_resnet"]
    depth: Literal[50, 101] = 50
    width: int = Field(2, ge=1)


class WideResNetCifarConfig(ResidualNetworkConfig):
    """Wide residual networks for small images."""

    name: Literal["wide_resnet_cifar"]
    depth: int = Field(28, ge=10)
    """6n + 4."""
    width: int = Field(10, ge=1)
    dropout: Share = 0.0


class ResNeXtConfig(ResidualNetworkConfig):
    """ResNeXt for ImageNet."""

    name: Literal["resnext"]
    depth: Literal[50, 101] = 50
    cardinality: int = Field(32, ge=1)
    group_width: int = Field(4, ge=1)


class ResNeXtCifarConfig(ResidualNetworkConfig):
    """ResNeXt for small images."""

    name: Literal["resnext_cifar"]
    depth: int = Field(29, ge=11)
    """9n + 2."""
    cardinality: int = Field(8, ge=1)
    group_width: int = Field(64, ge=1)


class DenseNetConfig(NormalizedNetworkConfig):
    """DenseNet for ImageNet, and with the 3 x 3 stem for small images."""

    name: Literal["densenet"]
    depth: Literal[121, 169, 201] = 121
    stem: Literal["7x7", "3x3"] = "7x7"
    dropout: Share = 0.0


class DenseNetCifarConfig(NormalizedNetworkConfig):
    """DenseNet for small images, by default DenseNet-BC."""

    name: Literal["densenet_cifar"]
    depth: int = Field(100, ge=7)
    """3n + 4 plain, 6n + 4 with bottlenecks."""
    growth_rate: int = Field(12, ge=1)
    variant: Literal["plain", "bottleneck_compression"] = "bottleneck_compression"
    dropout: Share = 0.0


class MobileNetConfig(NormalizedNetworkConfig):
    """MobileNet."""

    name: Literal["mobilenet"]
    width: float = Field(1.0, gt=0)
    padding: Literal["centred", "same"] = "centred"
    """same: as weights of keras.applications expect."""
    dropout: Share = 0.0


ImageNetworkConfig = Annotated[
    MlpConfig
    | PerceptronConfig
    | LeNet5Config
    | LectureConvnetConfig
    | AlexNetConfig
    | ZFNetConfig
    | VggConfig
    | GoogLeNetConfig
    | ResNetConfig
    | WideResNetConfig
    | WideResNetCifarConfig
    | ResNeXtConfig
    | ResNeXtCifarConfig
    | DenseNetConfig
    | DenseNetCifarConfig
    | MobileNetConfig,
    Field(discriminator="name"),
]


def is_synchronized(config: NetworkConfig) -> bool:
    """Whether the network talks across replicas within a step, which XLA cannot compile."""
    return getattr(config, "batch_norm", "local") == "synchronized"


def build_image_network(config: NetworkConfig, *, image_shape: Sequence[int], outputs: int) -> keras.Model:
    """The network that `config` names, with the scaling of its pixels: `image` (B, H, W, C), 0..255, -> (B, outputs).

    With auxiliary heads it gives a dict of them; see `main_logits`. `load_pretrained` reads the weights it starts from.

    Raises:
        UserError: if the network cannot take such images, or has no such layers as `config.freeze` and
            `config.freeze_until` name.
    """
    import keras

    from tfdlcv import models

    function, arguments = _call(config)
    try:
        body = getattr(models, function)(image_shape, num_classes=outputs, **arguments)
    except ValueError as error:
        raise UserError(f"model ({config.name}) cannot be built for images of {tuple(image_shape)}: {error}") from None
    _freeze(body, config)
    inputs = keras.Input(tuple(image_shape), name="image")
    return keras.Model(inputs, body(_scaling(config, image_shape[-1])(inputs)), name=body.name)


def load_pretrained(config: NetworkConfig, network: keras.Model):
    """Reads the weights that `config.pretrained` names, if it does, into what `build_image_network` built.

    `network` may have further layers behind it. A run does this as it begins, not where it resumes or is used.

    Raises:
        UserError: if the weights cannot be read or do not fit.
    """
    from tfdlcv.models import weights

    if config.pretrained is not None:
        weights.load_pretrained(body_of(network), config.pretrained, head=config.pretrained_head)


def body_of(network: keras.Model) -> keras.Model:
    """The function of `tfdlcv.models`'s result within what `build_image_network` built."""
    import keras

    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def main_logits(outputs):
    """(B, outputs) of a network that may have auxiliary heads besides."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def without_auxiliary_heads(network: keras.Model) -> keras.Model:
    """What `build_image_network` built, with the same variables, but for those that are for training alone."""
    import keras

    if not isinstance(network.output, dict):
        return network
    _, scaling, body = network.layers
    body = keras.Model(body.inputs, main_logits(body.output), name=body.name)
    inputs = keras.Input(network.input_shape[1:], name="image")
    return keras.Model(inputs, body(scaling(inputs)), name=network.name)


def _call(config: NetworkConfig) -> tuple[str, dict[str, object]]:
    """-> the function of `tfdlcv.models`, which has the section's name, and its keyword arguments."""
    others = {*NetworkConfig.model_fields, "name", "pretrained_part"}
    arguments = {name: value for name, value in config if name not in others}
    if "batch_norm" in arguments:
        arguments["synchronized_batch_norm"] = arguments.pop("batch_norm") == "synchronized"
    if not isinstance(config, ResNetConfig):
        return config.name, arguments
    if config.depth in _IMAGENET_DEPTHS:
        return "resnet", {name: value for name, value in arguments.items() if name != "shortcut"}
    arguments["unit"] = "bottleneck" if config.depth in _BOTTLENECK_DEPTHS else "basic"
    return "resnet_cifar", {name: value for name, value in arguments.items() if name != "stride_on"}


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


def _freeze(network: keras.Model, config: NetworkConfig):
    import keras

    names = [layer.name for layer in network.layers]
    if config.freeze_until is not None:
        if config.freeze_until not in names:
            raise UserError(unknown_layer("model.freeze_until", config.freeze_until, network))
        # A model of these two ends has exactly the layers between them.
        for layer in keras.Model(network.input, network.get_layer(config.freeze_until).output).layers:
            layer.trainable = False
    for pattern in config.freeze:
        matches = [layer for layer in network.layers if re.fullmatch(pattern, layer.name)]
        if not matches:
            raise UserError(unknown_layer("model.freeze", pattern, network))
        for layer in matches:
            layer.trainable = False


def unknown_layer(argument: str, name: str, network: keras.Model) -> str:
    """The message for the name, or pattern, of a layer that the network has not: those that are near."""
    names = [layer.name for layer in network.layers]
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.3) or names[-5:]
    return f"{argument}: {name!r} names no layer of {network.name}. Near: {', '.join(near)}"
