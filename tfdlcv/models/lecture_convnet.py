"""The convolution network that the lectures train on MNIST: four convolutions and two fully connected layers."""

from collections.abc import Sequence

import keras

from tfdlcv.models import arguments


def lecture_convnet(
    input_shape: Sequence[int] = (28, 28, 1),
    *,
    num_classes: int = 10,
    dropout: float = 0.0,
    name: str = "lecture_convnet",
) -> keras.Model:
    """Lecture 4's network: 836,522 parameters for 28 x 28 x 1 and 10 classes, 803,328 of them in the layer `fc0`.

    Args:
        input_shape: (height, width, channels), height and width at least 4.
        num_classes: Number of logits, at least 2.
        dropout: Share of the units of `fc0` that training drops, in [0, 1). Lecture: 0.5.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32.

    Raises:
        ValueError: num_classes < 2, an image that is too small or of no fixed size, or a dropout out of range.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=4)
    arguments.check_fixed_size(input_shape, network="lecture_convnet")
    arguments.check_share("dropout", dropout)
    convolution = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Conv2D(32, 3, name="conv0", **convolution)(image)
    x = keras.layers.MaxPooling2D(2, name="pool0")(x)  # (N, 14, 14, 32)
    x = keras.layers.Conv2D(32, 3, name="conv1", **convolution)(x)
    x = keras.layers.Conv2D(32, 3, name="conv2", **convolution)(x)
    x = keras.layers.MaxPooling2D(2, name="pool2")(x)  # (N, 7, 7, 32)
    x = keras.layers.Conv2D(32, 3, name="conv3", **convolution)(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(512, "relu", kernel_initializer="he_normal", name="fc0")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)
