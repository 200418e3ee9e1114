import keras
import numpy as np
import pytest

from tfdlcv import models


def test_parameter_count_and_shapes():
    network = models.mlp((28, 28, 1), num_classes=10, hidden_units=(512, 256))
    assert network.count_params() == (784 * 512 + 512) + (512 * 256 + 256) + (256 * 10 + 10)
    assert network.inputs[0].name == "image"
    assert network.output_shape == (None, 10)


def test_output_is_the_formula():
    network = models.mlp((2, 2, 1), num_classes=3, hidden_units=(5,))
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype("float32")
    (weights1, bias1, weights2, bias2) = network.get_weights()
    hidden = np.maximum(x.reshape(4, 4) @ weights1 + bias1, 0)
    np.testing.assert_allclose(network(x), hidden @ weights2 + bias2, rtol=1e-5, atol=1e-6)


def test_no_hidden_layer_is_linear():
    network = models.mlp((2, 2, 1), num_classes=2, hidden_units=())
    x = np.ones((1, 2, 2, 1), "float32")
    np.testing.assert_allclose(network(3 * x), 3 * network(x), rtol=1e-5)


def test_dropout_acts_in_training_only():
    keras.utils.set_random_seed(0)
    network = models.mlp((4, 4, 1), hidden_units=(64,), dropout=0.5)
    x = np.ones((1, 4, 4, 1), "float32")
    np.testing.assert_array_equal(network(x), network(x))
    assert not np.allclose(network(x, training=True), network(x, training=True))
    assert not any("dropout" in layer.name for layer in models.mlp((4, 4, 1)).layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2. Received: num_classes=1"),
        (
            {"input_shape": (28, 28)},
            r"input_shape must be \(height, width, channels\). Received: input_shape=\(28, 28\)",
        ),
        ({"input_shape": (28, 28, 0)}, r"channels of input_shape must be at least 1. .*\(28, 28, 0\)"),
        ({"input_shape": (None, 28, 1)}, r"needs the size of its images. Received: input_shape=\(None, 28, 1\)"),
        ({"hidden_units": (8, 0)}, r"hidden_units must be at least 1 each. Received: hidden_units=\(8, 0\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.mlp(**arguments)
