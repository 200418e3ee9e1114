"""Multilayer perceptron on the pixels of an image."""

from collections.abc import Sequence

import keras

from tfdlcv.models import arguments


def mlp(
    input_shape: Sequence[int] = (28, 28, 1),
    *,
    num_classes: int = 10,
    hidden_units: Sequence[int] = (512, 256),
    dropout: float = 0.0,
    name: str = "mlp",
) -> keras.Model:
    """Fully connected ReLU layers on the flattened image.

    Args:
        input_shape: (height, width, channels) of the image.
        num_classes: Number of logits, at least 2.
        hidden_units: Width of each hidden layer; () makes a linear classifier.
        dropout: Share of each hidden layer's outputs that training drops, in [0, 1).
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32.

    Raises:
        ValueError: num_classes < 2, a size of the image that is None or below 1, or a hidden layer without units.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes)
    if None in input_shape:
        raise ValueError(f"an mlp needs the size of its images. Received: input_shape={tuple(input_shape)}")
    if any(units < 1 for units in hidden_units):
        raise ValueError(f"hidden_units must be at least 1 each. Received: hidden_units={tuple(hidden_units)}")
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Flatten(name="flatten")(image)
    for index, units in enumerate(hidden_units, start=1):
        x = keras.layers.Dense(units, "relu", kernel_initializer="he_normal", name=f"hidden{index}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
    logits = keras.layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)
