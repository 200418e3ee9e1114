"""Weight normalisation: the length and the direction of each filter as two parameters.

Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
Networks", 2016, equation 2.

Shapes: F filters (or units), I inputs of a filter over all its axes.
"""

import keras
from keras import ops

from tfdlcv.layers.causal_conv import CausalConv1D, CausalConv3D

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, CausalConv1D, CausalConv3D)
_TINY = (
    1e-30  # Below the squared norm of any filter that float32 can hold; makes a filter of zeros give zeros, not NaN.
)


@keras.saving.register_keras_serializable(package="tfdlcv")
class WeightNormalization(keras.layers.Wrapper):
    """Runs `layer` with the kernel g * v / ||v||, one g for each output filter.

    v is the layer's own kernel, of any length; g (F,) is added. Both are trained. At first g is ||v||, so that the
    kernel is what the layer's initializer drew: independent of data, unlike the paper's section 3. Unlike
    `keras.layers.SpectralNormalization`, nothing is overwritten, and gradients reach g and v.

    Args:
        layer: Dense, Conv1D, Conv2D, Conv3D, CausalConv1D or CausalConv3D, without LoRA or quantization.

    Call arguments, input and output shape: those of `layer`.

    Raises:
        ValueError: for another layer, for Conv1D with padding "causal" (use CausalConv1D), and for a layer that
            has a kernel constraint, which would act on v.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        if not isinstance(layer, (keras.layers.Dense, *_CONVOLUTIONS)):
            names = ", ".join(kind.__name__ for kind in (keras.layers.Dense, *_CONVOLUTIONS))
            raise ValueError(f"layer must be one of {names}. Received: layer={layer}")
        if getattr(layer, "padding", None) == "causal":
            raise ValueError(
                f"layer must be a CausalConv1D to be causal. Received: layer={layer} with padding='causal'"
            )
        if getattr(layer, "kernel_constraint", None) is not None:
            raise ValueError(f"layer must not have a kernel_constraint. Received: {layer.kernel_constraint}")
        if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
            raise ValueError(f"layer must have neither LoRA nor quantization. Received: layer={layer}")
        self.supports_masking = layer.supports_masking

    def build(self, input_shape=None):
        """Builds the layer and adds g."""
        super().build(input_shape)
        kernel = self.layer.kernel

        def norm_of_kernel(shape, dtype=None):
            return ops.cast(_norms(ops.cast(kernel, "float64" if dtype == "float64" else "float32")), dtype)

        # Without autocast: a g rounded to bfloat16 would be a steady error of a whole filter.
        self.g = self.add_weight(name="g", shape=kernel.shape[-1:], initializer=norm_of_kernel, autocast=False)

    def normalized_kernel(self):
        """g * v / ||v||, of the kernel's shape, in float32 whatever the compute dtype; in float64 where g is."""
        dtype = "float64" if self.g.dtype == "float64" else "float32"
        v = ops.cast(self.layer.kernel, dtype)
        return v * (ops.cast(self.g, dtype) / _norms(v))

    def call(self, inputs):
        """Run the layer; see the class."""
        layer = self.layer
        kernel = ops.cast(self.normalized_kernel(), self.compute_dtype)
        if isinstance(layer, keras.layers.Dense):
            outputs = ops.matmul(inputs, kernel)
        else:
            outputs = layer.convolution_op(inputs, kernel)
        if layer.use_bias:
            channels_first = getattr(layer, "data_format", None) == "channels_first"
            shape = (-1, *(1,) * (len(outputs.shape) - 2)) if channels_first else (-1,)
            outputs = ops.add(outputs, ops.reshape(layer.bias, shape))
        return outputs if layer.activation is None else layer.activation(outputs)

    def compute_output_shape(self, input_shape):
        """Of the layer."""
        return self.layer.compute_output_shape(input_shape)


def _norms(kernel):
    """Length of each filter, (F,), of a kernel (..., F)."""
    axes = tuple(range(len(kernel.shape) - 1))
    return ops.sqrt(ops.maximum(ops.sum(ops.square(kernel), axis=axes), _TINY))
