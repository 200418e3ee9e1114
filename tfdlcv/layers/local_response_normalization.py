"""Normalisation across neighbouring channels.

Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
section 3.3.

Shapes: N images, C channels.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class LocalResponseNormalization(keras.layers.Layer):
    """x_c / (bias + alpha * sum of x² over the `size` channels around c) ** beta. It has no weights.

    At the first and last channels the sum runs over those that there are. Caffe and PyTorch divide alpha by `size`.

    Args:
        size: Channels in the sum, odd, the middle one being c. Paper: 5.
        bias: Paper: 2; Caffe and PyTorch: 1.
        alpha: Paper: 1e-4.
        beta: Paper: 0.75.

    Input and output shape: (N, ..., C) float. Sums are computed in float32.
    """

    def __init__(self, size=5, *, bias=2.0, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd and at least 1. Received: size={size}")
        if bias <= 0:
            raise ValueError(f"bias must be greater than 0. Received: bias={bias}")
        self.size = size
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, inputs):
        """Normalise `inputs`; see the class."""
        channels = inputs.shape[-1]
        x = ops.cast(inputs, "float32")
        padding = [(0, 0)] * (len(inputs.shape) - 1) + [(self.size // 2, self.size // 2)]
        squares = ops.pad(ops.square(x), padding)  # (N, ..., C + size - 1)
        sums = sum(squares[..., start : start + channels] for start in range(self.size))
        return ops.cast(x * ops.power(self.bias + self.alpha * sums, -self.beta), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"size": self.size, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
