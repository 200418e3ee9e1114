"""Bilinear interpolation as the kernel of a transposed convolution.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 3.3.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class Bilinear(keras.initializers.Initializer):
    """Kernels with which `Conv2DTranspose` enlarges every channel for itself, by linear interpolation.

    With kernels of twice the strides and "same" padding the result is that of a resize with half-pixel centres, but
    for half a stride at the border, where the kernel reaches over zeros.

    Call arguments:
        shape: (k, k, C, C), as of a `Conv2DTranspose` with as many filters as inputs.
        dtype: Of the kernel.

    Returns:
        The kernel; between different channels it is 0.

    Raises:
        ValueError: a shape that is not square in kernel and channels.
    """

    def __call__(self, shape, dtype=None):
        if len(shape) != 4 or shape[0] != shape[1] or shape[2] != shape[3]:
            raise ValueError(f"a bilinear kernel has the shape (k, k, channels, channels). Received: {tuple(shape)}")
        size, channels = shape[0], shape[2]
        reach = (size + 1) // 2  # The distance at which a pixel has no weight any more.
        weights = 1 - np.abs(np.arange(size) - (size - 1) / 2) / reach  # (k,)
        if size % 2:
            weights = 1 - np.abs(np.arange(size) - (reach - 1)) / reach
        kernel = np.zeros(shape)
        kernel[:, :, range(channels), range(channels)] = np.outer(weights, weights)[..., None]
        return ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {}
