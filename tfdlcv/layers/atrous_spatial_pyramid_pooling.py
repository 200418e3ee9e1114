"""Atrous spatial pyramid pooling: the surroundings of a pixel at several scales.

Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 ("the paper"),
section 3.3 and figure 5.

Shapes: N images, H rows, W columns, C channels, F filters.
"""

import keras
from keras import ops

from tfdlcv.layers.batch_normalization import BatchNormalization
from tfdlcv.layers.conv import Conv2D


@keras.saving.register_keras_serializable(package="tfdlcv")
class AtrousSpatialPyramidPooling(keras.layers.Layer):
    """A 1 x 1 convolution, 3 x 3 convolutions with gaps, and the image's mean, joined by a 1 x 1 convolution.

    Batch normalisation and ReLU follow each convolution. A rate as large as the maps leaves of a 3 x 3 kernel its
    centre alone, which is why the image's mean is among the branches (the paper's section 3.3).

    Args:
        filters: F, of every branch and of the output.
        rates: Of the 3 x 3 convolutions: pixels between the kernel's neighbours. The paper: 6, 12 and 18 where the
            maps have a sixteenth of the image's rows and columns, twice that at an eighth.
        image_pooling: Whether the image's mean is a branch.
        dropout: Share of the output's values that training drops, in [0, 1).
        batch_norm_momentum: Share of the old moving statistics that a step keeps.
        batch_norm_epsilon: Added to variances.
        synchronized_batch_norm: Compute batch statistics over all replicas of a strategy. Excludes XLA.

    Call arguments:
        inputs: (N, H, W, C) float.
        training: bool; see `BatchNormalization`.

    Returns:
        (N, H, W, F).
    """

    def __init__(
        self,
        filters=256,
        *,
        rates=(6, 12, 18),
        image_pooling=True,
        dropout=0.0,
        batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5,
        synchronized_batch_norm=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"filters must be at least 1. Received: filters={filters}")
        if any(rate < 1 for rate in rates):
            raise ValueError(f"rates must be at least 1. Received: rates={tuple(rates)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1). Received: dropout={dropout}")
        self.filters = filters
        self.rates = tuple(rates)
        self.image_pooling = image_pooling
        self.dropout = dropout
        self.batch_norm_momentum = batch_norm_momentum
        self.batch_norm_epsilon = batch_norm_epsilon
        self.synchronized_batch_norm = synchronized_batch_norm
        # The image's mean stands behind the branches of every pixel, and the convolution of all of them at the end.
        branches = [("point", 1, 1), *((f"atrous{place}", 3, rate) for place, rate in enumerate(self.rates, start=1))]
        branches += [("image", 1, 1)] * image_pooling + [("project", 1, 1)]
        self.convolutions = [self._convolution(*branch) for branch in branches]
        self.norms = [self._norm(name) for name, _, _ in branches]
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape):
        """Builds the convolutions and their normalisation."""
        branches = len(self.convolutions) - 1
        for convolution in self.convolutions[:-1]:
            convolution.build(input_shape)
        self.convolutions[-1].build((*input_shape[:-1], branches * self.filters))
        for norm in self.norms:
            norm.build((*input_shape[:-1], self.filters))

    def call(self, inputs, training=None):
        """The pyramid; see the class."""
        maps = [self._unit(place, inputs, training) for place in range(1 + len(self.rates))]
        if self.image_pooling:
            # In float32: the sum of a large image's values is beyond float16.
            mean = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2), keepdims=True)
            mean = self._unit(len(maps), ops.cast(mean, self.compute_dtype), training)  # (N, 1, 1, F)
            # Of one pixel, the bilinear resizing of the paper is a copy to every place.
            maps.append(ops.broadcast_to(mean, ops.shape(maps[0])))
        x = self._unit(len(maps), ops.concatenate(maps, axis=-1), training)
        return self.dropout_layer(x, training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        names = ("filters", "rates", "image_pooling", "dropout", "batch_norm_momentum", "batch_norm_epsilon")
        names += ("synchronized_batch_norm",)
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _convolution(self, name, kernel_size, rate):
        return Conv2D(
            self.filters,
            kernel_size,
            padding="same",
            dilation_rate=rate,
            use_bias=False,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name=f"{name}_conv",
        )

    def _norm(self, name):
        return BatchNormalization(
            momentum=self.batch_norm_momentum,
            epsilon=self.batch_norm_epsilon,
            synchronized=self.synchronized_batch_norm,
            dtype=self.dtype_policy,
            name=f"{name}_norm",
        )

    def _unit(self, place, x, training):
        return ops.relu(self.norms[place](self.convolutions[place](x), training=training))
