"""SegNet: VGG's convolutions down, their mirror image up, and maxima that return to where they came from.

Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
PAMI 2017 ("the paper"), figure 2.

Shape legend: N images, H rows, W columns, C channels, K classes.
"""

from collections.abc import Callable, Sequence

import keras

from tfdlcv.layers import ImageSizeCheck, MaxPoolingWithIndices2D, MaxUnpooling2D
from tfdlcv.models import arguments, blocks
from tfdlcv.models.vgg import CONVOLUTIONS, FILTERS

_SMALLEST = 32  # The stride of the lowest maps.


def segnet(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    num_classes: int,
    width: float = 1.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-3,
    synchronized_batch_norm: bool = False,
    name: str = "segnet",
) -> keras.Model:
    """Thirteen convolutions of VGG-16, each with batch normalisation and ReLU, and thirteen that mirror them.

    29,470,997 parameters for 3 channels and 21 classes, 15,872 of which are moving statistics. Convolutions keep the
    biases that batch normalisation makes useless, as the authors' do, so that VGG-16's weights are weights of it.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any from there.
        num_classes: K, at least 1, which is for a number of each pixel.
        width: Factor of every layer's filters, above 0.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C) float to logits (N, H, W, K) float32. Its layers are named
        `block<b>_conv<c>…`, `block<b>_pool`, `up<b>_unpool`, `up<b>_conv<c>…` and `logits`.

    Raises:
        ValueError: num_classes < 1, an image that is too small, or a width that leaves no filter. Called with a smaller
            image of no known size, the model raises it.
    """
    arguments.check_pixel_network(input_shape, num_classes=num_classes, minimum_size=_SMALLEST)
    normalization = blocks.batch_normalization(
        momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
    )
    filters, convolutions = blocks.scaled(FILTERS, width), CONVOLUTIONS[16]
    image = keras.Input(input_shape, name="image")
    x = ImageSizeCheck(_SMALLEST, name="image_size")(image)
    pools = []
    for block, (block_filters, count) in enumerate(zip(filters, convolutions, strict=True), start=1):
        for index in range(1, count + 1):
            x = _convolution(x, block_filters, normalization, name=f"block{block}_conv{index}")
        before = x
        x, indices = MaxPoolingWithIndices2D(2, name=f"block{block}_pool")(x)
        pools.append((indices, before))
    for block in range(len(filters), 0, -1):
        # The indices count pixels of the maps in front of the pool, whose rows and columns may be odd.
        x = MaxUnpooling2D(2, name=f"up{block}_unpool")([x, *pools[block - 1]])
        for index in range(convolutions[block - 1], 0, -1):
            if block == index == 1:
                break  # The logits.
            last = index == 1
            x = _convolution(x, filters[block - 1 - last], normalization, name=f"up{block}_conv{index}")
    x = keras.layers.Conv2D(
        num_classes, 3, padding="same", kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
    return keras.Model(image, x, name=name)


def _convolution(x, filters: int, normalization: Callable, *, name: str):
    x = blocks.convolution(x, filters, 3, use_bias=True, name=name)
    x = normalization(name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
