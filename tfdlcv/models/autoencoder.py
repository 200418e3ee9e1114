"""Autoencoders: networks that pass an image through a bottleneck, the code, and so keep what matters of it.

- Hinton, Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 2006: fully connected.
- Masci, Meier, Cireşan, Schmidhuber, "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction", 2011.
- Vincent, Larochelle, Bengio, Manzagol, "Extracting and Composing Robust Features with Denoising Autoencoders", 2008:
  given a damaged image, the network is to return the undamaged one, and need not have a narrow code.
- Mao, Shen, Yang, "Image Restoration Using Very Deep Convolutional Encoder-Decoder Networks with Symmetric Skip
  Connections", 2016: what goes into the encoder's layers is added to what comes out of the decoder's.

Shape legend: N images, H x W pixels, C channels, L levels, K numbers of code.
"""

from collections.abc import Sequence
from typing import Literal

import keras

from tfdlcv.layers import CropLike
from tfdlcv.models import arguments, blocks

_FILTERS = 64  # At full size; every level doubles them.


def autoencoder(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    form: Literal["convolutional", "dense"] = "convolutional",
    width: float = 1.0,
    code_size: int | None = None,
    levels: int = 3,
    hidden_units: Sequence[int] = (1000, 500, 250),
    name: str = "autoencoder",
) -> keras.Model:
    """An encoder, the layer `code`, which is linear, and a decoder that mirrors the encoder.

    convolutional: every level halves height and width and doubles the filters, 64 at full size; the code is K channels
    of the lowest level's size.

    dense: fully connected ReLU layers of `hidden_units` to K numbers for the whole image, and back; by default the
    sizes that Hinton and Salakhutdinov gave to digits, though they had logistic units. Without hidden layers the
    network is linear, and cannot do better than the first K principal components.

    Args:
        input_shape: (height, width, channels); in the convolutional form height and width may be None, for any.
        form: See above.
        width: Factor of all layers' filters or units, but for the code's.
        code_size: K. Default: 16 channels in the convolutional form, 30 numbers in the dense one.
        levels: L, at least 1, of the convolutional form.
        hidden_units: Of the dense form's encoder.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C), of about 0..1, to its reconstruction (N, H, W, C) float32.

    Raises:
        ValueError: a size out of range, a width that leaves no filter, or a dense form for images of any size.
    """
    arguments.check_choice("form", form, ("convolutional", "dense"))
    arguments.check_image(input_shape)
    if form == "convolutional":
        code_size = 16 if code_size is None else code_size
        arguments.check_sizes(code_size=code_size)
        return _convolutional(input_shape, width, levels, code_size=code_size, skips="none", name=name)
    code_size = 30 if code_size is None else code_size
    arguments.check_sizes(code_size=code_size)
    arguments.check_fixed_size(input_shape, network="a dense autoencoder")
    units = blocks.scaled(hidden_units, width) if hidden_units else ()
    return _dense(input_shape, units, code_size, name=name)


def denoising_autoencoder(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    width: float = 1.0,
    levels: int = 2,
    skips: Literal["none", "add"] = "none",
    name: str = "denoising_autoencoder",
) -> keras.Model:
    """The convolutional autoencoder without a narrow code, to be trained on damaged images and their originals.

    Args:
        input_shape: (height, width, channels); height and width may be None, for any.
        width: Factor of the 64 filters at full size, which every level doubles.
        levels: L, at least 1: how often height and width are halved.
        skips: add: the encoder's features of each size are added to the decoder's, and the image to the result, so that
            details need not pass the lowest level (after Mao et al. 2016).
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C), of about 0..1, to the restored image (N, H, W, C) float32.

    Raises:
        ValueError: a size out of range, a width that leaves no filter, or an unknown choice.
    """
    arguments.check_image(input_shape)
    arguments.check_choice("skips", skips, ("none", "add"))
    return _convolutional(input_shape, width, levels, code_size=None, skips=skips, name=name)


def autoencoder_radius(levels: int) -> int:
    """Pixels up to which an output of a convolutional autoencoder depends on the image, rounded up to 2^L.

    A pixel of level l is 2^l of the image's. Level l adds 2^l for its convolution and 2^l for the transposed one above
    it, and half of it for each of the two convolutions that belong to the level above: 3 * 2^l. The first and the last
    convolution add 1 each.
    """
    radius = 2 + sum(3 * 2**level for level in range(1, levels + 1))
    return -(-radius // 2**levels) * 2**levels


def _convolutional(
    input_shape: Sequence[int | None], width: float, levels: int, *, code_size: int | None, skips: str, name: str
) -> keras.Model:
    arguments.check_sizes(levels=levels)
    filters = blocks.scaled([_FILTERS * 2**level for level in range(levels + 1)], width)
    image = keras.Input(tuple(input_shape), name="image")
    features = [blocks.convolution_relu(image, filters[0], 3, name="encoder0")]
    for level in range(1, levels + 1):
        # Odd sizes are rounded up, so that the decoder's maps cover the encoder's.
        x = blocks.convolution_relu(features[-1], filters[level], 3, strides=2, name=f"encoder{level}_down")
        features.append(blocks.convolution_relu(x, filters[level], 3, name=f"encoder{level}"))
    x = features[-1]
    if code_size is not None:
        x = blocks.convolution(x, code_size, 1, use_bias=True, name="code")
    is_even = all(size is not None and size % 2**levels == 0 for size in input_shape[:2])
    for level in reversed(range(levels)):
        # At stride 2 a kernel of 4 gives every output as many terms; one of 3 gives every second output fewer.
        x = keras.layers.Conv2DTranspose(
            filters[level], 4, 2, padding="same", kernel_initializer="he_normal", name=f"decoder{level}_up"
        )(x)
        x = keras.layers.ReLU(name=f"decoder{level}_up_relu")(x)
        if not is_even:
            x = CropLike(0, name=f"decoder{level}_crop")([x, features[level]])
        if skips == "add":
            x = keras.layers.Add(name=f"decoder{level}_skip")([x, features[level]])
        x = blocks.convolution_relu(x, filters[level], 3, name=f"decoder{level}")
    # With the image added, zeros begin with the image as it is.
    adds_image = skips == "add"
    restored = keras.layers.Conv2D(
        input_shape[-1],
        3,
        padding="same",
        kernel_initializer="zeros" if adds_image else "he_normal",
        dtype="float32",
        name="change" if adds_image else "restored",
    )(x)
    if adds_image:
        restored = keras.layers.Add(dtype="float32", name="restored")([image, restored])
    return keras.Model(image, restored, name=name)


def _dense(input_shape: Sequence[int], units: Sequence[int], code_size: int, *, name: str) -> keras.Model:
    image = keras.Input(tuple(input_shape), name="image")
    x = keras.layers.Flatten(name="flatten")(image)
    pixels = x.shape[-1]
    for index, count in enumerate(units, start=1):
        x = blocks.dense_relu(x, count, dropout=0.0, name=f"encoder{index}")
    x = keras.layers.Dense(code_size, kernel_initializer="he_normal", name="code")(x)
    for index, count in reversed([*enumerate(units, start=1)]):
        x = blocks.dense_relu(x, count, dropout=0.0, name=f"decoder{index}")
    x = keras.layers.Dense(pixels, kernel_initializer="he_normal", dtype="float32", name="pixels")(x)
    return keras.Model(image, keras.layers.Reshape(tuple(input_shape), dtype="float32", name="restored")(x), name=name)
