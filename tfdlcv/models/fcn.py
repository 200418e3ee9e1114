"""Fully convolutional networks: VGG's classifier at every place, and skips from its finer maps.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 ("the paper"), figure 3.

Shape legend: N images, H rows, W columns, C channels, K classes.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import Bilinear, CropLike, ImageSizeCheck
from tfdlcv.models import arguments, blocks
from tfdlcv.models.vgg import feature_maps

_SMALLEST = 32  # The stride of the lowest maps.
_PADDING = 100  # Of the authors' networks, so that the 7 x 7 kernel of fc6 fits into small images.
# Where the authors' networks cut: the maps of a pool (by stride), and the logits (by the network's stride).
_POOL_OFFSETS = {16: 5, 8: 9}
_IMAGE_OFFSETS = {32: 19, 16: 27, 8: 31}


def fcn(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    num_classes: int,
    stride: Literal[32, 16, 8] = 8,
    width: float = 1.0,
    padding: Literal["same", "crop"] = "same",
    upsampling: Literal["learned", "fixed"] = "learned",
    skip_scales: Sequence[float] = (1.0, 1.0),
    dropout: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """VGG-16 with fc6 and fc7 as convolutions, a score for each class, and transposed convolutions up to the image.

    Parameters for 3 channels and 21 classes: 136,152,917 at stride 32, 134,815,994 at 16, 134,489,759 at 8.

    Args:
        input_shape: (height, width, channels), height and width at least 32 or None for any from there.
        num_classes: K, at least 1, which is for a number of each pixel.
        stride: Of the finest maps that the logits come from: 32 is the last pool alone, 16 adds the scores of the
            fourth, 8 those of the third.
        width: Factor of every layer's filters, above 0.
        padding: "same" pads every layer; "crop" is the authors' form, with 100 pixels of zeros around the image, an fc6
            without padding, and crops by fixed offsets.
        upsampling: Whether the transposed convolutions, which begin as bilinear interpolation, are trained. The authors
            keep the last one fixed, and found fixing all of them as good.
        skip_scales: Factors of what the fourth and third pool's scores see. The authors' training of all at once has
            0.01 and 0.0001, in place of networks of stride 32 and 16 to begin from.
        dropout: Share of fc6's and fc7's values that training drops, in [0, 1). Paper: 0.5.
        name: Name of the model. Default: `fcn<stride>`.

    Returns:
        A model from `image` (N, H, W, C) float to logits (N, H, W, K) float32. Its layers are those of `vgg`, with
        convolutions for fc6 and fc7, and `score`, `score_pool<p>`, `upscore<stride>` and `logits`.

    Raises:
        ValueError: num_classes < 1, an image that is too small, a width that leaves no filter, or an unknown choice.
            Called with a smaller image of no known size, the model raises it.
    """
    arguments.check_pixel_network(input_shape, num_classes=num_classes, minimum_size=_SMALLEST)
    arguments.check_choice("stride", stride, (32, 16, 8))
    arguments.check_choice("padding", padding, ("same", "crop"))
    arguments.check_choice("upsampling", upsampling, ("learned", "fixed"))
    arguments.check_share("dropout", dropout)
    if len(skip_scales) != 2:
        raise ValueError(f"skip_scales must be one of pool 4 and one of pool 3. Received: {tuple(skip_scales)}")
    crop = padding == "crop"
    image = keras.Input(input_shape, name="image")
    x = ImageSizeCheck(_SMALLEST, name="image_size")(image)
    maps = feature_maps(x, depth=16, width=width, first_padding=_PADDING if crop else "centred", odd_sizes=True)
    x = maps[-1]  # (N, H / 32, W / 32, 512)
    (units,) = blocks.scaled((4096,), width)
    for layer, kernel_size in (("fc6", 7), ("fc7", 1)):
        x = blocks.convolution_relu(x, units, kernel_size, padding=0 if crop else "centred", name=layer)
        x = keras.layers.Dropout(dropout, name=f"{layer}_dropout")(x) if dropout else x
    x = _score(x, num_classes, name="score", kernel_initializer="he_normal")
    for pool, pool_stride, scale in ((4, 16, skip_scales[0]), (3, 8, skip_scales[1])):
        if stride > pool_stride:
            continue
        x = _enlarged(x, 2, crop, upsampling, name=f"upscore{pool_stride}")
        skip = keras.layers.Rescaling(scale, name=f"scale_pool{pool}")(maps[pool - 1]) if scale != 1 else maps[pool - 1]
        # Zeros: the sum begins as the scores of the lower maps, as the authors' does.
        skip = _score(skip, num_classes, name=f"score_pool{pool}", kernel_initializer="zeros")
        if crop:
            skip = CropLike(_POOL_OFFSETS[pool_stride], name=f"crop_pool{pool}")([skip, x])
        else:
            x = CropLike(0, name=f"crop{pool_stride}")([x, skip])
        x = keras.layers.Add(name=f"add_pool{pool}")([x, skip])
    x = _enlarged(x, stride, crop, upsampling, name="upscore")
    x = CropLike(_IMAGE_OFFSETS[stride] if crop else 0, dtype="float32", name="logits")([x, image])
    return keras.Model(image, x, name=name or f"fcn{stride}")


def _score(x, num_classes: int, *, name: str, kernel_initializer: str):
    return keras.layers.Conv2D(num_classes, 1, kernel_initializer=kernel_initializer, dtype="float32", name=name)(x)


def _enlarged(x, factor: int, crop: bool, upsampling: str, *, name: str):
    """(N, h, w, K) -> (N, factor * h, factor * w, K), with `crop` one factor more and the border of the kernels."""
    return keras.layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        factor,
        padding="valid" if crop else "same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=upsampling == "learned",
        dtype="float32",
        name=name,
    )(x)
