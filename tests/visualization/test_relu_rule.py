import keras
import numpy as np
import pytest
from keras import ops

from tests.visualization.networks import linear, pooled
from tfdlcv import models
from tfdlcv.visualization.gradients import gradient, input_gradients
from tfdlcv.visualization.relu_rule import rectifier, relu_rule

X = np.array([-2.0, -1.0, 1.0, 2.0, 7.0], "float32")
UPSTREAM = np.array([3.0, -4.0, 5.0, -6.0, 8.0], "float32")
PASSES = {
    "plain": [0, 0, 5, -6, 8],
    "deconvnet": [3, 0, 5, 0, 8],
    "guided": [0, 0, 5, 0, 8],
}


@pytest.mark.parametrize("rule", PASSES)
def test_what_each_rule_lets_pass(rule):
    rectify = rectifier(rule)
    np.testing.assert_array_equal(rectify(ops.convert_to_tensor(X)), np.maximum(X, 0))
    found = gradient(lambda x: rectify(x) * UPSTREAM, ops.convert_to_tensor(X))
    np.testing.assert_array_equal(found, PASSES[rule])


@pytest.mark.parametrize("rule, last", [("plain", 0), ("guided", 0), ("deconvnet", 8)])
def test_a_cut_stops_what_depends_on_the_input(rule, last):
    rectify = rectifier(rule, 6.0)
    assert ops.convert_to_numpy(rectify(ops.convert_to_tensor(X)))[-1] == 6
    found = ops.convert_to_numpy(gradient(lambda x: rectify(x) * UPSTREAM, ops.convert_to_tensor(X)))
    np.testing.assert_array_equal(found, [*PASSES[rule][:-1], last])


def two_layers(relu):
    """s = 2 relu(x1 - x2) - 3 relu(x2) on an image of two pixels."""
    image = keras.Input((1, 2, 1))
    hidden = keras.layers.Dense(2, use_bias=False, **({"activation": "relu"} if relu == "argument" else {}))
    x = hidden(keras.layers.Flatten()(image))
    x = {
        "argument": lambda v: v,
        "layer": keras.layers.ReLU(),
        "activation": keras.layers.Activation("relu"),
        "operation": ops.relu,
    }[relu](x)
    output = keras.layers.Dense(1, use_bias=False)
    network = keras.Model(image, output(x))
    hidden.set_weights([np.array([[1.0, 0.0], [-1.0, 1.0]])])
    output.set_weights([np.array([[2.0], [-3.0]])])
    return network


@pytest.mark.parametrize("relu", ["argument", "layer", "activation", "operation"])
@pytest.mark.parametrize(
    "rule, expected",
    [
        # Both hidden units are on at (3, 1): 2 (1, -1) - 3 (0, 1).
        ("plain", [[2, -5], [0, -3], [0, 0]]),
        # Units send back where their own gradient, 2 and -3, is positive: only the first, on or not.
        ("deconvnet", [[2, -2], [2, -2], [2, -2]]),
        ("guided", [[2, -2], [0, 0], [0, 0]]),
    ],
)
def test_a_small_network_by_hand_however_its_relu_is_written(relu, rule, expected):
    x = np.array([[3, 1], [1, 3], [-2, -1]], "float32").reshape(3, 1, 2, 1)
    network = two_layers(relu)
    changed = relu_rule(network, rule)
    np.testing.assert_allclose(changed(x), network(x))
    found = input_gradients(changed, x, [0, 0, 0])
    np.testing.assert_allclose(found.reshape(3, 2), expected)


def test_the_network_itself_keeps_its_gradients():
    network = two_layers("argument")
    x = ops.convert_to_tensor(np.array([3, 1], "float32").reshape(1, 1, 2, 1))
    for rule in ("guided", "deconvnet"):
        relu_rule(network, rule)
    np.testing.assert_allclose(ops.reshape(gradient(network, x), (2,)), [2, -5])
    assert network.layers[2].activation is keras.activations.relu


def test_relu6_layers_are_changed_too():
    for relu in (keras.layers.ReLU(6.0), keras.layers.Activation("relu6"), ops.relu6):
        image = keras.Input((1, 5, 1))
        network = keras.Model(image, keras.layers.Flatten()(relu(image)))
        changed = relu_rule(network, "guided")
        np.testing.assert_array_equal(changed(X.reshape(1, 1, 5, 1)), [[0, 0, 1, 2, 6]])
        found = gradient(lambda x, c=changed: c(x) * UPSTREAM, ops.convert_to_tensor(X.reshape(1, 1, 5, 1)))
        np.testing.assert_array_equal(ops.reshape(found, (5,)), [0, 0, 5, 0, 0])


def test_a_network_without_relu_has_one_rule():
    network = models.lenet5(num_classes=3)
    relu_rule(network, "plain")
    with pytest.raises(ValueError, match="lenet5 has no ReLU that the rule 'guided' could change"):
        relu_rule(network, "guided")
    with pytest.raises(ValueError, match="linear has no ReLU"):
        relu_rule(linear(np.ones((2, 2, 1, 2))), "deconvnet")
    with pytest.raises(ValueError, match="rule must be one of .* Received: rule='other'"):
        relu_rule(pooled(), "other")


def test_leaky_relu_stays():
    image = keras.Input((2,))
    leaky = keras.Model(image, keras.layers.ReLU(negative_slope=0.1)(image), name="leaky")
    with pytest.raises(ValueError, match="leaky has no ReLU"):
        relu_rule(leaky, "guided")
