"""DnCNN, a network that finds the noise in an image of any size.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE
Transactions on Image Processing 2017 ("the paper").

Shape legend: N images, H x W pixels, C channels.
"""

from collections.abc import Sequence

import keras

from tfdlcv.models import arguments, blocks

_FILTERS = 64  # Paper, section 3.1.
_MOMENTUM = 0.9  # Share of the old moving statistics that a step keeps; the paper has none.
_EPSILON = 1e-5


def dncnn(
    input_shape: Sequence[int | None] = (None, None, 3),
    *,
    depth: int = 17,
    width: float = 1.0,
    synchronized_batch_norm: bool = False,
    name: str = "dncnn",
) -> keras.Model:
    """Convolution and ReLU, depth - 2 times convolution, batch normalisation and ReLU, and a last convolution.

    All convolutions are 3 x 3, with zeros around the image, so that an output depends on pixels up to `depth` away. The
    layer `noise` is what they find; the network gives the image without it. The convolutions in front of a
    normalisation have no bias, which the normalisation's own would make idle. 558,017 parameters for grey images, the
    moving statistics among them.

    Args:
        input_shape: (height, width, channels); height and width may be None, for any.
        depth: Convolutions, at least 3. Paper, section 3.1: 17 for one level of noise, 20 for any.
        width: Factor of the 64 filters of every convolution but the last.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, C), of about 0..1, to the same without noise, (N, H, W, C) float32.

    Raises:
        ValueError: depth < 3, a width that leaves no filter, or an image without pixels or channels.
    """
    arguments.check_image(input_shape)
    (filters,) = blocks.scaled((_FILTERS,), width)
    if depth < 3:
        raise ValueError(f"depth must be at least 3. Received: depth={depth}")
    normalization = blocks.batch_normalization(
        momentum=_MOMENTUM, epsilon=_EPSILON, synchronized=synchronized_batch_norm
    )
    image = keras.Input(tuple(input_shape), name="image")
    x = blocks.convolution_relu(image, filters, 3, name="conv1")
    for index in range(2, depth):
        x = blocks.convolution(x, filters, 3, name=f"conv{index}")
        x = normalization(name=f"norm{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
    # Zeros, so that training begins with the image as it is, and not with noise that the network adds. Not the paper's.
    noise = keras.layers.Conv2D(input_shape[-1], 3, padding="same", kernel_initializer="zeros", name="noise")(x)
    # In float32 under every policy: the noise is small beside the image, whose 256 levels bfloat16 does not have.
    restored = keras.layers.Subtract(dtype="float32", name="restored")([image, noise])
    return keras.Model(image, restored, name=name)
