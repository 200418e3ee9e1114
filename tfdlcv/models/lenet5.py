"""LeNet-5, the network that read digits on cheques.

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 1998,
section II.B.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments

INPUT_SIZE = 32  # So that a stroke's end can lie in the middle of the last layer's receptive field. Paper, II.B.


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    *,
    num_classes: int = 10,
    activation: Literal["tanh", "relu"] = "tanh",
    name: str = "lenet5",
) -> keras.Model:
    """LeNet-5 with 61,706 parameters for one channel and 10 classes.

    Deviations from the paper, as in most later implementations: layer C3 sees all six maps of S2 (the paper's table I
    leaves some out); the sub-sampling layers S2 and S4 are plain averages, without weights; the output is a linear
    layer instead of distances to drawn digits; tanh is not scaled by 1.7159.

    Args:
        input_shape: (28, 28, channels), which is padded with zeros to 32 x 32, or (32, 32, channels).
        num_classes: Number of logits, at least 2.
        activation: Of every hidden layer.
        name: Name of the model.

    Returns:
        A model from `image` (N, 28 or 32, 28 or 32, channels) float to logits (N, num_classes) float32.

    Raises:
        ValueError: num_classes < 2, another image size, or another activation.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes)
    height, width = input_shape[:2]
    if (height, width) not in ((28, 28), (INPUT_SIZE, INPUT_SIZE)):
        raise ValueError(f"lenet5 takes images of 28 x 28 or 32 x 32. Received: input_shape={tuple(input_shape)}")
    if activation not in ("tanh", "relu"):
        raise ValueError(f"activation must be 'tanh' or 'relu'. Received: activation={activation!r}")
    # He's variance keeps the signal through ReLU, Glorot's through the linear part of tanh.
    weights = {
        "activation": activation,
        "kernel_initializer": "he_normal" if activation == "relu" else "glorot_uniform",
    }
    image = keras.Input(input_shape, name="image")
    x = keras.layers.ZeroPadding2D((INPUT_SIZE - height) // 2, name="pad")(image)  # (N, 32, 32, channels)
    x = keras.layers.Conv2D(6, 5, name="c1", **weights)(x)  # (N, 28, 28, 6)
    x = keras.layers.AveragePooling2D(2, name="s2")(x)  # (N, 14, 14, 6)
    x = keras.layers.Conv2D(16, 5, name="c3", **weights)(x)  # (N, 10, 10, 16)
    x = keras.layers.AveragePooling2D(2, name="s4")(x)  # (N, 5, 5, 16)
    x = keras.layers.Conv2D(120, 5, name="c5", **weights)(x)  # (N, 1, 1, 120)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(84, name="f6", **weights)(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)
