"""What `flexconv` races: each contender is one layer on one resident cloud, in the framework of its name.

A worker process imports one framework only, so imports are inside the functions.

Shapes: B clouds, N points, K neighbours, E = B N K edges, C channels, F filters, Q kernel points.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

KERNEL_POINTS = 15  # Thomas et al. 2019, "KPConv", section 3.


@dataclasses.dataclass(frozen=True)
class Contender:
    """A layer that is ready to be timed; both calls return when their results are there.

    Attributes:
        forward: () -> outputs (B, N, F).
        step: () -> outputs, after the gradients to the features and all weights.
        parameters: Number of weights.
    """

    forward: Callable
    step: Callable
    parameters: int


def random_cloud(clouds: int, points: int, neighbors: int, channels: int, seed: int) -> dict[str, np.ndarray]:
    """Points anywhere in a unit cube with their nearest neighbours; features of mean 0 and variance 1."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    positions = rng.uniform(size=(clouds, points, 3)).astype("float32")
    found = [cKDTree(cloud).query(cloud, neighbors)[1].reshape(points, neighbors) for cloud in positions]
    features = rng.normal(size=(clouds, points, channels)).astype("float32")
    return {"features": features, "positions": positions, "neighbors": np.stack(found).astype("int32")}


# -- TensorFlow and JAX ---------------------------------------------------------------------------------------------


def make_layer(cloud, filters: int, *, layers: int = 1, jit_compile: bool = False, remat: bool = False) -> Contender:
    """The layer of this project in a TensorFlow graph, or several, one after the other."""
    import keras

    from tfdlcv.layers import FlexConv

    with keras.RematScope(mode="full" if remat else None):
        chain = [FlexConv(filters, activation="relu" if layers > 1 else None) for _ in range(layers)]
    arrays = [cloud["features"], cloud["positions"], cloud["neighbors"]]
    shapes = [array.shape for array in arrays]
    for layer in chain:
        layer.build(shapes)
        shapes = [layer.compute_output_shape(shapes), *shapes[1:]]

    def call(inputs):
        features, *rest = inputs
        for layer in chain:
            features = layer([features, *rest])
        return features

    weights = [weight for layer in chain for weight in layer.trainable_variables]
    return _tensorflow_contender(call, weights, arrays, jit_compile)


def make_naive(cloud, filters: int) -> Contender:
    """The printed formula: W[e] = <theta, l_i - l_k> + theta_bias for every edge, then a product for every edge."""
    import tensorflow as tf

    channels = cloud["features"].shape[-1]
    shapes = ((3, channels, filters), (channels, filters), (filters,))
    theta, theta_bias, bias = (tf.Variable(tf.random.normal(shape, stddev=0.05)) for shape in shapes)

    def layer(inputs):
        features, positions, neighbors = inputs
        relative = positions[:, :, None] - tf.gather(positions, neighbors, batch_dims=1)
        weights = tf.einsum("bnkd,dcf->bnkcf", relative, theta) + theta_bias
        return tf.einsum("bnkcf,bnkc->bnf", weights, tf.gather(features, neighbors, batch_dims=1)) + bias

    inputs = [cloud["features"], cloud["positions"], cloud["neighbors"]]
    return _tensorflow_contender(layer, [theta, theta_bias, bias], inputs, jit_compile=False)


def _tensorflow_contender(layer, weights, inputs, jit_compile) -> Contender:
    import tensorflow as tf

    inputs = [tf.constant(array) for array in inputs]
    values = [weight.value if hasattr(weight, "path") else weight for weight in weights]

    @tf.function(jit_compile=jit_compile)
    def forward(features, positions, neighbors):
        return layer([features, positions, neighbors])

    @tf.function(jit_compile=jit_compile)
    def step(features, positions, neighbors):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer([features, positions, neighbors])
        return outputs, tape.gradient(outputs, [features, *values], output_gradients=outputs)

    parameters = sum(int(np.prod(weight.shape)) for weight in weights)
    return Contender(lambda: forward(*inputs).numpy(), lambda: _fetched(step(*inputs)), parameters)


def _fetched(results):
    """The outputs, once every gradient is there."""
    outputs, gradients = results
    for gradient in gradients:
        gradient.numpy()
    return outputs.numpy()


