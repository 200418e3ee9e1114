"""Convolutions with groups or gaps by TensorFlow's own kernel.

Keras 3 compiles every grouped convolution with XLA on the TensorFlow backend, and takes dilated ones apart into a batch
of small images, since Eigen's kernels for CPU have no gradients of either. oneDNN's have: they make a training step of
a small ResNeXt several times faster on CPU, and convolutions whose gaps are as wide as their maps, as in DeepLabV3's
pyramid, up to a hundred times; and the exported model holds no compiled function.

Shapes: N images, H rows, W columns, C channels.
"""

import functools

import keras


@keras.saving.register_keras_serializable(package="tfdlcv")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, faster with groups or dilation on the TensorFlow backend.

    Arguments, weights, config and numbers are Keras's. TensorFlow's kernel runs where it has gradients of such
    convolutions for the data type on this machine, which is tried once; outside XLA; and for channels last. Everything
    else runs as Keras's own operations.
    """

    def convolution_op(self, inputs, kernel):
        """(N, H, W, C) and (rows, columns, C / groups, filters) -> (N, H', W', filters)."""
        if not self._kernel_takes(inputs):
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        return tf.nn.conv2d(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding.upper(),
            dilations=self.dilation_rate,
        )

    def _kernel_takes(self, inputs) -> bool:
        grouped, dilated = self.groups > 1, max(self.dilation_rate) > 1
        if keras.backend.backend() != "tensorflow" or self.data_format != "channels_last" or not (grouped or dilated):
            return False
        import tensorflow as tf

        # Not a documented name, but the one that TensorFlow gives to Keras for this question.
        if tf.__internal__.get_enclosing_xla_context() is not None:
            return False
        if dilated and max(self.strides) > 1:  # TensorFlow has none of these.
            return False
        return has_gradients(keras.backend.standardize_dtype(inputs.dtype), grouped, dilated)


@functools.cache
def has_gradients(dtype: str, grouped: bool, dilated: bool) -> bool:
    """Whether TensorFlow's kernels of this machine have gradients of such convolutions of `dtype`."""
    import tensorflow as tf

    gap = 2 if dilated else 1
    options = {"strides": [1, 1, 1, 1], "padding": "VALID", "dilations": [1, gap, gap, 1]}
    shapes = ((1, 6, 6, 4), (3, 3, 2 if grouped else 4, 4), (1, 6 - 2 * gap, 6 - 2 * gap, 4))
    # Eagerly, wherever the layer is called; no tape records there, so the gradients' own operations are tried. Not with
    # a kernel of 1 x 1, of which a matrix product makes the gradients.
    with tf.init_scope():
        image, kernel, gradient = (tf.ones(shape, dtype) for shape in shapes)
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=image.shape, filter=kernel, out_backprop=gradient, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=image, filter_sizes=kernel.shape, out_backprop=gradient, **options)
        except tf.errors.OpError:
            return False
    return True
