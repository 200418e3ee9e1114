"""Maxout units.

Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout Networks", ICML 2013.

Shapes: N examples, D inputs, U units, P pieces.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class Maxout(keras.layers.Layer):
    """The largest of P affine functions for each unit: max_p(x · W_up + b_up), convex and piecewise linear.

    Two pieces make |x| and ReLU; a difference of two units can be any continuous function (the paper's theorem 4.3).

    Args:
        units: U.
        pieces: P.
        kernel_initializer: Of the weights (D, U * P), whose fan-out is U * P.
        bias_initializer: Of the biases (U * P,).

    Input shape: (N, ..., D). Output shape: (N, ..., U).
    """

    def __init__(self, units, *, pieces=2, kernel_initializer="glorot_uniform", bias_initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        if units < 1 or pieces < 1:
            raise ValueError(f"units ({units}) and pieces ({pieces}) must be at least 1")
        self.units = units
        self.pieces = pieces
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape):
        columns = self.units * self.pieces
        self.kernel = self.add_weight(
            shape=(input_shape[-1], columns), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(columns,), initializer=self.bias_initializer, name="bias")

    def call(self, inputs):
        """(N, ..., D) -> (N, ..., U)."""
        x = ops.matmul(inputs, self.kernel) + self.bias  # (N, ..., U * P)
        return ops.max(ops.reshape(x, (-1, *x.shape[1:-1], self.units, self.pieces)), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "pieces": self.pieces,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
