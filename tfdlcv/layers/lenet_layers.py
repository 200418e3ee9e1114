"""Layers of LeNet-5 that later networks have not.

LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE 1998,
section II.B ("the paper").

Shapes: N images, H rows, W columns, C channels, D features, K classes.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class PartialConv2D(keras.layers.Layer):
    """A convolution whose output maps each see some of the input maps: the paper's table I. Without padding.

    Args:
        connections: For each output map, the numbers of the input maps that it sees.
        kernel_size: Height and width of the window.
        kernel_initializer: Of the kernel (kernel_size, kernel_size, C, outputs), of which the layer keeps the windows
            that are connected: its weights are those alone.

    Input shape: (N, H, W, C). Output shape: (N, H - kernel_size + 1, W - kernel_size + 1, len(connections)).
    """

    def __init__(self, connections, kernel_size, *, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if kernel_size < 1:
            raise ValueError(f"kernel_size must be at least 1. Received: kernel_size={kernel_size}")
        self.connections = [sorted(set(maps)) for maps in connections]
        if not self.connections or any(not maps or maps[0] < 0 for maps in self.connections):
            raise ValueError(f"connections must list at least one input map each. Received: connections={connections}")
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        channels, outputs = input_shape[-1], len(self.connections)
        last = max(maps[-1] for maps in self.connections)
        if last >= channels:
            raise ValueError(f"connections name input map {last}, but the inputs have {channels} maps")
        pairs = [(source, output) for output, maps in enumerate(self.connections) for source in maps]
        flat = [source * outputs + output for source, output in pairs]
        # Where each window of the full kernel stands among the weights; the last place holds a zero.
        self._places = np.full(channels * outputs, len(pairs), "int32")
        self._places[flat] = np.arange(len(pairs))
        size = self.kernel_size

        def initial(shape, dtype=None):
            full = self.kernel_initializer((size, size, channels, outputs), dtype=dtype)
            return ops.take(ops.reshape(full, (size, size, channels * outputs)), np.array(flat, "int32"), axis=-1)

        self.kernel = self.add_weight(shape=(size, size, len(pairs)), initializer=initial, name="kernel")
        self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")
        self._channels = channels

    def call(self, inputs):
        """(N, H, W, C) -> (N, H', W', len(connections))."""
        size, outputs = self.kernel_size, len(self.connections)
        kernel = ops.convert_to_tensor(self.kernel)
        kernel = ops.concatenate([kernel, ops.zeros((size, size, 1), dtype=kernel.dtype)], axis=-1)
        kernel = ops.reshape(ops.take(kernel, self._places, axis=-1), (size, size, self._channels, outputs))
        return ops.conv(inputs, kernel, padding="valid") + self.bias

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = input_shape
        return (batch, *(None if s is None else s - self.kernel_size + 1 for s in sizes), len(self.connections))

    def get_config(self):
        return super().get_config() | {
            "connections": self.connections,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class TrainedSubsampling2D(keras.layers.Layer):
    """The sum of the four pixels of 2 x 2 windows, times a trained coefficient of each map, plus a trained bias.

    The coefficients start at 1/4, which is the plain average.

    Input shape: (N, H, W, C). Output shape: (N, H // 2, W // 2, C).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def build(self, input_shape):
        channels = input_shape[-1]
        quarter = keras.initializers.Constant(0.25)
        self.coefficient = self.add_weight(shape=(channels,), initializer=quarter, name="coefficient")
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")

    def call(self, inputs):
        """(N, H, W, C) -> (N, H // 2, W // 2, C)."""
        return ops.average_pool(inputs, 2, 2, padding="valid") * (4.0 * self.coefficient) + self.bias

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        return (batch, *(None if s is None else s // 2 for s in sizes), channels)


@keras.saving.register_keras_serializable(package="tfdlcv")
class NegativeSquaredDistances(keras.layers.Layer):
    """-|x - c_k|² to each of K fixed codes c_k: the paper's radial basis functions, with the sign of a logit.

    Args:
        codes: (K, D) numbers, which are not trained and are no weights.

    Input shape: (N, D). Output shape: (N, K) float32.
    """

    def __init__(self, codes, **kwargs):
        super().__init__(**kwargs)
        self.codes = np.asarray(codes, "float32")
        if self.codes.ndim != 2:
            raise ValueError(f"codes must have the axes (classes, features). Received: shape={self.codes.shape}")

    def build(self, input_shape):
        if input_shape[-1] != self.codes.shape[1]:
            raise ValueError(f"inputs must have {self.codes.shape[1]} features. Received: shape={tuple(input_shape)}")

    def call(self, inputs):
        """(N, D) -> (N, K)."""
        differences = ops.expand_dims(ops.cast(inputs, "float32"), 1) - self.codes  # (N, K, D)
        return -ops.sum(ops.square(differences), axis=-1)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs.shape[0], len(self.codes)), dtype="float32")

    def get_config(self):
        return super().get_config() | {"codes": self.codes.tolist()}
