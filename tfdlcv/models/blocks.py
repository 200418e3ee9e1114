"""What the families of convolution networks share: convolutions, pools, normalisation and the classifying end.

Shape legend: N images, H rows, W columns, C channels.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import keras
from keras import ops

from tfdlcv.layers import BatchNormalization, Conv2D

Padding = int | Literal["centred", "same"]


def batch_normalization(*, momentum: float, epsilon: float, synchronized: bool) -> Callable:
    """A constructor of normalisation layers that takes their name.

    Args:
        momentum: Share of the old moving statistics that a step keeps.
        epsilon: Added to variances.
        synchronized: Compute batch statistics over all replicas of a strategy. Excludes XLA.
    """
    return functools.partial(BatchNormalization, momentum=momentum, epsilon=epsilon, synchronized=synchronized)


def convolution(
    x,
    filters: int,
    kernel_size: int,
    *,
    strides: int = 1,
    groups: int = 1,
    padding: Padding = "centred",
    use_bias: bool = False,
    name: str,
):
    """(N, H, W, C) -> (N, H', W', filters) with H' = floor((H - kernel_size + 2 * padding) / strides) + 1.

    Args:
        padding: Pixels of zeros on every side; "centred" means kernel_size // 2; "same" is Keras's, which pads strided
            convolutions of even images on the right and below only, so that H' = ceil(H / strides). Weights see
            images that are shifted by a pixel where they were trained with the other one.
    """
    x, keras_padding = _padded(x, kernel_size, strides, padding, name=name)
    return Conv2D(
        filters,
        kernel_size,
        strides,
        padding=keras_padding,
        groups=groups,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def depthwise_convolution(x, kernel_size: int, *, strides: int = 1, padding: Padding = "centred", name: str):
    """(N, H, W, C) -> (N, H', W', C), one kernel for each channel; as `convolution`, without bias."""
    x, keras_padding = _padded(x, kernel_size, strides, padding, name=name)
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding=keras_padding,
        use_bias=False,
        depthwise_initializer=_depthwise_he_normal(kernel_size),
        name=name,
    )(x)


def max_pool(x, pool_size: int, strides: int, *, padding: int | Literal["same"] = 0, name: str):
    """Largest value of windows; padding never wins, whatever the signs of the values.

    "same" pads odd pixels on the right and below: for even images the sizes of frameworks that round up.
    """
    if padding == "same":
        return keras.layers.MaxPooling2D(pool_size, strides, padding="same", name=name)(x)
    if padding:
        sides = (padding, padding)
        x = ops.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=float("-inf"))
    return keras.layers.MaxPooling2D(pool_size, strides, name=name)(x)


def convolution_relu(x, filters: int, kernel_size: int, *, name: str, **options):
    """A convolution with bias and ReLU, as before batch normalisation; `options` are those of `convolution`."""
    x = convolution(x, filters, kernel_size, use_bias=True, name=name, **options)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def dense_relu(x, units: int, *, dropout: float, name: str):
    """(N, C) -> (N, units), with ReLU and dropout."""
    x = keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(x)
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def drop_branch(x, rate: float, *, name: str):
    """Training sets the whole branch of some examples to zero and scales that of the others by 1 / (1 - rate).

    Huang et al. 2016, "Deep Networks with Stochastic Depth".
    """
    if not rate:
        return x
    return keras.layers.Dropout(rate, noise_shape=(None, *(1,) * (len(x.shape) - 1)), name=name)(x)


def logits(x, num_classes: int, *, name: str = "logits"):
    """(N, C) -> (N, num_classes) logits; in float32 under every policy, as the loss needs it."""
    return keras.layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32", name=name)(x)


def pixel_logits(x, num_classes: int, *, name: str = "logits"):
    """(N, H, W, C) -> (N, H, W, num_classes) logits of every pixel; in float32 under every policy."""
    return keras.layers.Conv2D(num_classes, 1, kernel_initializer="he_normal", dtype="float32", name=name)(x)


def scaled(filters: Sequence[int], width: float) -> tuple[int, ...]:
    """`filters` times `width`, rounded down.

    Raises:
        ValueError: if that leaves a layer without any.
    """
    if int(min(filters) * width) < 1:
        raise ValueError(f"width must leave one of {min(filters)} filters. Received: width={width}")
    return tuple(int(count * width) for count in filters)


def pooled_logits(x, num_classes: int, *, dropout: float = 0.0):
    """(N, H, W, C) features -> (N, num_classes) logits of their means, in float32."""
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, dtype="float32", name="dropout")(x)
    return logits(x, num_classes)


def fully_connected_end(x, num_classes: int, dropout: float):
    """(N, H, W, C) -> (N, num_classes) logits through two layers of 4,096 units, the end of AlexNet, ZFNet and VGG."""
    x = keras.layers.Flatten(name="flatten")(x)
    x = dense_relu(x, 4096, dropout=dropout, name="fc6")
    x = dense_relu(x, 4096, dropout=dropout, name="fc7")
    return logits(x, num_classes)


def _padded(x, kernel_size: int, strides: int, padding: Padding, *, name: str):
    """-> x with its zeros around it, where Keras's own padding does not put them there, and Keras's padding."""
    if padding == "same":
        return x, "same"
    pixels = kernel_size // 2 if padding == "centred" else padding
    if strides == 1 and kernel_size == 2 * pixels + 1:
        return x, "same"  # The same zeros, without a layer.
    if pixels:
        x = keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x)
    return x, "valid"


def _depthwise_he_normal(kernel_size: int):
    # Keras takes the channels of a depthwise kernel (k, k, C, 1) for inputs of each output; there is one.
    return keras.initializers.TruncatedNormal(stddev=(2 / kernel_size**2) ** 0.5)
