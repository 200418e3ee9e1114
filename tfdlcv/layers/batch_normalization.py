"""Batch normalisation with Keras's numbers and TensorFlow's fused kernel.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015.

Keras 3 computes the layer as a string of small operations, each a pass over the activations. TensorFlow has one kernel
for the forward pass and one for the gradients (oneDNN on CPU, cuDNN on GPU); in bfloat16 they halve the time of a
training step of a small residual network on CPU. `benchmarks/train_step.py` measures it.

Shapes: N images, H rows, W columns, C channels.
"""

import keras
from keras import ops

# What the kernel takes as activations; its statistics and parameters are float32 for each of them.
FUSED_DTYPES = ("float16", "bfloat16", "float32")


@keras.saving.register_keras_serializable(package="tfdlcv")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster on the TensorFlow backend.

    Arguments, weights, masks, config and numbers are Keras's: outputs, gradients and moving statistics agree to 1e-5
    in float32. Weights load from and into the Keras layer.

    The fused kernel runs on the TensorFlow backend where `axis` is the last one of three or more, the inputs are
    float16, bfloat16 or float32, and neither `mask`, `synchronized` nor `renorm` is in use. Everything else runs as
    Keras's own operations, among it:
    - under XLA, which lowers the kernel with the variance as E[x²] − E[x]²: NaN in float32 for channels of mean 1000
      and variance 1, and no faster than Keras's form there;
    - `trainable=False` in training, whose plain gradient is one multiplication, while the kernel's is slower on CPU
      and not deterministic on GPU;
    - inputs of rank 2, the small ones: on CPU the kernel costs 0.1 to 0.3 ms more below some 100,000 values.

    No gradient flows into the new moving statistics (Keras gives one, when they are used as values of a
    `stateless_call`).

    Call arguments:
        inputs: (N, ..., C) float tensor, or of any rank and `axis` that Keras takes.
        training: bool. True normalises with the batch's mean and variance and updates the moving statistics; False
            normalises with the moving statistics.
        mask: optional bool tensor of the inputs' shape without the last axis; False leaves a position out of the
            statistics.

    Returns:
        A tensor of the inputs' shape in the layer's compute dtype.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`; see the class."""
        frozen = bool(training) and not self.trainable
        if frozen or mask is not None or self.renorm or self.synchronized or not _kernel_takes(inputs, self.axis):
            return super().call(inputs, training=training, mask=mask)
        return self._call_fused(inputs, training=bool(training))

    def _call_fused(self, inputs, *, training):
        """The fused kernel: the one place of the layers that names TensorFlow, since keras.ops cannot reach it."""
        import tensorflow as tf

        channels = inputs.shape[-1]
        gamma = ops.convert_to_tensor(self.gamma, "float32") if self.scale else tf.ones(channels)
        beta = ops.convert_to_tensor(self.beta, "float32") if self.center else tf.zeros(channels)
        moving_mean = ops.convert_to_tensor(self.moving_mean, "float32")
        moving_variance = ops.convert_to_tensor(self.moving_variance, "float32")

        # The kernel wants four axes. Positions go to the second: cuDNN bounds the size of the first.
        images = inputs if len(inputs.shape) == 4 else tf.reshape(inputs, (1, -1, 1, channels))
        # The raw operation, since tf.nn's wrapper raises epsilon to 1.001e-5, a bound of cuDNN before 7.5.
        results = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0) if training else moving_mean,
            variance=tf.zeros(0) if training else moving_variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        outputs = results.y if len(inputs.shape) == 4 else tf.reshape(results.y, tf.shape(inputs))

        if training:
            count = tf.cast(tf.size(inputs, out_type=tf.int64) // channels, "float32")
            # The kernel returns the unbiased variance, Keras keeps the biased one.
            variance = results.batch_variance * ((count - 1.0) / count)
            momentum = self.momentum
            self.moving_mean.assign(moving_mean * momentum + results.batch_mean * (1.0 - momentum))
            self.moving_variance.assign(moving_variance * momentum + variance * (1.0 - momentum))
        return ops.cast(outputs, self.compute_dtype)


def _kernel_takes(inputs, axis: int) -> bool:
    """Whether the fused kernel exists for these inputs and gives Keras's numbers here."""
    if keras.backend.backend() != "tensorflow":
        return False
    rank = len(inputs.shape)
    if rank < 3 or axis % rank != rank - 1 or keras.backend.standardize_dtype(inputs.dtype) not in FUSED_DTYPES:
        return False
    import tensorflow as tf

    # Not a documented name, but the one that TensorFlow gives to Keras for this question.
    return tf.__internal__.get_enclosing_xla_context() is None
