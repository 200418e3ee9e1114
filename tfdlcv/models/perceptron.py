"""The perceptron, one layer of weights on the pixels of an image.

Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain", Psychological
Review 1958. Its rule of learning is `tfdlcv.losses.perceptron`.
"""

from collections.abc import Sequence

import keras

from tfdlcv.models import arguments


def perceptron(
    input_shape: Sequence[int] = (28, 28, 1), *, num_classes: int = 10, name: str = "perceptron"
) -> keras.Model:
    """A weighted sum of the pixels for each class, with weights that start at zero, as the rule allows.

    The class is the one with the largest sum; for two classes this is a threshold on the difference of the two.

    Args:
        input_shape: (height, width, channels) of the image.
        num_classes: Number of sums, at least 2.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32.

    Raises:
        ValueError: num_classes < 2, or a size of the image that is None or below 1.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes)
    arguments.check_fixed_size(input_shape, network="a perceptron")
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Flatten(name="flatten")(image)
    logits = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)
