import numpy as np
import pytest

from tfdlcv import models


@pytest.mark.parametrize("input_shape", [(28, 28, 1), (32, 32, 1)])
def test_parameter_count(input_shape):
    network = models.lenet5(input_shape, num_classes=10)
    assert network.count_params() == 61_706
    counts = {layer.name: layer.count_params() for layer in network.layers if layer.weights}
    assert counts == {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "logits": 850}


def test_layer_shapes_are_the_papers():
    network = models.lenet5()
    shapes = {name: network.get_layer(name).output.shape[1:] for name in ("pad", "c1", "s2", "c3", "s4", "c5", "f6")}
    assert shapes == {
        "pad": (32, 32, 1),
        "c1": (28, 28, 6),
        "s2": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4": (5, 5, 16),
        "c5": (1, 1, 120),
        "f6": (84,),
    }


def test_small_images_are_padded_with_zeros():
    small, large = models.lenet5((28, 28, 1)), models.lenet5((32, 32, 1))
    large.set_weights(small.get_weights())
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype("float32")
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(small(x), large(padded), rtol=1e-5, atol=1e-6)


def test_activations_differ():
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype("float32")
    tanh, relu = models.lenet5(activation="tanh"), models.lenet5(activation="relu")
    relu.set_weights(tanh.get_weights())
    assert not np.allclose(tanh(x), relu(x))
    hidden = relu.get_layer("f6")
    assert hidden.activation.__name__ == "relu"
    assert tanh.get_layer("f6").activation.__name__ == "tanh"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (30, 30, 1)}, r"28 x 28 or 32 x 32. Received: input_shape=\(30, 30, 1\)"),
        ({"input_shape": (28, 32, 1)}, r"28 x 28 or 32 x 32. Received: input_shape=\(28, 32, 1\)"),
        ({"activation": "gelu"}, "'tanh' or 'relu'. Received: activation='gelu'"),
        ({"num_classes": 0}, "num_classes must be at least 2. Received: num_classes=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.lenet5(**arguments)
