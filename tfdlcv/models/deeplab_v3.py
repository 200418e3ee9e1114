"""DeepLabV3: a classification network with gaps in its last kernels, and a pyramid of such convolutions behind it.

Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 ("the paper").

Shape legend: N images, H rows, W columns, C channels, K classes.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import AtrousSpatialPyramidPooling, ImageSizeCheck, ResizeLike
from tfdlcv.models import arguments, blocks, dilation
from tfdlcv.models.densenet import densenet
from tfdlcv.models.mobilenet import mobilenet
from tfdlcv.models.resnet import resnet
from tfdlcv.models.resnext import resnext
from tfdlcv.models.wide_resnet import wide_resnet

Backbone = Literal[
    "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50", "wide_resnet50",
    "densenet121", "mobilenet",
]  # fmt: skip
_BUILD = {
    **{f"resnet{depth}": functools.partial(resnet, depth=depth) for depth in (10, 18, 34, 50, 101, 152)},
    "resnext50": resnext,
    "wide_resnet50": wide_resnet,
    "densenet121": densenet,
    "mobilenet": mobilenet,
}
_WITHOUT_WIDTH = ("resnext50", "wide_resnet50", "densenet121")
_WITHOUT_UNITS = ("densenet121", "mobilenet")
_RATES_AT_16 = (6, 12, 18)  # Section 4.1.


def deeplab_v3(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    num_classes: int,
    backbone: Backbone | keras.Model = "resnet50",
    output_stride: int = 16,
    multigrid: Sequence[int] | None = (1, 2, 4),
    rates: Sequence[int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str = "deeplab_v3",
) -> keras.Model:
    """A dilated backbone, atrous spatial pyramid pooling, and a bilinear enlargement of its logits.

    Trainable parameters for 3 channels and 21 classes: 39,048,533 with ResNet-50, 58,040,661 with ResNet-101.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any from there.
        num_classes: K, at least 1, which is for a number of each pixel.
        backbone: A network of `tfdlcv.models` by name, or such a classifier itself, of which the graph alone is used.
        output_stride: Pixels of the image for one of the maps, on a side, a power of 2 up to the backbone's own (32 of
            those with names): 16 for training, and 8 for finer maps at a higher cost, as in the paper's table 5.
        multigrid: Factors of the gaps in the units of a residual network's last stage; see `dilation.backbone`. None
            gives the maps that the classifier would compute at every place. Backbones without units have none.
        rates: Of the pyramid; default: 6, 12 and 18 at output stride 16, doubled at 8 and halved at 32.
        width: Factor of the filters of ResNet or MobileNet and of the pyramid's 256, above 0.
        dropout: Share of the pyramid's values that training drops, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps. Paper: 0.9997.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C) float to logits (N, H, W, K) float32. Its layers are named `backbone`, which
        is a model of the classifier's layers, `aspp`, `logits` and `resize`.

    Raises:
        ValueError: num_classes < 1, an image that is too small, an unknown choice, or a width for a backbone that has
            one alone. Called with a smaller image of no known size, the model raises it.
    """
    # At more than half of the last stage's stride the maps of 32 x 32 are one pixel; smaller ones have none.
    arguments.check_pixel_network(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_share("dropout", dropout)
    if not isinstance(backbone, keras.Model):
        arguments.check_choice("backbone", backbone, tuple(_BUILD))
        if width != 1 and backbone in _WITHOUT_WIDTH:
            raise ValueError(f"backbone {backbone!r} has one width. Received: width={width}")
        if backbone in _WITHOUT_UNITS:
            multigrid = None
        normalization = {
            "batch_norm_momentum": batch_norm_momentum,
            "batch_norm_epsilon": batch_norm_epsilon,
            "synchronized_batch_norm": synchronized_batch_norm,
        }
        scale = {} if backbone in _WITHOUT_WIDTH else {"width": width}
        backbone = _BUILD[backbone](input_shape, num_classes=2, **scale, **normalization)
    image = keras.Input(input_shape, name="image")
    x = ImageSizeCheck(32, name="image_size")(image)
    body = dilation.backbone(backbone, input_shape=input_shape, output_stride=output_stride, multigrid=multigrid)
    x = body(x)  # (N, H / output_stride, W / output_stride, C)
    x = AtrousSpatialPyramidPooling(
        *blocks.scaled((256,), width),
        rates=rates or tuple(max(rate * 16 // output_stride, 1) for rate in _RATES_AT_16),
        dropout=dropout,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
        synchronized_batch_norm=synchronized_batch_norm,
        name="aspp",
    )(x)
    x = blocks.pixel_logits(x, num_classes)
    return keras.Model(image, ResizeLike(dtype="float32", name="resize")([x, image]), name=name)
