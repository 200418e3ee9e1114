"""MobileNet, convolutions that are split into one for each channel and one for each pixel.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017, table 1.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import keras

from tfdlcv.models import arguments, blocks

# Filters and stride of each pair of convolutions. Table 1, whose last depthwise stride of 2 is a misprint: its maps
# stay at 7 x 7.
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def mobilenet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    width: float = 1.0,
    padding: Literal["centred", "same"] = "centred",
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-3,
    synchronized_batch_norm: bool = False,
    name: str = "mobilenet",
) -> keras.Model:
    """Thirteen pairs of a depthwise 3 x 3 and a pointwise convolution, with ReLU cut off at 6.

    Trainable parameters for 3 channels and 1,000 classes: 4,231,976 at width 1, 2,585,560 at 0.75, 1,331,592 at 0.5,
    470,072 at 0.25.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any.
        num_classes: Number of logits, at least 2.
        width: Factor of every layer's filters, the paper's alpha, above 0. 32 * width must be at least 1.
        padding: Zeros around what strided convolutions see: on all sides, or as Keras's "same". Weights from
            keras.applications and TensorFlow need "same".
        dropout: Share of the features that training drops in front of the logits, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32. Its layers are named
        `stem_…`, `pair<p>_depthwise…`, `pair<p>_pointwise…`, `pool` and `logits`.

    Raises:
        ValueError: num_classes < 2, an image that is too small, a width that leaves no filter, or an unknown padding.
    """
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=32)
    arguments.check_choice("padding", padding, ("centred", "same"))
    arguments.check_share("dropout", dropout)
    if int(32 * width) < 1:
        raise ValueError(f"width must leave the first layer one of its 32 filters. Received: width={width}")
    normalization = blocks.batch_normalization(
        momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
    )
    image = keras.Input(input_shape, name="image")
    x = blocks.convolution(image, int(32 * width), 3, strides=2, padding=padding, name="stem_conv")
    x = _normalized_relu6(x, normalization, name="stem")
    for index, (filters, strides) in enumerate(_PAIRS, start=1):
        pair = f"pair{index}"
        x = blocks.depthwise_convolution(x, 3, strides=strides, padding=padding, name=f"{pair}_depthwise_conv")
        x = _normalized_relu6(x, normalization, name=f"{pair}_depthwise")
        x = blocks.convolution(x, int(filters * width), 1, name=f"{pair}_pointwise_conv")
        x = _normalized_relu6(x, normalization, name=f"{pair}_pointwise")
    return keras.Model(image, blocks.pooled_logits(x, num_classes, dropout=dropout), name=name)


def _normalized_relu6(x, normalization: Callable, *, name: str):
    x = normalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
