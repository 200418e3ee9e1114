"""Convolution of volumes that are stored as octrees, and the way back to a dense volume.

Riegler, Ulusoy and Geiger, "OctNet: Learning Deep 3D Representations at High Resolutions", 2017, section 3.3.

Shapes: B volumes, S voxels along each axis, L leaves, L_g leaves of group g, R_g leaves that each of them reads,
C channels, F filters.
"""

import keras
from keras import ops

from tfdlcv.ops import cloud_checks, octree, octree_features


@keras.saving.register_keras_serializable(package="tfdlcv")
class OctreeConv(keras.layers.Layer):
    """The mean over each leaf of `keras.layers.Conv3D(padding="same")` on the volume that is constant in each leaf.

    It is computed without that volume: every leaf reads, for every tap of the filter, the mean over its shifted voxels,
    which few neighbouring leaves make. Memory and time go with leaves, not with voxels. The weights are those of
    `Conv3D`, and with leaves of one voxel the two are the same.

    The taps, 27 times the features, are gathered again for the gradients instead of being kept.

    Args:
        filters: F.
        kernel_size: Taps along each axis: 1, 3 or 5.
        use_bias: Whether there is a `bias`.
        activation: As in `keras.layers.Conv3D`.
        kernel_initializer: Of the kernel (k, k, k, C, F). The paper's code takes He et al.'s by fan-out:
            `keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")`.

    Call arguments:
        inputs: [features (B, L, C), *reads], where the reads are those of `tfdlcv.ops.octree.convolution_reads`,
            (B, L_g, R_g) int32 for each group of leaves. A negative read is of zeros, and in a graph, where its value
            cannot be checked, one from L on too.

    Returns:
        (B, L, F). Leaves that pad a group to that of the largest volume get numbers that no other leaf reads.

    Raises:
        ValueError: of a wrong rank or size, and in eager execution of reads of leaves that do not exist.
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
        if kernel_size not in octree.KERNEL_SIZES:
            raise ValueError(f"kernel_size must be 1, 3 or 5. Received: kernel_size={kernel_size}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        """Adds the weights."""
        nested = all(isinstance(shape, (tuple, list)) for shape in inputs_shape)
        if not nested or len(inputs_shape) < 2 or any(len(shape) != 3 for shape in inputs_shape):
            raise ValueError(
                f"{self.name} takes [features (B, L, C), reads (B, L_g, R_g) of each group]. "
                f"Received: shapes {inputs_shape}"
            )
        largest = octree_features.largest_leaf(len(inputs_shape) - 1)
        for name, shape in zip(octree.group_names(largest), inputs_shape[1:], strict=True):
            reads = octree.tap_means(name, largest, self.kernel_size).shape[1]
            if shape[2] != reads:
                raise ValueError(
                    f"the leaves of group {name} must read {reads} leaves for kernel_size={self.kernel_size}. "
                    f"Received: reads of shape {shape}"
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
        features, *reads = inputs
        cloud_checks.check_floats(features, "features", ranks=(3,))
        counts = [table.shape[1] for table in reads]
        if None not in counts:
            cloud_checks.check_same("the number of leaves", features=features.shape[1], reads=sum(counts))
        names = octree.group_names(octree_features.largest_leaf(len(reads)))
        for name, table in zip(names, reads, strict=True):
            cloud_checks.check_indices(table, features.shape[1], f"the reads of group {name}", of="leaves of features")
        outputs = octree_features.convolution(features, reads, ops.cast(self.kernel, features.dtype))
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


@keras.saving.register_keras_serializable(package="tfdlcv")
class OctreeToDense(keras.layers.Layer):
    """The volume that has, in each voxel, the features of the leaf around it.

    Call arguments:
        inputs: [features (B, L, C), leaf_index (B, S, S, S) int32], with S known.

    Returns:
        (B, S, S, S, C).

    Raises:
        ValueError: of a wrong rank, and in eager execution of leaves that do not exist.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, inputs):
        """The volume; see the class."""
        features, leaf_index = inputs
        cloud_checks.check_floats(features, "features", ranks=(3,))
        if len(leaf_index.shape) != 4 or len(set(leaf_index.shape[1:])) != 1 or leaf_index.shape[1] is None:
            raise ValueError(f"leaf_index must be (B, S, S, S) with S known. Received: shape={tuple(leaf_index.shape)}")
        self._check_leaves(cloud_checks.value_at_hand(leaf_index), features.shape[1])
        return octree_features.octree_to_dense(features, ops.cast(leaf_index, "int32"))

    def _check_leaves(self, leaf_index, leaves):
        if leaf_index is None or leaves is None or not leaf_index.size:
            return
        if not 0 <= leaf_index.min() <= leaf_index.max() < leaves:
            raise ValueError(f"leaf_index must be in 0..{leaves - 1}. Received: {leaf_index.min()}..{leaf_index.max()}")

    def compute_output_shape(self, inputs_shape):
        """(B, S, S, S, C)."""
        return (*inputs_shape[1], inputs_shape[0][-1])
