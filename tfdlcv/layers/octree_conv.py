"""Convolution of volumes that are stored as octrees.

Riegler, Ulusoy and Geiger, "OctNet: Learning Deep 3D Representations at High Resolutions", 2017, section 3.3.

Shapes: B volumes, L leaves, E edges, C channels, F filters.
"""

import keras
from keras import ops

from tfdlcv.ops import cloud_checks, octree


@keras.saving.register_keras_serializable(package="tfdlcv")
class OctreeConv(keras.layers.Layer):
    """The mean over each leaf of `keras.layers.Conv3D(padding="same")` on the volume that is constant in each leaf.

    It is computed without that volume: every leaf reads, for every tap of the filter, the mean over its shifted voxels,
    which is a sum over few neighbouring leaves. Memory and time go with leaves and edges, not with voxels. The weights
    are those of `Conv3D`, and with leaves of one voxel the two are the same.

    Args:
        filters: F.
        kernel_size: Taps along each axis, odd.
        use_bias: Whether there is a `bias`.
        activation: As in `keras.layers.Conv3D`.
        kernel_initializer: Of the kernel (k, k, k, C, F). The paper's code takes He et al.'s by fan-out:
            `keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")`.

    Call arguments:
        inputs: [features (B, L, C), sources (B, E) int32, slots (B, E) int32, weights (B, E) float32], of which the
            last three are those of `tfdlcv.ops.octree.convolution_edges`; a negative slot is padding.

    Returns:
        (B, L, F). Leaves that no edge writes to, which pad a volume to the leaves of the largest one, get `bias`.

    Raises:
        ValueError: of a wrong rank or size.
    """

    def __init__(
        self,
        filters,
        *,
        kernel_size=3,
        use_bias=True,
        activation=None,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"filters must be at least 1. Received: filters={filters}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd. Received: kernel_size={kernel_size}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        """Adds the weights."""
        ranks = [len(shape) if isinstance(shape, (tuple, list)) else 0 for shape in inputs_shape]
        if ranks != [3, 2, 2, 2]:
            raise ValueError(
                f"{self.name} takes [features (B, L, C), sources (B, E), slots (B, E), weights (B, E)]. "
                f"Received: shapes {inputs_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*(self.kernel_size,) * 3, inputs_shape[0][-1], self.filters),
            initializer=self.kernel_initializer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs):
        """The convolution; see the class."""
        features, sources, slots, weights = inputs
        sizes = {"sources": sources.shape[1], "slots": slots.shape[1], "weights": weights.shape[1]}
        cloud_checks.check_same("the number of edges", **sizes)
        taps, channels = self.kernel_size**3, features.shape[-1]
        read = octree.gather_taps(features, sources, slots, weights, taps)
        read = ops.reshape(read, (*ops.shape(read)[:2], taps * channels))
        outputs = ops.matmul(read, ops.reshape(self.kernel, (taps * channels, self.filters)))
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, inputs_shape):
        """(B, L, F)."""
        return (*inputs_shape[0][:2], self.filters)

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
