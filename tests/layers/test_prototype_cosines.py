import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import PrototypeCosines
from tfdlcv.ops import prototypes


@pytest.fixture(autouse=True)
def float32():
    yield
    keras.config.set_dtype_policy("float32")


def test_cosines_and_what_is_trained():
    points = prototypes.separate(7, 4)
    layer = PrototypeCosines(points)
    z = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    expected = z @ points.T / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(layer(z), expected, atol=1e-6)
    assert layer.trainable_variables == [] and len(layer.non_trainable_variables) == 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    points = prototypes.simplex(5)
    inputs = keras.Input((3,))
    network = keras.Model(inputs, PrototypeCosines(points)(keras.layers.Dense(4)(inputs)))
    assert network.output.dtype == "float32" and network.output.shape == (None, 5)
    assert network(np.ones((2, 3))).dtype == tf.float32
    np.testing.assert_array_equal(network.layers[-1].prototypes, points)
    embeddings = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    expected = embeddings @ points.T / np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(PrototypeCosines(points)(embeddings), expected, atol=1e-6)
    # In a network, behind a layer of float32.
    embedding = keras.layers.Dense(4, dtype="float32")(inputs)
    network = keras.Model(inputs, [embedding, PrototypeCosines(points)(embedding)])
    z, cosines = (np.asarray(output) for output in network(embeddings[:, :3]))
    np.testing.assert_allclose(cosines, z @ points.T / np.linalg.norm(z, axis=1, keepdims=True), atol=1e-6)


def test_weights_bring_their_prototypes():
    """As a checkpoint does, wherever the prototypes are computed again."""
    first, second = PrototypeCosines(prototypes.simplex(4)), PrototypeCosines(-prototypes.simplex(4))
    z = np.ones((1, 3), "float32")
    first(z), second(z)
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(first(z), second(z))
    assert second.get_config()["prototypes"] == first.get_config()["prototypes"]


def test_errors():
    with pytest.raises(ValueError, match="prototypes must have norm 1. Received: norm 2 for class 0"):
        PrototypeCosines(2 * np.eye(3))
    with pytest.raises(ValueError, match=r"3 dimensions of the prototypes. Received: shape=\(2, 5\)"):
        PrototypeCosines(np.eye(3))(np.ones((2, 5)))
