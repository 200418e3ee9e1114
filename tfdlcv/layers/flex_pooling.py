"""Pooling over the neighbours of points.

Groh, Wieschollek and Lensch, "Flex-Convolution: Million-Scale Point-Cloud Learning Beyond Grid-Worlds", 2018.

Shapes: B clouds, N points, M query points, K neighbours, C channels.
"""

import keras

from tfdlcv.ops import cloud_checks, flex


@keras.saving.register_keras_serializable(package="tfdlcv")
class FlexPooling(keras.layers.Layer):
    """The largest value of each channel among the neighbours; M less than N subsamples at once.

    A negative neighbour is padding, and in a graph, where its value cannot be checked, one from N on too; a point with
    nothing else gets zeros. The gradient goes to the largest value, in equal parts where several are as large.

    Call arguments:
        inputs: [features (B, N, C), neighbors (B, M, K) int32].

    Returns:
        (B, M, C).

    Raises:
        ValueError: of a wrong rank or dtype, and in eager execution of neighbours that do not exist.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, inputs):
        """The pooling; see the class."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(f"{self.name} takes [features, neighbors]. Received: {inputs}")
        features, neighbors = inputs
        cloud_checks.check_floats(features, "features", ranks=(3,))
        cloud_checks.check_neighbors(neighbors, features.shape[1], of="features")
        cloud_checks.check_same("the number of clouds", features=features.shape[0], neighbors=neighbors.shape[0])
        return flex.max_over_neighbors(features, neighbors)

    def compute_output_shape(self, input_shape):
        """(B, M, C)."""
        return (*input_shape[1][:2], input_shape[0][-1])