def make_layer_jax(cloud, filters: int) -> Contender:
    """The layer of this project on JAX."""
    import jax

    from tfdlcv.layers import FlexConv

    layer = FlexConv(filters)
    inputs = [jax.numpy.asarray(cloud[name]) for name in ("features", "positions", "neighbors")]
    layer.build([array.shape for array in inputs])
    weights = [weight.value for weight in layer.trainable_variables]

    @jax.jit
    def forward(weights, features, positions, neighbors):
        return layer.stateless_call(weights, [], [features, positions, neighbors])[0]

    @jax.jit
    def step(weights, features, positions, neighbors):
        call = lambda weights, features: forward(weights, features, positions, neighbors)  # noqa: E731
        outputs, backward = jax.vjp(call, weights, features)
        return outputs, backward(outputs)

    parameters = sum(int(np.prod(weight.shape)) for weight in weights)
    return Contender(
        lambda: jax.block_until_ready(forward(weights, *inputs)),
        lambda: jax.block_until_ready(step(weights, *inputs))[0],
        parameters,
    )


# -- PyTorch --------------------------------------------------------------------------------------------------------


def make_torch_moments(cloud, filters: int) -> Contender:
    """The algorithm of the layer, in PyTorch."""
    import torch

    channels = cloud["features"].shape[-1]
    weights = torch.nn.Parameter(torch.randn(4 * channels, filters) * 0.05)
    bias = torch.nn.Parameter(torch.zeros(filters))

    def layer(features, positions, edges):
        shape = edges["neighbors"].shape
        relative = positions[:, None] - positions[edges["neighbors"]]
        offsets = torch.cat([relative, torch.ones(*shape, 1)], dim=-1).transpose(1, 2)
        gathered = features.index_select(0, edges["neighbors"].reshape(-1)).reshape(*shape, channels)
        return (offsets @ gathered).reshape(len(features), -1) @ weights + bias

    return _torch_contender(layer, [weights, bias], cloud)


def make_torch_pointnet(cloud, filters: int) -> Contender:
    """PyTorch Geometric's layer of PointNet++."""
    import torch
    from torch_geometric.nn import PointNetConv

    # The neighbours hold every point itself.
    layer = PointNetConv(torch.nn.Linear(cloud["features"].shape[-1] + 3, filters), add_self_loops=False)

    def call(features, positions, edges):
        return layer(features, positions, edges["edge_index"])

    return _torch_contender(call, list(layer.parameters()), cloud)


def make_torch_kpconv(cloud, filters: int) -> Contender:
    """Rigid kernel points with linear influence, summed over the neighbours before the product with the weights."""
    import torch

    channels = cloud["features"].shape[-1]
    radius = 1.5 * (3 * cloud["neighbors"].shape[-1] / (4 * np.pi * cloud["features"].shape[1])) ** (1 / 3)
    kernel_points = torch.nn.functional.normalize(torch.randn(KERNEL_POINTS, 3), dim=-1) * radius / 2
    weights = torch.nn.Parameter(torch.randn(KERNEL_POINTS * channels, filters) * 0.05)
    bias = torch.nn.Parameter(torch.zeros(filters))

    def layer(features, positions, edges):
        relative = positions[edges["neighbors"]] - positions[:, None]  # (N, K, 3)
        distances = torch.linalg.norm(relative[:, None] - kernel_points[:, None], dim=-1)  # (N, Q, K)
        influence = torch.clamp(1 - distances / radius, min=0)
        summed = influence @ features[edges["neighbors"]]  # (N, Q, C)
        return summed.reshape(len(features), -1) @ weights + bias

    return _torch_contender(layer, [weights, bias], cloud)


def _torch_contender(layer, weights, cloud) -> Contender:
    """All clouds as one, whose edges stay within each."""
    import torch

    clouds, points, count = cloud["neighbors"].shape
    first = points * np.arange(clouds)[:, None, None]
    neighbors = torch.tensor((cloud["neighbors"] + first).reshape(-1, count).astype("int64"))
    targets = torch.arange(clouds * points).repeat_interleave(count)
    edges = {"neighbors": neighbors, "edge_index": torch.stack([neighbors.reshape(-1), targets])}
    features = torch.tensor(cloud["features"].reshape(clouds * points, -1), requires_grad=True)
    positions = torch.tensor(cloud["positions"].reshape(-1, 3))

    def forward():
        with torch.no_grad():
            return layer(features, positions, edges).reshape(clouds, points, -1).numpy()

    def step():
        outputs = layer(features, positions, edges)
        torch.autograd.grad(outputs, [features, *weights], outputs.detach())
        return outputs.detach().reshape(clouds, points, -1).numpy()

    return Contender(forward, step, sum(weight.numel() for weight in weights))


MAKE: dict[str, Callable[..., Contender]] = {
    "layer": make_layer,
    "layer_remat": functools.partial(make_layer, remat=True),
    "layer_xla": functools.partial(make_layer, jit_compile=True),
    "layer_jax": make_layer_jax,
    "naive": make_naive,
    "torch_moments": make_torch_moments,
    "torch_pointnet": make_torch_pointnet,
    "torch_kpconv": make_torch_kpconv,
}
