"""U-Net: an encoder, and a decoder that sees the encoder's maps of every resolution.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015 ("the
paper"), figure 1.

Shape legend: N images, H rows, W columns, C channels, K classes.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import keras

from tfdlcv.layers import CropLike, ImageSizeCheck
from tfdlcv.models import arguments, blocks

_FILTERS = (64, 128, 256, 512, 1024)
# Two unpadded convolutions take 4 pixels of every level; the lowest level needs 4 for the highest to keep any.
_SMALLEST_VALID, _HALVINGS = 188, 16


def unet(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    num_classes: int,
    width: float = 1.0,
    padding: Literal["same", "valid"] = "same",
    normalization: Literal["none", "batch"] = "none",
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-3,
    synchronized_batch_norm: bool = False,
    name: str = "unet",
) -> keras.Model:
    """Five levels of two 3 x 3 convolutions, with pools down, transposed convolutions up, and skips between them.

    Trainable parameters: 31,030,658 for 1 channel and 2 classes, 31,033,045 for 3 channels and 21 classes.

    Args:
        input_shape: (height, width, channels), height and width None for any.
        num_classes: K, at least 1, which is for a number of each pixel.
        width: Factor of every layer's filters, above 0.
        padding: "same": zeros around every convolution, logits of the image's size, and any image of 16 x 16 or more.
            "valid": the paper's form, in which a logit sees image alone: 184 rows and columns fewer than the image,
            which must have 188 plus a multiple of 16 of them (572 gives 388).
        normalization: "batch" puts batch normalisation between convolution and ReLU, in place of biases; the paper has
            none.
        dropout: Share of the values that training drops at the end of the encoder, on the two lowest levels.
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C) float to logits (N, H, W, K) float32, or (N, H - 184, W - 184, K). Its layers
        are named `down<l>_…`, `up<l>_…` and `logits`; level 1 is the image's resolution.

    Raises:
        ValueError: num_classes < 1, an image that is too small or, in the valid form, of another size, a width that
            leaves no filter, or an unknown choice. Called with an image of no known size, the model raises it.
    """
    arguments.check_choice("padding", padding, ("same", "valid"))
    arguments.check_choice("normalization", normalization, ("none", "batch"))
    arguments.check_share("dropout", dropout)
    minimum, step = (_SMALLEST_VALID, _HALVINGS) if padding == "valid" else (_HALVINGS, 1)
    arguments.check_pixel_network(input_shape, num_classes=num_classes, minimum_size=minimum)
    filters = blocks.scaled(_FILTERS, width)
    norm = None
    if normalization == "batch":
        norm = blocks.batch_normalization(
            momentum=batch_norm_momentum, epsilon=batch_norm_epsilon, synchronized=synchronized_batch_norm
        )
    image = keras.Input(input_shape, name="image")
    x = ImageSizeCheck(minimum, step=step, name="image_size")(image)
    skips = []
    for level, count in enumerate(filters, start=1):
        if level > 1:
            skips.append(x)
            # "same" rounds odd sizes up, so that the decoder's maps cover the encoder's.
            x = blocks.max_pool(x, 2, 2, padding="same", name=f"down{level}_pool")
        x = _convolutions(x, count, norm, padding, name=f"down{level}")
        if dropout and level >= len(filters) - 1:
            x = keras.layers.Dropout(dropout, name=f"down{level}_dropout")(x)
    for level in range(len(filters) - 1, 0, -1):
        x = keras.layers.Conv2DTranspose(
            filters[level - 1], 2, 2, kernel_initializer="he_normal", name=f"up{level}_deconv"
        )(x)
        skip = skips[level - 1]
        if padding == "valid":
            skip = CropLike(name=f"up{level}_crop")([skip, x])
        elif None in input_shape[:2] or any(size % _HALVINGS for size in input_shape[:2]):
            x = CropLike(0, name=f"up{level}_crop")([x, skip])
        x = keras.layers.Concatenate(name=f"up{level}_concatenate")([skip, x])
        x = _convolutions(x, filters[level - 1], norm, padding, name=f"up{level}")
    return keras.Model(image, blocks.pixel_logits(x, num_classes), name=name)


def _convolutions(x, filters: int, normalization: Callable | None, padding: str, *, name: str):
    """Two 3 x 3 convolutions with ReLU: (N, H, W, C) -> (N, H, W, filters), or four rows and columns fewer."""
    pixels = "centred" if padding == "same" else 0
    for index in (1, 2):
        layer = f"{name}_conv{index}"
        if normalization is None:
            x = blocks.convolution_relu(x, filters, 3, padding=pixels, name=layer)
        else:
            x = blocks.convolution(x, filters, 3, padding=pixels, name=layer)
            x = normalization(name=f"{name}_norm{index}")(x)
            x = keras.layers.ReLU(name=f"{layer}_relu")(x)
    return x
