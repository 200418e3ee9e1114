"""The residual block of a temporal convolutional network.

Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
Modeling", 2018, figure 1b.

Shapes: B sequences, T steps, C channels, F filters.
"""

from typing import Literal

import keras
from keras import ops

from tfdlcv.layers.causal_conv import CausalConv1D
from tfdlcv.layers.weight_normalization import WeightNormalization


@keras.saving.register_keras_serializable(package="tfdlcv")
class TemporalBlock(keras.layers.Layer):
    """relu(branch(x) + x), where the branch is twice: causal convolution, weight normalisation, ReLU, dropout.

    Where x has another width than F, a 1 x 1 convolution without weight normalisation adapts it.

    A network that is asked for its last step alone need not compute what no later layer looks at: a block with
    dilation d looks at every d-th step. `input_stride` and `output_stride` say which steps there are and are wanted,
    both counted back from the last; the outputs are those of the full computation at these steps.

    Args:
        filters: F.
        kernel_size: k of both convolutions, at least 1.
        dilation_rate: d of both convolutions, in steps of the sequence.
        dropout: Share of the branch's values that training drops, in [0, 1).
        dropout_kind: "element": single values, as in the authors' code; "channel": whole channels of a sequence, as in
            the paper's text (section 3.4).
        input_stride: The input holds every so many-th step. Divides dilation_rate.
        output_stride: The output holds every so many-th step. A multiple of input_stride, and equal to it unless
            input_stride equals dilation_rate.
        weight_normalization: Whether the convolutions have it.
        activation: Of the branch and of the sum.
        kernel_initializer: Of the kernels.

    Input shape: (B, T, C). Output shape: (B, ceil(T * input_stride / output_stride), F).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        dilation_rate,
        dropout=0.0,
        dropout_kind: Literal["element", "channel"] = "element",
        input_stride=1,
        output_stride=1,
        weight_normalization=True,
        activation="relu",
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1). Received: dropout={dropout}")
        if dropout_kind not in ("element", "channel"):
            raise ValueError(f"dropout_kind must be 'element' or 'channel'. Received: dropout_kind={dropout_kind!r}")
        if dilation_rate < 1 or input_stride < 1 or dilation_rate % input_stride:
            raise ValueError(
                f"dilation_rate ({dilation_rate}) must be a multiple of input_stride ({input_stride}), both at least 1"
            )
        if output_stride % input_stride:
            raise ValueError(f"output_stride ({output_stride}) must be a multiple of input_stride ({input_stride})")
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.dropout = dropout
        self.dropout_kind = dropout_kind
        self.input_stride = input_stride
        self.output_stride = output_stride
        self.weight_normalization = weight_normalization
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.convolutions = [self._convolution("conv1", 1), self._convolution("conv2", output_stride // input_stride)]
        dropout_class = keras.layers.SpatialDropout1D if dropout_kind == "channel" else keras.layers.Dropout
        self.dropouts = [dropout_class(dropout, dtype=self.dtype_policy) for _ in range(2 if dropout else 0)]
        self.shortcut = None

    def _convolution(self, name, strides):
        normalized = self.weight_normalization
        convolution = CausalConv1D(
            self.filters,
            self.kernel_size,
            dilation_rate=self.dilation_rate // self.input_stride,
            strides=strides,
            kernel_initializer=self.kernel_initializer.clone(),  # One object would draw the same kernel twice.
            dtype=self.dtype_policy,
            name="conv" if normalized else name,
        )
        return WeightNormalization(convolution, dtype=self.dtype_policy, name=name) if normalized else convolution

    def build(self, input_shape):
        """Builds the convolutions, and the shortcut where the widths differ."""
        self.convolutions[0].build(input_shape)
        hidden_shape = (*input_shape[:2], self.filters)
        self.convolutions[1].build(hidden_shape)
        for dropout in self.dropouts:
            dropout.build(hidden_shape)
        if input_shape[-1] != self.filters:
            self.shortcut = keras.layers.Dense(
                self.filters,
                kernel_initializer=self.kernel_initializer.clone(),
                dtype=self.dtype_policy,
                name="shortcut",
            )
            self.shortcut.build(input_shape)

    def call(self, inputs, training=None):
        """Run the block; see the class."""
        x = inputs
        for index, convolution in enumerate(self.convolutions):
            x = self.activation(convolution(x))
            if self.dropouts:
                x = self.dropouts[index](x, training=training)
        thinning = self.output_stride // self.input_stride
        if thinning > 1:
            steps = inputs.shape[1] if inputs.shape[1] is not None else ops.shape(inputs)[1]
            inputs = inputs[:, (steps - 1) % thinning :: thinning]
        if self.shortcut is not None:
            inputs = self.shortcut(inputs)
        return self.activation(x + inputs)

    def compute_output_shape(self, input_shape):
        """Of the block."""
        return (*self.convolutions[1].compute_output_shape(input_shape)[:2], self.filters)

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "dropout": self.dropout,
            "dropout_kind": self.dropout_kind,
            "input_stride": self.input_stride,
            "output_stride": self.output_stride,
            "weight_normalization": self.weight_normalization,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
