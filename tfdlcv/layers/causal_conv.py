"""Convolutions over time that see no later step than that of their output.

Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
Modeling", 2018, section 3.2. Keras has the 1-D form as `Conv1D(padding="causal")`; its Conv3D refuses that padding.

Shapes: B sequences, T steps, H rows, W columns, C channels, F filters.
"""

import numbers
from collections.abc import Sequence
from typing import Literal

import keras
from keras import ops

from tfdlcv.layers.conv import has_gradients


class _CausalConv(keras.layers.Layer):
    """What the causal convolutions share; `rank` axes, of which the first is time."""

    def __init__(
        self,
        rank,
        filters,
        kernel_size,
        *,
        dilation_rate,
        strides,
        activation,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rank = rank
        self.filters = filters
        self.kernel_size = _per_axis("kernel_size", kernel_size, rank)
        self.dilation_rate = _per_axis("dilation_rate", dilation_rate, rank)
        self.strides = _per_axis("strides", strides, rank)
        if not isinstance(filters, numbers.Integral) or filters < 1:
            raise ValueError(f"filters must be an integer of at least 1. Received: filters={filters}")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "strides and dilation_rate must not both exceed 1. "
                f"Received: strides={strides}, dilation_rate={dilation_rate}"
            )
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.input_spec = keras.layers.InputSpec(ndim=rank + 2)

    @property
    def history(self):
        """How many steps before its own an output sees."""
        return (self.kernel_size[0] - 1) * self.dilation_rate[0]

    def build(self, input_shape):
        channels = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=self.bias_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2, axes={-1: channels})

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        steps = input_shape[1]
        return (input_shape[0], steps if steps is None else -(-steps // self.strides[0]), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "strides": self.strides,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class CausalConv1D(_CausalConv):
    """Dilated convolution of sequences; the output of step t is made of steps t, t - d, ..., t - (k - 1) d alone.

    Steps before the first count as zeros. With `strides` s the outputs are those of the steps T - 1, T - 1 - s, ...:
    counted from the last one, so that the newest step has its output, where Keras counts from the first.

    Args:
        filters: F.
        kernel_size: k, at least 1.
        dilation_rate: d, steps between the taps of a filter.
        strides: s; above 1 only without dilation.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: as in `keras.layers.Conv1D`.

    Input shape: (B, T, C), T at least 1. Output shape: (B, ceil(T / s), F).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        dilation_rate=1,
        strides=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            1,
            filters,
            kernel_size,
            dilation_rate=dilation_rate,
            strides=strides,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            **kwargs,
        )

    def convolution_op(self, inputs, kernel):
        """The convolution with any kernel (k, C, F), without bias and activation."""
        _check_steps(inputs)
        stride = self.strides[0]
        steps = inputs.shape[1]
        if stride > 1 and steps is None:
            inputs = ops.pad(inputs, ((0, 0), (self.history, 0), (0, 0)))
            inputs = inputs[:, (ops.shape(inputs)[1] - self.history - 1) % stride :]
        else:
            # Fewer steps of padding than the filter is long put the first output where the count from the end has it.
            padding = self.history - (steps - 1) % stride if stride > 1 else self.history
            inputs = ops.pad(inputs, ((0, 0), (padding, 0), (0, 0))) if padding > 0 else inputs[:, -padding:]
        return _convolve(inputs, kernel, stride, self.dilation_rate[0])


@keras.saving.register_keras_serializable(package="tfdlcv")
class CausalConv3D(_CausalConv):
    """Convolution of videos that is causal in time.

    Args:
        filters: F.
        kernel_size, dilation_rate, strides: a number, or three for time, rows and columns. Strides in time keep the
            newest step, as in `CausalConv1D`.
        padding: of rows and columns, "same" or "valid".
        time_padding: what comes before the first frame: "zeros", or "first", the first frame again, with which a
            video that stands still gives outputs that stand still.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: as in `keras.layers.Conv3D`.

    Input shape: (B, T, H, W, C), T at least 1. Output shape: (B, ceil(T / s), H', W', F).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        dilation_rate=1,
        strides=1,
        padding: Literal["same", "valid"] = "same",
        time_padding: Literal["zeros", "first"] = "zeros",
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            3,
            filters,
            kernel_size,
            dilation_rate=dilation_rate,
            strides=strides,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            **kwargs,
        )
        if padding not in ("same", "valid"):
            raise ValueError(f"padding must be 'same' or 'valid'. Received: padding={padding!r}")
        if time_padding not in ("zeros", "first"):
            raise ValueError(f"time_padding must be 'zeros' or 'first'. Received: time_padding={time_padding!r}")
        self.padding = padding
        self.time_padding = time_padding

    def convolution_op(self, inputs, kernel):
        """The convolution with any kernel (k, kh, kw, C, F), without bias and activation."""
        _check_steps(inputs)
        self._check_frames(inputs.shape)
        steps = inputs.shape[1] if inputs.shape[1] is not None else ops.shape(inputs)[1]
        if self.history and self.time_padding == "first":
            inputs = ops.concatenate([ops.repeat(inputs[:, :1], self.history, axis=1), inputs], axis=1)
        elif self.history:
            inputs = ops.pad(inputs, ((0, 0), (self.history, 0), (0, 0), (0, 0), (0, 0)))
        if self.strides[0] > 1:
            inputs = inputs[:, (steps - 1) % self.strides[0] :]
        if self.padding == "same":
            inputs = ops.pad(inputs, ((0, 0), (0, 0), self._same(inputs, 1), self._same(inputs, 2), (0, 0)))
        return ops.conv(
            inputs, kernel, strides=self.strides, padding="valid", dilation_rate=self.dilation_rate
        )  # (B, T', H', W', F)

    def compute_output_shape(self, input_shape):
        """Of the convolution."""
        shape = list(super().compute_output_shape(input_shape)[:2])
        for axis in (1, 2):
            size = input_shape[1 + axis]
            if size is not None and self.padding == "valid":
                size -= (self.kernel_size[axis] - 1) * self.dilation_rate[axis]
            shape.append(size if size is None else -(-size // self.strides[axis]))
        return (*shape, self.filters)

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "padding": self.padding, "time_padding": self.time_padding}

    def _check_frames(self, shape):
        """Eagerly, TensorFlow computes something of frames that are smaller than the kernel."""
        spans = [(self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1 for axis in (1, 2)]
        small = any(size is not None and size < span for size, span in zip(shape[2:4], spans, strict=True))
        if self.padding == "valid" and small:
            raise ValueError(
                f"with padding 'valid', frames must have at least {spans[0]} rows and {spans[1]} columns, which the "
                f"kernel spans. Received: input shape {tuple(shape)}"
            )

    def _same(self, inputs, axis):
        """Padding before and after, as TensorFlow's "SAME" has it."""
        size = inputs.shape[1 + axis]
        if size is None:
            if self.strides[axis] > 1:
                raise ValueError(f"strides {self.strides} with padding 'same' need the size of axis {1 + axis}")
            size = 1
        span = (self.kernel_size[axis] - 1) * self.dilation_rate[axis]
        total = max((-(-size // self.strides[axis]) - 1) * self.strides[axis] + span + 1 - size, 0)
        return (total // 2, total - total // 2)


def _check_steps(inputs):
    """Where the number of steps is known; TensorFlow's own message, if it has one, is of other shapes."""
    if inputs.shape[1] == 0:
        raise ValueError(f"a sequence must have at least 1 step. Received: input shape {tuple(inputs.shape)}")


def _convolve(inputs, kernel, stride, dilation_rate):
    """Convolution without padding, (B, T, C) -> (B, T', F).

    For dilated filters `keras.ops.conv` calls `tf.nn.convolution`, which takes half as long again on CPU as the dilated
    kernel of oneDNN, which `tf.nn.conv1d` reaches. Without oneDNN, and in float64, that one has no gradient on CPU.
    """
    if dilation_rate > 1 and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if has_gradients(keras.backend.standardize_dtype(inputs.dtype), grouped=False, dilated=True):
            return tf.nn.conv1d(inputs, kernel, stride, "VALID", dilations=dilation_rate)
    return ops.conv(inputs, kernel, strides=stride, padding="valid", dilation_rate=dilation_rate)


def _per_axis(name, value, rank):
    """`value` for each axis, as ints of at least 1."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank or any(not isinstance(each, numbers.Integral) or each < 1 for each in values):
        raise ValueError(f"{name} must be {rank} integer(s) of at least 1. Received: {name}={value}")
    return values
