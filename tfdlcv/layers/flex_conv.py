"""Flex-convolution on point clouds, and its adjoint.

Groh, Wieschollek and Lensch, "Flex-Convolution: Million-Scale Point-Cloud Learning Beyond Grid-Worlds", 2018. The sign
is the paper's, l_i - l_k; weights of the authors' code, which computes l_k - l_i, are taken over with theta negated.

Shapes: B clouds, N points, M query points, K neighbours, D coordinates, C channels, F filters.
"""

import math

import keras
from keras import ops

from tfdlcv.ops import cloud_checks, flex

THETA_SHARE = 0.15
"""Of the second moment of an output, as it is initialised, what the part of theta makes; a mean over neighbours makes
the rest.

With 0, all points of a cloud soon have the same features. With 1/2, eight layers on points of a sphere multiply the
scale by 3.5 (K = 8) to 10 (K = 16), since they amplify the same directions again and again; with 0.15, by 1.0 to 1.3.
"""


class _FlexLayer(keras.layers.Layer):
    """What the convolution and its adjoint share."""

    def __init__(self, filters, *, use_bias=True, normalize_positions=False, activation=None, **kwargs):
        # Keras would cast the positions to the compute dtype, in which neighbours coincide.
        super().__init__(autocast=False, **kwargs)
        if filters < 1:
            raise ValueError(f"filters must be at least 1. Received: filters={filters}")
        if normalize_positions not in (False, True, "neighborhood"):
            raise ValueError(
                "normalize_positions must be True, which is 'neighborhood', or False. "
                f"Received: normalize_positions={normalize_positions!r}"
            )
        self.filters = filters
        self.use_bias = use_bias
        self.normalize_positions = bool(normalize_positions)
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape, query_positions_shape=None):
        """Adds the weights; their scale takes the number of neighbours and of coordinates."""
        cloud_checks.check_triple(inputs_shape, self.name)
        features, positions, neighbors = inputs_shape
        channels, coordinates, count = features[-1], positions[-1], neighbors[-1]
        self.theta = self.add_weight(
            name="theta",
            shape=(coordinates, channels, self.filters),
            initializer=self._initializer(THETA_SHARE / (channels * count)) if self.normalize_positions else "zeros",
        )
        share = 1.0 - THETA_SHARE if self.normalize_positions else 1.0
        self.theta_bias = self.add_weight(
            name="theta_bias",
            shape=(channels, self.filters),
            initializer=self._initializer(share / (channels * count**2)),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def _initializer(self, variance):
        # He et al. 2015: a ReLU halves the second moment.
        gain = 2.0 if self.activation is keras.activations.relu else 1.0
        return keras.initializers.RandomNormal(stddev=math.sqrt(gain * variance))

    def _checked(self, inputs, query_positions, features_of):
        """-> (features, positions, neighbors, query positions) in the dtypes of the computation."""
        cloud_checks.check_triple([tuple(x.shape) for x in inputs], self.name)
        features, positions, neighbors = inputs
        cloud_checks.check_floats(features, "features", ranks=(3,))
        cloud_checks.check_positions(positions)
        cloud_checks.check_neighbors(neighbors, positions.shape[1])
        clouds = {"features": features.shape[0], "positions": positions.shape[0], "neighbors": neighbors.shape[0]}
        cloud_checks.check_same("the number of clouds", **clouds)
        points = {"positions": positions.shape[1], "neighbors": neighbors.shape[1]}
        cloud_checks.check_same(
            "the number of points", features=features.shape[1], **{features_of: points[features_of]}
        )
        dtype = flex.position_dtype(positions.dtype)
        if query_positions is not None:
            cloud_checks.check_floats(query_positions, "query_positions", ranks=(3,))
            cloud_checks.check_positions(query_positions, "query_positions")
            sizes = {"query_positions": query_positions.shape[1], "neighbors": neighbors.shape[1]}
            cloud_checks.check_same("the number of points", **sizes)
            sizes = {"query_positions": query_positions.shape[2], "positions": positions.shape[2]}
            cloud_checks.check_same("the number of coordinates", **sizes)
            query_positions = ops.cast(query_positions, dtype)
        elif None not in points.values() and points["neighbors"] > points["positions"]:
            raise ValueError(
                f"without query_positions, neighbors must be of at most the {points['positions']} points of positions. "
                f"Received: {points['neighbors']}"
            )
        return ops.cast(features, self.compute_dtype), ops.cast(positions, dtype), neighbors, query_positions

    def _offsets(self, positions, neighbors, query_positions):
        offsets = flex.relative_offsets(positions, neighbors, query_positions, normalize=self.normalize_positions)
        # Sums over neighbours are exact to float32 too; in half precision their error would grow with K.
        return ops.cast(offsets, "float64" if self.compute_dtype == "float64" else "float32")

    def _weights(self):
        return [ops.cast(weight, self.compute_dtype) for weight in (self.theta, self.theta_bias)]

    def _finished(self, outputs):
        outputs = ops.cast(outputs, self.compute_dtype)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, self.compute_dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "use_bias": self.use_bias,
            "normalize_positions": self.normalize_positions,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class FlexConv(_FlexLayer):
    """Convolution over neighbours whose weights are affine in the relative position of the neighbour.

    out_i(o) = sum_k sum_c (<theta[:, c, o], l_i - l_k> + theta_bias[c, o]) f_k(c) + bias(o)

    Positions stay in float32, and so do the sums over neighbours, whatever the dtype policy.

    Args:
        filters: F.
        use_bias: Whether there is a `bias`.
        normalize_positions: Whether relative positions are divided by their mean length over the neighbours of the
            query point, with which neither the unit of the coordinates nor the density of the points matters. False is
            the paper's formula; True, or "neighborhood", is the better start for networks.
        activation: As in `keras.layers.Dense`.

    As they are initialised, outputs have the scale of the inputs whatever the unit of the coordinates: theta_bias makes
    a mean over neighbours, and theta, where positions are normalised, as much again. Where they are not, no length is
    known that theta could be scaled by, and it starts at zero.

    Made in `keras.RematScope(mode="full")`, the layer computes its moments again for the gradients: eight of them train
    on 32,768 points with 0.6 times the memory in 1.26 times the time, on 4,096 points with 0.9 times the memory in 1.5
    times the time (`benchmarks/flexconv.py --layers 8`, with and without `--points 32768`): it is for large clouds.

    Call arguments:
        inputs: [features (B, N, C), positions (B, N, D), neighbors (B, M, K) int32]; a negative neighbour is padding,
            and in a graph, where its value cannot be checked, one from N on too.
        query_positions: (B, M, D), around which the neighbours lie; without them, the first M positions.

    Returns:
        (B, M, F).

    Raises:
        ValueError: of a wrong rank, dtype or size, and in eager execution of positions that are not finite and of
            neighbours that do not exist.
    """

    def call(self, inputs, query_positions=None):
        """The convolution; see the class."""
        features, positions, neighbors, queries = self._checked(inputs, query_positions, features_of="positions")
        offsets = self._offsets(positions, neighbors, queries)
        return self._finished(flex.flex_convolution(features, offsets, neighbors, *self._weights()))

    def compute_output_shape(self, inputs_shape, query_positions_shape=None):
        """(B, M, F)."""
        return (*inputs_shape[2][:2], self.filters)


@keras.saving.register_keras_serializable(package="tfdlcv")
class FlexConvTranspose(_FlexLayer):
    """The adjoint of `FlexConv`: every query point sends its features to its neighbours.

    out_n(o) = sum over (i, k) whose neighbour is n of sum_c (<theta[:, c, o], l_i - l_n> + theta_bias[c, o]) f_i(c)
    + bias(o)

    With the weights of a `FlexConv`, theta and theta_bias transposed in their last two axes, it is that layer's exact
    adjoint: the inner product of conv(f) and y is that of f and transpose(y), biases apart.

    Args:
        filters: F.
        use_bias, normalize_positions, activation: as in `FlexConv`.

    Call arguments:
        inputs: [features (B, M, C), positions (B, N, D), neighbors (B, M, K) int32], where the neighbours are the
            points that a query point sends to; padding is as in `FlexConv`. A point that nothing is sent to gets
            `bias`.
        query_positions: (B, M, D), of the features; without them, the first M positions.

    Returns:
        (B, N, F).

    Raises:
        ValueError: as `FlexConv`.
    """

    def call(self, inputs, query_positions=None):
        """The adjoint; see the class."""
        features, positions, neighbors, queries = self._checked(inputs, query_positions, features_of="neighbors")
        offsets = self._offsets(positions, neighbors, queries)
        points = ops.shape(positions)[1]
        outputs = flex.flex_convolution_transpose(features, offsets, neighbors, *self._weights(), num_points=points)
        return self._finished(outputs)

    def compute_output_shape(self, inputs_shape, query_positions_shape=None):
        """(B, N, F)."""
        return (*inputs_shape[1][:2], self.filters)
