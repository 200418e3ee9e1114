"""The flex and octree layers, searches and samplings give the same numbers on JAX, jitted, without TensorFlow."""

import importlib.util

import numpy as np
import pytest

from tests.jax_process import assert_same_numbers
from tfdlcv.layers import FlexConv, FlexConvTranspose, FlexPooling, FlexUpsampling, OctreeConv
from tfdlcv.ops import neighbors as search
from tfdlcv.ops import octree, sampling

SCRIPT = """
import sys
import jax
import numpy as np
from tfdlcv.layers import FlexConv, FlexConvTranspose, FlexPooling, FlexUpsampling, OctreeConv
from tfdlcv.ops import neighbors as search, sampling

a = np.load(sys.argv[1])
inputs = [a["features"], a["positions"], a["neighbors"]]
for layer_class in (FlexConv, FlexConvTranspose):
    name = layer_class.__name__
    layer = layer_class(4, normalize_positions=True, activation="tanh")
    layer(inputs)
    layer.set_weights([a[f"{name}{i}"] for i in range(3)])

    def loss(weights, features, positions):
        outputs, _ = layer.stateless_call(weights, [], [features, positions, a["neighbors"]])
        return (outputs**2).sum(), outputs

    arguments = ([weight.value for weight in layer.weights], *inputs[:2])
    (_, outputs), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*arguments)
    np.testing.assert_allclose(outputs, a[name], rtol=1e-4, atol=1e-5, err_msg=name)
    for i, gradient in enumerate(jax.tree.leaves(gradients)):
        np.testing.assert_allclose(gradient, a[f"{name}_gradient{i}"], rtol=1e-3, atol=1e-4, err_msg=f"{name} {i}")
layer = OctreeConv(4)
reads = [a[f"reads{i}"] for i in range(5)]
layer([a["leaves"], *reads])
layer.set_weights([a["octree0"], a["octree1"]])

def loss(weights, leaves):
    return (layer.stateless_call(weights, [], [leaves, *reads])[0] ** 2).sum()

value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))([w.value for w in layer.weights], a["leaves"])
np.testing.assert_allclose(value, a["octree_loss"], rtol=1e-4)
for i, gradient in enumerate(jax.tree.leaves(gradients)):
    np.testing.assert_allclose(gradient, a[f"octree_gradient{i}"], rtol=1e-3, atol=1e-3, err_msg=f"octree {i}")
np.testing.assert_allclose(jax.jit(FlexPooling())([inputs[0], inputs[2]]), a["pooled"], rtol=1e-6)
for method in ("flex", "nearest", "inverse_distance"):
    outputs = jax.jit(FlexUpsampling(method))([a["features"][:, :10], a["positions"], a["coarse"]])
    np.testing.assert_allclose(outputs, a[method], rtol=1e-4, atol=1e-5, err_msg=method)
np.testing.assert_array_equal(jax.jit(lambda p: search.knn(p, 5, chunk_size=8))(a["positions"]), a["knn"])
found = jax.jit(lambda p: search.knn_grid(p, 5, cell_size=4.0, capacity=40))(a["positions"])
np.testing.assert_array_equal(found["neighbors"], a["knn"])
assert not found["overflow"].any()
np.testing.assert_array_equal(jax.jit(lambda p: sampling.farthest_point_sample(p, 6))(a["positions"]), a["farthest"])
np.testing.assert_array_equal(sampling.gumbel_top_k(a["positions"][..., 0], 9, a["uniform"]), a["gumbel"])
assert "tensorflow" not in sys.modules
print("same numbers")
"""


def octree_arrays(rng):
    """A convolution of an octree, and its gradients, on TensorFlow."""
    import tensorflow as tf

    volume = np.zeros((24, 24, 24), bool)
    volume[2, 3, 4] = True
    tree = octree.build_octree(volume)
    reads = [table[None] for table in octree.convolution_reads(tree)]
    leaves, layer = tf.constant(rng.normal(size=(1, tree.num_leaves, 3)).astype("float32")), OctreeConv(4)
    layer([leaves, *reads])
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        loss = tf.reduce_sum(layer([leaves, *reads]) ** 2)
    gradients = tape.gradient(loss, [*layer.trainable_variables, leaves])
    arrays = {"leaves": leaves, "octree_loss": loss, **{f"reads{i}": table for i, table in enumerate(reads)}}
    arrays |= {f"octree{i}": weight for i, weight in enumerate(layer.get_weights())}
    return arrays | {f"octree_gradient{i}": gradient for i, gradient in enumerate(gradients)}


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax, of the dev extra, is not installed")
def test_the_same_numbers_on_jax(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    features, positions = (rng.normal(size=(2, 40, 3)).astype("float32") for _ in range(2))
    neighbors, coarse = (rng.integers(-1, n, size=(2, 40, 5)).astype("int32") for n in (40, 10))
    arrays = {"features": features, "positions": positions, "neighbors": neighbors, "coarse": coarse}
    for layer_class in (FlexConv, FlexConvTranspose):
        name, layer = layer_class.__name__, layer_class(4, normalize_positions=True, activation="tanh")
        tensors = [tf.constant(features), tf.constant(positions)]
        layer([*tensors, neighbors])
        layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = layer([*tensors, neighbors])
            total = tf.reduce_sum(outputs**2)
        gradients = tape.gradient(total, [*layer.trainable_variables, *tensors])
        arrays |= {name: outputs, **{f"{name}{i}": weight for i, weight in enumerate(layer.get_weights())}}
        arrays |= {f"{name}_gradient{i}": gradient for i, gradient in enumerate(gradients)}
    arrays |= octree_arrays(rng)
    arrays["pooled"] = FlexPooling()([features, neighbors])
    for method in ("flex", "nearest", "inverse_distance"):
        arrays[method] = FlexUpsampling(method)([features[:, :10], positions, coarse])
    arrays["knn"] = search.knn(positions, 5)
    arrays["farthest"] = sampling.farthest_point_sample(positions, 6)
    arrays["uniform"] = rng.uniform(size=(2, 40)).astype("float32")
    arrays["gumbel"] = sampling.gumbel_top_k(positions[..., 0], 9, arrays["uniform"])
    np.savez(tmp_path / "arrays.npz", **arrays)
    assert_same_numbers(SCRIPT, tmp_path / "arrays.npz")
