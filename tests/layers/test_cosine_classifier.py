import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import CosineClassifier


@pytest.fixture(autouse=True)
def float32():
    yield
    keras.config.set_dtype_policy("float32")


def test_outputs_are_cosines_to_the_kernel_columns():
    layer = CosineClassifier(3, kernel_initializer=keras.initializers.RandomNormal(stddev=5.0, seed=1))
    inputs = np.random.default_rng(0).standard_normal((4, 2)).astype("float32")
    cosines = layer(inputs).numpy()
    kernel = layer.kernel.numpy()
    expected = (inputs @ kernel) / np.linalg.norm(inputs, axis=1)[:, None] / np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(cosines, expected, rtol=1e-5)
    assert layer.count_params() == 6
    np.testing.assert_allclose(layer(7 * inputs), cosines, rtol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((5,))
    network = keras.Model(inputs, CosineClassifier(4)(keras.layers.Dense(6)(inputs)))
    assert network.output.dtype == "float32" and network.output.shape == (None, 4)
    assert network.layers[-1].kernel.dtype == "float32"
    outputs = network(np.random.default_rng(0).standard_normal((3, 5)))
    assert outputs.dtype == tf.float32
    assert np.abs(outputs).max() <= 1 + 1e-6
    embeddings = np.random.default_rng(1).standard_normal((5, 2)).astype("float32")
    layer = CosineClassifier(3)
    expected = layer(embeddings)  # Builds it.
    keras.config.set_dtype_policy("float32")
    exact = CosineClassifier(3)
    exact.build((None, 2))
    exact.set_weights(layer.get_weights())
    np.testing.assert_allclose(expected, exact(embeddings), atol=1e-6)


def test_error():
    with pytest.raises(ValueError, match="num_classes must be at least 2. Received: num_classes=1"):
        CosineClassifier(1)
