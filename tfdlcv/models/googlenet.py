"""GoogLeNet, the first Inception network.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015 ("the paper"), table 1 and figure 3.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import keras

from tfdlcv.layers import LocalResponseNormalization
from tfdlcv.models import arguments, blocks

# Filters: 1 x 1; reduction to and 3 x 3; reduction to and 5 x 5; 1 x 1 behind the pool. Table 1.
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_AUXILIARY_AFTER = ("4a", "4d")  # Section 5.


def googlenet(
    input_shape: Sequence[int | None] = (224, 224, 3),
    *,
    num_classes: int = 1000,
    variant: Literal["original", "batch_norm"] = "original",
    auxiliary_heads: bool = False,
    dropout: float = 0.0,
    auxiliary_dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-3,
    synchronized_batch_norm: bool = False,
    name: str = "googlenet",
) -> keras.Model:
    """Nine Inception modules: 6,998,552 trainable parameters, 13,378,280 with auxiliary heads.

    Args:
        input_shape: (height, width, channels), height and width at least 32, or 65 with auxiliary heads, or None for
            any without them.
        num_classes: Number of logits, at least 2.
        variant: `original` is the paper's; `batch_norm` is torchvision's, with batch normalisation in place of biases
            and local response normalisation, 3 x 3 convolutions in place of the 5 x 5 ones (by mistake, which its
            weights keep), and a last pool of 2 x 2: 6,624,904 parameters, 13,004,888 with auxiliary heads.
        auxiliary_heads: Two further classifiers, behind modules 4a and 4d, whose losses help training.
        dropout: Share of the features that training drops in front of the logits, in [0, 1). Paper: 0.4.
        auxiliary_dropout: The same in the auxiliary heads. Paper: 0.7.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, height, width, channels) float to logits (N, num_classes) float32; with auxiliary heads
        to a dict of them, `logits`, `auxiliary_4a` and `auxiliary_4d`. Its layers are named `inception_<m>_…`.

    Raises:
        ValueError: num_classes < 2, an image that is too small, or an unknown variant.
    """
    minimum_size = 65 if auxiliary_heads else 32
    arguments.check_image_classifier(input_shape, num_classes=num_classes, minimum_size=minimum_size)
    arguments.check_choice("variant", variant, ("original", "batch_norm"))
    arguments.check_share("dropout", dropout)
    arguments.check_share("auxiliary_dropout", auxiliary_dropout)
    if auxiliary_heads:
        arguments.check_fixed_size(input_shape, network="googlenet with auxiliary heads")
    original = variant == "original"
    normalization = blocks.batch_normalization(
        momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
    )

    def convolve(x, filters, kernel_size, *, strides=1, name):
        if original:
            return blocks.convolution_relu(x, filters, kernel_size, strides=strides, name=name)
        x = blocks.convolution(x, filters, kernel_size, strides=strides, name=name)
        return keras.layers.ReLU(name=f"{name}_relu")(normalization(name=f"{name}_norm")(x))

    image = keras.Input(input_shape, name="image")
    x = convolve(image, 64, 7, strides=2, name="conv1")  # (N, 112, 112, 64)
    x = blocks.max_pool(x, 3, 2, padding="same", name="pool1")  # (N, 56, 56, 64)
    if original:
        x = LocalResponseNormalization(name="norm1")(x)
    x = convolve(x, 64, 1, name="conv2_reduce")
    x = convolve(x, 192, 3, name="conv2")
    if original:
        x = LocalResponseNormalization(name="norm2")(x)
    x = blocks.max_pool(x, 3, 2, padding="same", name="pool2")  # (N, 28, 28, 192)
    auxiliary = {}
    for module, filters in _INCEPTIONS.items():
        x = _inception(x, filters, convolve, large_kernel=5 if original else 3, name=f"inception_{module}")
        if auxiliary_heads and module in _AUXILIARY_AFTER:
            name_of_head = f"auxiliary_{module}"
            auxiliary[name_of_head] = _auxiliary_head(x, num_classes, convolve, auxiliary_dropout, name=name_of_head)
        if module == "3b":
            x = blocks.max_pool(x, 3, 2, padding="same", name="pool3")  # (N, 14, 14, 480)
        elif module == "4e":
            x = blocks.max_pool(x, 3 if original else 2, 2, padding="same", name="pool4")  # (N, 7, 7, 832)
    logits = blocks.pooled_logits(x, num_classes, dropout=dropout)
    return keras.Model(image, {"logits": logits, **auxiliary} if auxiliary_heads else logits, name=name)


def _inception(x, filters: Sequence[int], convolve: Callable, *, large_kernel: int, name: str):
    """Four branches over the same pixels, whose maps are concatenated. Figure 2b."""
    alone, reduce_small, small, reduce_large, large, behind_pool = filters
    branches = [
        convolve(x, alone, 1, name=f"{name}_1x1"),
        convolve(convolve(x, reduce_small, 1, name=f"{name}_3x3_reduce"), small, 3, name=f"{name}_3x3"),
        convolve(convolve(x, reduce_large, 1, name=f"{name}_5x5_reduce"), large, large_kernel, name=f"{name}_5x5"),
        convolve(
            blocks.max_pool(x, 3, 1, padding="same", name=f"{name}_pool"), behind_pool, 1, name=f"{name}_pool_1x1"
        ),
    ]
    return keras.layers.Concatenate(name=f"{name}_concatenate")(branches)


def _auxiliary_head(x, num_classes: int, convolve: Callable, dropout: float, *, name: str):
    """(N, 14, 14, C) -> (N, num_classes) logits. Section 5."""
    x = keras.layers.AveragePooling2D(5, 3, name=f"{name}_pool")(x)  # (N, 4, 4, C)
    x = convolve(x, 128, 1, name=f"{name}_conv")
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    x = blocks.dense_relu(x, 1024, dropout=dropout, name=f"{name}_fc")
    return blocks.logits(x, num_classes, name=name)
