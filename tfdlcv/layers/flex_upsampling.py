"""From the features of a subsampled cloud to those of the full one.

"flex" is of Groh, Wieschollek and Lensch, "Flex-Convolution", 2018; "inverse_distance" of Qi, Yi, Su and Guibas,
"PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space", 2017, section 3.4.

Shapes: B clouds, N points of the full cloud, M of the subsampled one, K neighbours, D coordinates, C channels.
"""

from typing import Literal

import keras
from keras import ops

from tfdlcv.ops import cloud_checks, flex


@keras.saving.register_keras_serializable(package="tfdlcv")
class FlexUpsampling(keras.layers.Layer):
    """Gives every point of the full cloud features made of those of the subsampled points near it.

    Args:
        method:
            "flex": the subsampled points, which are the first M of the full cloud, keep their features, the others get
            zeros, and each point takes the largest among its neighbours in the full cloud. Meant for features that are
            not negative. With a fraction q kept at random, about (1 - q)^K of the points see none and get zeros: 10 %
            of a quarter with K = 8.
            "nearest": the features of the first neighbour in the subsampled cloud.
            "inverse_distance": the mean of the neighbours in the subsampled cloud, weighted by 1 / distance^2; the
            paper takes K = 3.

    Call arguments:
        inputs: [features (B, M, C), positions (B, N, D), neighbors (B, N, K) int32]. The neighbours are points of the
            full cloud for "flex", and of the subsampled one, nearest first, for the others. A negative one is padding,
            and in a graph, where its value cannot be checked, one beyond those points too; a point without a neighbour
            gets zeros.
        coarse_positions: (B, M, D), of the subsampled points; without them, the first M positions.

    Returns:
        (B, N, C).

    Raises:
        ValueError: of a wrong rank, dtype or size, and in eager execution of positions that are not finite and of
            neighbours that do not exist.
    """

    def __init__(self, method: Literal["flex", "nearest", "inverse_distance"] = "flex", **kwargs):
        super().__init__(autocast=False, **kwargs)
        if method not in ("flex", "nearest", "inverse_distance"):
            raise ValueError(f"method must be 'flex', 'nearest' or 'inverse_distance'. Received: method={method!r}")
        self.method = method

    def call(self, inputs, coarse_positions=None):
        """The upsampling; see the class."""
        cloud_checks.check_triple([tuple(x.shape) for x in inputs], self.name)
        features, positions, neighbors = inputs
        cloud_checks.check_floats(features, "features", ranks=(3,))
        cloud_checks.check_positions(positions)
        clouds = {"features": features.shape[0], "positions": positions.shape[0], "neighbors": neighbors.shape[0]}
        cloud_checks.check_same("the number of clouds", **clouds)
        source, of = (positions, "positions") if self.method == "flex" else (features, "features")
        cloud_checks.check_neighbors(neighbors, source.shape[1], of=of)
        sizes = {"positions": positions.shape[1], "neighbors": neighbors.shape[1]}
        cloud_checks.check_same("the number of points", **sizes)
        self._check_kept(features.shape[1], positions.shape[1], coarse_positions)
        features = ops.cast(features, self.compute_dtype)
        if self.method == "flex":
            missing = ops.shape(positions)[1] - ops.shape(features)[1]
            return flex.max_over_neighbors(ops.pad(features, ((0, 0), (0, missing), (0, 0))), neighbors)
        if self.method == "nearest":
            return flex.max_over_neighbors(features, neighbors[:, :, :1])
        if coarse_positions is None:
            coarse_positions = positions[:, : ops.shape(features)[1]]
        return ops.cast(flex.interpolate(features, coarse_positions, neighbors, positions), self.compute_dtype)

    def _check_kept(self, kept, points, coarse_positions):
        """The numbers of points that are known, of features and positions."""
        if coarse_positions is not None:
            cloud_checks.check_floats(coarse_positions, "coarse_positions", ranks=(3,))
            cloud_checks.check_positions(coarse_positions, "coarse_positions")
            sizes = {"coarse_positions": coarse_positions.shape[1], "features": kept}
            cloud_checks.check_same("the number of points", **sizes)
        elif None not in (kept, points) and kept > points:
            raise ValueError(f"features ({kept} points) must not have more points than positions ({points})")

    def compute_output_shape(self, inputs_shape, coarse_positions_shape=None):
        """(B, N, C)."""
        return (*inputs_shape[1][:2], inputs_shape[0][-1])

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "method": self.method}
