"""VGG networks: depth from small filters.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks

FILTERS = (64, 128, 256, 512, 512)
# Convolutions of each block: columns D and E of table 1.
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(
    input_shape: Sequence[int] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    depth: Literal[16, 19] = 16,
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """3 x 3 convolutions in five blocks, each before a pool, and three fully connected layers.

    Trainable parameters at 224 x 224 x 3 and 1,000 classes: 138,357,544 at depth 16, 143,667,240 at depth 19.

    Args:
        input_shape: (height, width, channels), height and width at least 32.
        num_classes: Number of logits, at least 2.
        depth: Layers with weights.
        dropout: Share of the values that training drops in front of fc7 and of the logits, in [0, 1). Paper: 0.5.
        name: Name of the model. Default: `vgg<depth>`.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `block<b>_conv<c>`, `block<b>_pool`, `fc6`, `fc7` and `logits`.

    Raises:
        ValueError: num_classes < 2, an image that is too small or of no fixed size, or another depth.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_fixed_size(input_shape, network="vgg")
    arguments.check_choice("depth", depth, tuple(CONVOLUTIONS))
    arguments.check_share("dropout", dropout)
    image = keras.Input(input_shape, name="image")
    *_, x = feature_maps(image, depth=depth)
    return keras.Model(image, blocks.fully_connected_end(x, num_classes, dropout), name=name or f"vgg{depth}")


def feature_maps(
    x, *, depth: int, width: float = 1.0, first_padding: int | Literal["centred"] = "centred", odd_sizes: bool = False
) -> list:
    """(N, H, W, C) -> the maps behind each of the five pools, of strides 2 to 32.

    Args:
        depth: 16 or 19.
        width: Factor of every layer's filters.
        first_padding: Zeros around the image, in pixels.
        odd_sizes: Whether pools round sizes up, as those of Caffe do, and do not leave out the last row and column.
    """
    maps = []
    for block, (filters, count) in enumerate(zip(blocks.scaled(FILTERS, width), CONVOLUTIONS[depth], strict=True), 1):
        for index in range(1, count + 1):
            padding = first_padding if block == index == 1 else "centred"
            x = blocks.convolution_relu(x, filters, 3, padding=padding, name=f"block{block}_conv{index}")
        x = blocks.max_pool(x, 2, 2, padding="same" if odd_sizes else 0, name=f"block{block}_pool")
        maps.append(x)
    return maps
