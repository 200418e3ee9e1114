"""ZFNet, AlexNet with a finer first layer.

Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, figure 3 and section 5.1.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import LocalResponseNormalization
from tfdlcv.models import arguments, blocks

# Filters of the five convolutions.
_FILTERS = {"original": (96, 256, 384, 384, 256), "wide": (96, 256, 512, 1024, 512)}


def zfnet(
    input_shape: Sequence[int] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    variant: Literal["original", "wide"] = "original",
    dropout: float = 0.0,
    name: str = "zfnet",
) -> keras.Model:
    """Five convolutions and three fully connected layers: 62,357,608 trainable parameters, wide 107,627,624.

    Args:
        input_shape: (height, width, channels), height and width at least 53.
        num_classes: Number of logits, at least 2.
        variant: `original` is figure 3; `wide` has 512, 1,024 and 512 maps in the last three convolutions (table 3).
        dropout: Share of the values that training drops in front of fc7 and of the logits, in [0, 1). Paper: 0.5.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        as AlexNet's.

    Raises:
        ValueError: num_classes < 2, an image that is too small or of no fixed size, or an unknown variant.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=53)
    arguments.check_fixed_size(input_shape, network="zfnet")
    arguments.check_choice("variant", variant, tuple(_FILTERS))
    arguments.check_share("dropout", dropout)
    filters = _FILTERS[variant]
    image = keras.Input(input_shape, name="image")
    x = blocks.convolution_relu(image, filters[0], 7, strides=2, padding=1, name="conv1")  # (N, 110, 110, 96)
    x = blocks.max_pool(x, 3, 2, padding=1, name="pool1")  # (N, 55, 55, 96)
    x = LocalResponseNormalization(name="norm1")(x)
    x = blocks.convolution_relu(x, filters[1], 5, strides=2, padding=0, name="conv2")  # (N, 26, 26, 256)
    x = blocks.max_pool(x, 3, 2, padding=1, name="pool2")  # (N, 13, 13, 256)
    x = LocalResponseNormalization(name="norm2")(x)
    for index in (3, 4, 5):
        x = blocks.convolution_relu(x, filters[index - 1], 3, name=f"conv{index}")
    x = blocks.max_pool(x, 3, 2, name="pool5")  # (N, 6, 6, 256)
    return keras.Model(image, blocks.fully_connected_end(x, num_classes, dropout), name=name)
