import keras
import numpy as np
import pytest

from tfdlcv import models
from tfdlcv.models.lenet5 import digit_codes


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


def test_the_original_has_60000_parameters():
    network = models.lenet5(variant="original")
    counts = {layer.name: layer.count_params() for layer in network.layers if layer.weights}
    assert counts == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}  # Paper, section II.B.
    assert network.count_params() == 60_000


def test_the_maps_of_c3_see_what_table_one_lets_them():
    """Crosses of the table by column, as the sums of its rows' places."""
    network = models.lenet5(variant="original")
    connections = network.get_layer("c3").connections
    assert [len(maps) for maps in connections] == [3] * 6 + [4] * 9 + [6]
    assert [sum(source in maps for maps in connections) for source in range(6)] == [10] * 6
    assert connections[4] == [0, 4, 5] and connections[11] == [0, 1, 2, 5] and connections[12] == [0, 1, 3, 4]


def test_the_originals_logits_are_distances_to_drawn_digits():
    codes = digit_codes()
    assert codes.shape == (10, 84) and set(codes.ravel()) == {-1.0, 1.0}
    distances = ((codes[:, None] - codes[None]) ** 2).sum(-1)
    assert distances[~np.eye(10, dtype=bool)].min() >= 4 * 5  # Two drawings differ in five pixels or more.
    network = models.lenet5(variant="original")
    features = keras.Model(network.input, network.get_layer("logits").input)
    x = np.random.default_rng(0).normal(size=(3, 28, 28, 1)).astype("float32")
    expected = -((np.asarray(features(x))[:, None] - codes[None]) ** 2).sum(-1)
    np.testing.assert_allclose(network(x), expected, rtol=1e-5)
    assert np.abs(features(x)).max() < 1.7159


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "sparse"}, "variant must be one of 'dense', 'original'. Received: variant='sparse'"),
        ({"variant": "original", "num_classes": 5}, "has 10 classes .* Received: num_classes=5"),
        ({"variant": "original", "activation": "relu"}, "its own tanh. Received: .*activation='relu'"),
        ({"input_shape": (30, 30, 1)}, r"28 x 28 or 32 x 32. Received: input_shape=\(30, 30, 1\)"),
        ({"input_shape": (28, 32, 1)}, r"28 x 28 or 32 x 32. Received: input_shape=\(28, 32, 1\)"),
        ({"activation": "gelu"}, "'tanh' or 'relu'. Received: activation='gelu'"),
        ({"num_classes": 0}, "num_classes must be at least 2. Received: num_classes=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.lenet5(**arguments)
