"""LeNet-5, the network that read digits on cheques.

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 1998,
section II.B.
"""

from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import ops

from tfdlcv.layers import NegativeSquaredDistances, PartialConv2D, TrainedSubsampling2D
from tfdlcv.models import arguments

INPUT_SIZE = 32  # So that a stroke's end can lie in the middle of the last layer's receptive field. Paper, II.B.
# The maps of S2 that each map of C3 sees. Table I.
_C3_CONNECTIONS = (
    *((first % 6, (first + 1) % 6, (first + 2) % 6) for first in range(6)),
    *((first % 6, (first + 1) % 6, (first + 2) % 6, (first + 3) % 6) for first in range(6)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
# What the 84 units of F6 shall show: a picture of 7 x 12 of the digit. Drawn for this package; the paper's figure 3 has
# drawings of its own.
_DIGITS = """
 .....   ...    .....   .....       ..  .......   ....  .......  .....   .....
..   .. ....   ..   .. ..   ..     ...  ..       ..          .. ..   .. ..   ..
..   ..   ..        ..      ..    ....  ..      ..           .. ..   .. ..   ..
..   ..   ..        ..      ..   .. ..  ..      ..          ..  ..   .. ..   ..
..   ..   ..       ..       ..  ..  ..  ......  ......      ..  ..   .. ..   ..
..   ..   ..      ..     ....  ..   ..       .. ..   ..    ..    .....   ......
..   ..   ..     ..         .. .......       .. ..   ..    ..   ..   ..      ..
..   ..   ..    ..          ..      ..       .. ..   ..   ..    ..   ..      ..
..   ..   ..   ..           ..      ..       .. ..   ..   ..    ..   ..      ..
..   ..   ..   ..      ..   ..      ..  ..   .. ..   ..  ..     ..   ..     ..
..   ..   ..   ..      ..   ..      ..  ..   .. ..   ..  ..     ..   ..    ..
 .....  ...... .......  .....       ..   .....   .....   ..      .....  ....
"""


def lenet5(
    input_shape: Sequence[int] = (28, 28, 1),
    *,
    num_classes: int = 10,
    variant: Literal["dense", "original"] = "dense",
    activation: Literal["tanh", "relu"] = "tanh",
    name: str = "lenet5",
) -> keras.Model:
    """LeNet-5: 61,706 parameters for one channel and 10 classes, or the original's 60,000.

    Deviations of `dense` from the paper, as in most later implementations: layer C3 sees all six maps of S2 (the
    paper's table I leaves some out); the sub-sampling layers S2 and S4 are plain averages, without weights or
    activation; the output is a linear layer instead of distances to drawn digits; tanh is not scaled.

    Args:
        input_shape: (28, 28, channels), which is padded with zeros to 32 x 32, or (32, 32, channels).
        num_classes: Number of logits, at least 2; `original` has drawings of 10.
        variant: `original` has the paper's sparse C3, trained sub-sampling, scaled tanh, and as logits the negative
            squared distances of F6's 84 units to drawings of the ten digits, which are not trained.
        activation: Of every hidden layer; of `dense` alone.
        name: Name of the model.

    Returns:
        A model from `image` (N, 28 or 32, 28 or 32, channels) float to logits (N, num_classes) float32.

    Raises:
        ValueError: num_classes < 2, another image size, or an activation or number of classes that the variant has not.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes)
    height, width = input_shape[:2]
    if (height, width) not in ((28, 28), (INPUT_SIZE, INPUT_SIZE)):
        raise ValueError(f"lenet5 takes images of 28 x 28 or 32 x 32. Received: input_shape={tuple(input_shape)}")
    arguments.check_choice("variant", variant, ("dense", "original"))
    if activation not in ("tanh", "relu"):
        raise ValueError(f"activation must be 'tanh' or 'relu'. Received: activation={activation!r}")
    if variant == "original" and (num_classes != 10 or activation != "tanh"):
        raise ValueError(
            "variant 'original' has 10 classes and its own tanh. Received: "
            f"num_classes={num_classes}, activation={activation!r}"
        )
    image = keras.Input(input_shape, name="image")
    x = keras.layers.ZeroPadding2D((INPUT_SIZE - height) // 2, name="pad")(image)  # (N, 32, 32, channels)
    logits = _original(x) if variant == "original" else _dense(x, num_classes, activation)
    return keras.Model(image, logits, name=name)


def digit_codes() -> np.ndarray:
    """(10, 84) float32 of -1, paper, and 1, ink: drawings of 7 x 12 pixels, row by row."""
    rows = [line.ljust(10 * 8) for line in _DIGITS.strip("\n").splitlines()]
    ink = np.array([[character == "." for character in row] for row in rows])  # (12, 80)
    digits = ink.reshape((12, 10, 8))[:, :, :7].transpose((1, 0, 2))  # (10, 12, 7)
    return np.where(digits, 1.0, -1.0).reshape((10, 84)).astype("float32")


def _dense(x, num_classes: int, activation: str):
    """(N, 32, 32, C) -> (N, num_classes) logits."""
    # He's variance keeps the signal through ReLU, Glorot's through the linear part of tanh.
    weights = {
        "activation": activation,
        "kernel_initializer": "he_normal" if activation == "relu" else "glorot_uniform",
    }
    x = keras.layers.Conv2D(6, 5, name="c1", **weights)(x)  # (N, 28, 28, 6)
    x = keras.layers.AveragePooling2D(2, name="s2")(x)  # (N, 14, 14, 6)
    x = keras.layers.Conv2D(16, 5, name="c3", **weights)(x)  # (N, 10, 10, 16)
    x = keras.layers.AveragePooling2D(2, name="s4")(x)  # (N, 5, 5, 16)
    x = keras.layers.Conv2D(120, 5, name="c5", **weights)(x)  # (N, 1, 1, 120)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(84, name="f6", **weights)(x)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)


def _original(x):
    """(N, 32, 32, C) -> (N, 10) logits."""
    x = _scaled_tanh(keras.layers.Conv2D(6, 5, name="c1")(x))
    x = _scaled_tanh(TrainedSubsampling2D(name="s2")(x))
    x = _scaled_tanh(PartialConv2D(_C3_CONNECTIONS, 5, name="c3")(x))
    x = _scaled_tanh(TrainedSubsampling2D(name="s4")(x))
    x = _scaled_tanh(keras.layers.Conv2D(120, 5, name="c5")(x))
    x = keras.layers.Flatten(name="flatten")(x)
    x = _scaled_tanh(keras.layers.Dense(84, name="f6")(x))
    return NegativeSquaredDistances(digit_codes(), dtype="float32", name="logits")(x)


def _scaled_tanh(x):
    """Appendix A: so that the targets 1 and -1 lie where the curve bends most, not at its ends."""
    return 1.7159 * ops.tanh(x * (2 / 3))
