"""AlexNet, which won the ImageNet challenge of 2012, and its forms on a single device.

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012 ("the
paper"); Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import LocalResponseNormalization
from tfdlcv.models import arguments, blocks

Variant = Literal["grouped", "one_tower", "one_weird_trick"]

# Filters of the five convolutions, and groups of each.
_TOWERS = {
    "grouped": ((96, 256, 384, 384, 256), (1, 2, 1, 2, 2)),
    "one_tower": ((96, 256, 384, 384, 256), (1, 1, 1, 1, 1)),
    "one_weird_trick": ((64, 192, 384, 256, 256), (1, 1, 1, 1, 1)),
}


def alexnet(
    input_shape: Sequence[int] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    variant: Variant = "grouped",
    dropout: float = 0.0,
    name: str = "alexnet",
) -> keras.Model:
    """Five convolutions and three fully connected layers.

    Trainable parameters at 224 x 224 x 3 and 1,000 classes: 60,965,224 grouped, 62,378,344 in one tower, 61,100,840 for
    one weird trick. The first convolution is padded by 2, which makes the paper's 55 x 55 maps of 224 x 224 images.

    Args:
        input_shape: (height, width, channels), height and width at least 63.
        num_classes: Number of logits, at least 2.
        variant: `grouped` is the paper's, whose second, fourth and fifth convolutions see half of the channels
            each, since it ran on two devices; `one_tower` has no groups; `one_weird_trick` has the narrower
            convolutions of the 2014 paper, without local response normalisation.
        dropout: Share of the values that training drops in front of fc7 and of the logits, in [0, 1). Paper: 0.5.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `conv1` to `conv5`, `pool1`, `pool2`, `pool5`, `fc6`, `fc7` and `logits`, as in DeCAF (Donahue et al. 2014).

    Raises:
        ValueError: num_classes < 2, an image that is too small or of no fixed size, or an unknown variant.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=63)
    arguments.check_fixed_size(input_shape, network="alexnet")
    arguments.check_choice("variant", variant, tuple(_TOWERS))
    arguments.check_share("dropout", dropout)
    filters, groups = _TOWERS[variant]
    normalizes = variant != "one_weird_trick"
    image = keras.Input(input_shape, name="image")
    x = blocks.convolution_relu(image, filters[0], 11, strides=4, padding=2, name="conv1")  # (N, 55, 55, 96)
    if normalizes:
        x = LocalResponseNormalization(name="norm1")(x)
    x = blocks.max_pool(x, 3, 2, name="pool1")  # (N, 27, 27, 96)
    x = blocks.convolution_relu(x, filters[1], 5, groups=groups[1], name="conv2")
    if normalizes:
        x = LocalResponseNormalization(name="norm2")(x)
    x = blocks.max_pool(x, 3, 2, name="pool2")  # (N, 13, 13, 256)
    for index in (3, 4, 5):
        x = blocks.convolution_relu(x, filters[index - 1], 3, groups=groups[index - 1], name=f"conv{index}")
    x = blocks.max_pool(x, 3, 2, name="pool5")  # (N, 6, 6, 256)
    return keras.Model(image, blocks.fully_connected_end(x, num_classes, dropout), name=name)
