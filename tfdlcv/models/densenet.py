"""Densely connected networks: every layer sees the maps of all layers before it.

Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017 ("the paper").

Shape legend: N images, H rows, W columns, C channels, k growth rate.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks

# Layers of the four blocks. Table 1.
_LAYERS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def densenet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    depth: Literal[121, 169, 201] = 121,
    stem: Literal["7x7", "3x3"] = "7x7",
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's network for ImageNet: growth rate 32, bottlenecks, and transitions that halve the channels.

    Trainable parameters for 3 channels and 1,000 classes: 7,978,856 at depth 121, 14,149,480 at 169, 20,013,928 at 201.

    Args:
        input_shape: (height, width, channels), height and width at least 32, or 8 with the 3 x 3 stem, or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights.
        stem: `7x7` is the paper's, with stride 2 and a pool; `3x3` is one convolution of stride 1 with neither pool nor
            normalisation, for small images.
        dropout: Share of each layer's new maps that training drops, in [0, 1). Paper: 0.2 without augmentation.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `densenet<depth>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `stem_…`, `block<b>_layer<l>_…`, `transition<b>_…`, `final_…`, `pool` and `logits`.

    Raises:
        ValueError: num_classes < 2, an image that is too small, another depth, or an unknown stem.
    """
    arguments.check_choice("stem", stem, ("7x7", "3x3"))
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32 if stem == "7x7" else 8)
    arguments.check_choice("depth", depth, tuple(_LAYERS))
    arguments.check_share("dropout", dropout)
    normalization = blocks.batch_normalization(
        momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
    )
    image = keras.Input(input_shape, name="image")
    if stem == "7x7":
        x = blocks.convolution(image, 64, 7, strides=2, name="stem_conv")
        x = _normalized_relu(x, normalization, name="stem")
        x = blocks.max_pool(x, 3, 2, padding=1, name="stem_pool")
    else:
        x = blocks.convolution(image, 64, 3, name="stem_conv")
    x = _dense_blocks(
        x, _LAYERS[depth], normalization, growth_rate=32, bottleneck=True, compression=0.5, dropout=dropout
    )
    return keras.Model(image, blocks.pooled_logits(x, num_classes), name=name or f"densenet{depth}")


def densenet_cifar(
    input_shape: Sequence[int | None] = (32, 32, 3),
    *,
    num_classes: int = 10,
    depth: int = 100,
    growth_rate: int = 12,
    variant: Literal["plain", "bottleneck_compression"] = "bottleneck_compression",
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    synchronized_batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The paper's networks for small images, section 3: three blocks of as many layers each.

    Trainable parameters for 3 channels and 10 classes: 1,019,722 plain at depth 40 and growth rate 12; with bottleneck
    and compression (DenseNet-BC) 769,162 at depth 100 and growth rate 12, 25,624,430 at 190 and 40.

    Args:
        input_shape: (height, width, channels), height and width at least 4 or None for any.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights: 3n + 4 plain, 6n + 4 with bottlenecks.
        growth_rate: Maps that each layer adds, the paper's k.
        variant: `plain` is one 3 x 3 convolution a layer and transitions that keep the channels;
            `bottleneck_compression` puts a 1 x 1 convolution to 4k maps before it, and transitions halve the channels.
        dropout: Share of each layer's new maps that training drops, in [0, 1). Paper: 0.2 without augmentation.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model. Default: `densenet<depth>`.

    Returns:
        As `densenet`.

    Raises:
        ValueError: num_classes < 2, an image that is too small, a depth that does not divide into three blocks,
            growth_rate < 1, or an unknown variant.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    arguments.check_choice("variant", variant, ("plain", "bottleneck_compression"))
    arguments.check_share("dropout", dropout)
    bottleneck = variant == "bottleneck_compression"
    convolutions = 6 if bottleneck else 3
    if depth < convolutions + 4 or (depth - 4) % convolutions:
        raise ValueError(
            f"depth must be {convolutions}n + 4 with n >= 1 for variant {variant!r}. Received: depth={depth}"
        )
    if growth_rate < 1:
        raise ValueError(f"growth_rate must be at least 1. Received: growth_rate={growth_rate}")
    normalization = blocks.batch_normalization(
        momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
    )
    image = keras.Input(input_shape, name="image")
    x = blocks.convolution(image, 2 * growth_rate if bottleneck else 16, 3, name="stem_conv")
    x = _dense_blocks(
        x,
        ((depth - 4) // convolutions,) * 3,
        normalization,
        growth_rate=growth_rate,
        bottleneck=bottleneck,
        compression=0.5 if bottleneck else 1.0,
        dropout=dropout,
    )
    return keras.Model(image, blocks.pooled_logits(x, num_classes), name=name or f"densenet{depth}")


def _dense_blocks(
    x,
    layers: Sequence[int],
    normalization: Callable,
    *,
    growth_rate: int,
    bottleneck: bool,
    compression: float,
    dropout: float,
):
    """Blocks of `layers` layers each, with a transition behind every one but the last."""
    for block, count in enumerate(layers, start=1):
        for index in range(1, count + 1):
            name = f"block{block}_layer{index}"
            new = x
            if bottleneck:
                new = _normalized_relu(new, normalization, name=name, index=1)
                new = blocks.convolution(new, 4 * growth_rate, 1, name=f"{name}_conv1")
            last = 2 if bottleneck else 1
            new = _normalized_relu(new, normalization, name=name, index=last)
            new = blocks.convolution(new, growth_rate, 3, name=f"{name}_conv{last}")
            if dropout:
                new = keras.layers.Dropout(dropout, name=f"{name}_dropout")(new)
            x = keras.layers.Concatenate(name=f"{name}_concatenate")([x, new])  # (N, H, W, C + k)
        if block < len(layers):
            x = _normalized_relu(x, normalization, name=f"transition{block}")
            x = blocks.convolution(x, int(x.shape[-1] * compression), 1, name=f"transition{block}_conv")
            x = keras.layers.AveragePooling2D(2, name=f"transition{block}_pool")(x)
    return _normalized_relu(x, normalization, name="final")


def _normalized_relu(x, normalization: Callable, *, name: str, index: int | str = ""):
    x = normalization(name=f"{name}_norm{index}")(x)
    return keras.layers.ReLU(name=f"{name}_relu{index}")(x)
