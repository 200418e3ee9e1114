"""The networks for dense prediction that a config chooses from, as sections of it.

Keras is imported when a network is built, not before, so that configs can be checked without it.

Shape legend: B images of H x W pixels, K outputs of each pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError
from tfdlcv.systems.networks import NetworkConfig, NormalizedNetworkConfig, Share, body_of, build_image_network

if TYPE_CHECKING:
    import keras

    from tfdlcv.systems.sliding_window import InputSizes

Width = Annotated[float, Field(gt=0)]
_VALID_MARGIN = 92  # Of U-Net's paper: 572 pixels give 388.


class DensePretraining(Section):
    """What the weights of `pretrained` are for."""

    pretrained_part: Literal["all", "encoder", "shared"] = "all"
    """all: the whole network; encoder: the layers of a classifier, from weights of one; shared: the layers that this
    network and that of a run have both, as FCN-16s begins with the weights of FCN-32s."""


class FcnConfig(NetworkConfig, DensePretraining):
    """Fully convolutional networks: VGG-16 at every place, and skips from its finer maps."""

    name: Literal["fcn"]
    stride: Literal[32, 16, 8] = 8
    """Of the finest maps that the logits come from."""
    width: Width = 1.0
    """Factor of every layer's filters."""
    padding: Literal["same", "crop"] = "same"
    """crop: the authors' 100 pixels of zeros around the image, and crops."""
    upsampling: Literal["learned", "fixed"] = "learned"
    """fixed: bilinear, as training begins in either case."""
    skip_scales: tuple[Width, Width] = (1.0, 1.0)
    """Factors of the fourth and third pool. The authors' training of all at once has 0.01 and 0.0001."""
    dropout: Share = 0.0


class SegNetConfig(NormalizedNetworkConfig, DensePretraining):
    """SegNet: maxima that return to where they came from."""

    name: Literal["segnet"]
    width: Width = 1.0
    """Factor of every layer's filters."""
    batch_norm_momentum: Share = 0.9
    """Share of the old moving statistics that a step keeps."""


class UnetConfig(NormalizedNetworkConfig, DensePretraining):
    """U-Net: an encoder, and a decoder that sees its maps of every resolution."""

    name: Literal["unet"]
    width: Width = 1.0
    """Factor of every layer's filters."""
    padding: Literal["same", "valid"] = "same"
    """valid: the paper's form, whose outputs lack 92 pixels at each side; see data.image_size."""
    normalization: Literal["none", "batch"] = "none"
    dropout: Share = 0.0
    batch_norm_momentum: Share = 0.9

    @model_validator(mode="after")
    def _synchronized_statistics_need_some(self):
        if self.batch_norm == "synchronized" and self.normalization == "none":
            raise ValueError("batch_norm synchronized needs normalization batch")
        return self


class DeepLabV3Config(NormalizedNetworkConfig, DensePretraining):
    """DeepLabV3: a classification network with gaps in its last kernels, and a pyramid of such behind it."""

    name: Literal["deeplab_v3"]
    backbone: Literal[
        "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50", "wide_resnet50",
        "densenet121", "mobilenet",
    ] = "resnet50"  # fmt: skip
    output_stride: Literal[4, 8, 16, 32] = 16
    """Pixels of the image for one of the maps, on a side."""
    multigrid: tuple[Annotated[int, Field(ge=1)], ...] | None = (1, 2, 4)
    """Factors of the gaps in the units of a residual network's last stage."""
    rates: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Of the pyramid. By default 6, 12 and 18 at output stride 16, doubled at 8 and halved at 32."""
    width: Width = 1.0
    """Factor of the filters."""
    dropout: Share = 0.0
    batch_norm_momentum: Share = 0.9


DenseNetworkConfig = Annotated[FcnConfig | SegNetConfig | UnetConfig | DeepLabV3Config, Field(discriminator="name")]


def build_dense_network(config: DenseNetworkConfig, *, outputs: int) -> keras.Model:
    """The network that `config` names, with the scaling of its pixels: `image` (B, H, W, 3), 0..255, -> (B, H, W, K).

    Raises:
        UserError: if the network cannot be built so, or has no such layers as the config freezes.
    """
    return build_image_network(config, image_shape=(None, None, 3), outputs=outputs)


def load_pretrained(config: DenseNetworkConfig, network: keras.Model):
    """Reads the weights that `config.pretrained` names, if it does, into what `build_dense_network` built.

    Raises:
        UserError: if the weights cannot be read or do not fit.
    """
    from tfdlcv.models import weights
    from tfdlcv.models.encoder_weights import load_encoder

    if config.pretrained is None:
        return
    body = body_of(network)
    match config.pretrained_part:
        case "all":
            weights.load_pretrained(body, config.pretrained, head=config.pretrained_head)
        case "encoder":
            load_encoder(body, config.pretrained)
        case "shared":
            loaded = weights.load_shared(body, config.pretrained)
            print(f"{len(loaded)} layers begin with the weights of {config.pretrained}")


def input_sizes(config: DenseNetworkConfig, network: keras.Model) -> InputSizes:
    """Which images `network`, of `build_dense_network`, takes."""
    from tfdlcv.systems.sliding_window import InputSizes

    check = body_of(network).get_layer("image_size")
    stride = 16 if isinstance(config, UnetConfig) else 32
    valid = getattr(config, "padding", None) == "valid"
    return InputSizes(check.minimum, check.step, stride, _VALID_MARGIN if valid else 0)


def check_image_size(field: str, size: Sequence[int], sizes: InputSizes):
    """Raises UserError unless the network takes images of `size`, (height, width), that the config's `field` gives."""
    for length in size:
        if length < sizes.minimum:
            raise UserError(
                f"{field} ({size[0]} x {size[1]}) is smaller than the {sizes.minimum} x {sizes.minimum} pixels that "
                "the network needs"
            )
        if (length - sizes.minimum) % sizes.step:
            raise UserError(
                f"{field} ({size[0]} x {size[1]}): the network takes heights and widths of {sizes.minimum} plus a "
                f"multiple of {sizes.step}"
            )
