import keras
import numpy as np
import pytest
from keras import ops

from tests.visualization.networks import images, linear, pooled
from tfdlcv import models
from tfdlcv.errors import UserError
from tfdlcv.visualization import network_graph

NETWORKS = {
    "perceptron": lambda: models.perceptron((8, 8, 3), num_classes=4),
    "mlp": lambda: models.mlp((8, 8, 3), num_classes=4, hidden_units=(5,), dropout=0.5),
    "lenet5": lambda: models.lenet5(num_classes=4),
    "alexnet": lambda: models.alexnet((67, 67, 3), num_classes=4),
    "googlenet": lambda: models.googlenet((32, 32, 3), num_classes=4),
    "resnet": lambda: models.resnet_cifar((8, 8, 3), num_classes=4, depth=8, shortcut="identity"),
    "resnet_preact": lambda: models.resnet_cifar((8, 8, 3), num_classes=4, depth=8, block_order="full_preact"),
    "wide_resnet": lambda: models.wide_resnet_cifar((8, 8, 3), num_classes=4, depth=10, width=1),
    "resnext": lambda: models.resnext_cifar((8, 8, 3), num_classes=4, depth=11, cardinality=2, group_width=4),
    "densenet": lambda: models.densenet_cifar((8, 8, 3), num_classes=4, depth=10),
    "mobilenet": lambda: models.mobilenet((32, 32, 3), num_classes=4, width=0.25),
}
# Where Grad-CAM looks by default.
LAST_MAPS = {
    "lenet5": "c3",
    "alexnet": "conv5_relu",
    "resnet": "stage3_unit1_relu2",
    "resnet_preact": "final_relu",
    "wide_resnet": "final_relu",
    "resnext": "stage3_unit1_relu3",
    "densenet": "final_relu",
}


def nested(body):
    """As `tfdlcv.systems.networks` builds them."""
    image = keras.Input(body.input_shape[1:], name="image")
    return keras.Model(image, body(keras.layers.Rescaling(1 / 255, name="scale_pixels")(image)), name=body.name)


@pytest.mark.parametrize("name", NETWORKS)
def test_copies_of_all_families_give_the_same_scores_and_have_no_models_inside(name):
    network = nested(NETWORKS[name]())
    x = 255 * np.abs(images(network))
    flat = network_graph.flat_copy(network)
    assert not any(isinstance(operation, keras.Model) for operation in flat.operations)
    np.testing.assert_allclose(flat(x, training=False), network(x, training=False), rtol=1e-5, atol=1e-5)
    if name in LAST_MAPS:
        assert network_graph.map_layer(flat).name == LAST_MAPS[name]


def test_the_copy_computes_in_float32_and_shares_nothing():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = nested(models.resnet_cifar((8, 8, 1), num_classes=3, depth=8))
    finally:
        keras.config.set_dtype_policy("float32")
    flat = network_graph.flat_copy(network)
    assert {layer.compute_dtype for layer in flat.layers} == {"float32"}
    before = [weight.copy() for weight in network.get_weights()]
    for variable in flat.variables:
        variable.assign(ops.zeros_like(variable))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_models_in_models_and_sequential_ones_are_opened():
    inner = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, name="deep")], name="inner")
    image = keras.Input((4, 4, 1))
    middle = keras.Model(image, ops.relu(inner(image)) * 2.0, name="middle")
    outer = keras.Sequential([keras.Input((4, 4, 1)), middle, keras.layers.Flatten(), keras.layers.Dense(3)])
    flat = network_graph.flat_copy(outer)
    assert "deep" in [layer.name for layer in flat.layers]
    x = images(outer)
    np.testing.assert_allclose(flat(x), outer(x), atol=1e-6)


def test_a_layer_that_is_used_twice_stays_one():
    image = keras.Input((5,))
    shared = keras.layers.Dense(5, name="shared")
    network = keras.Model(image, keras.layers.Dense(2)(shared(shared(image))))
    flat = network_graph.flat_copy(network)
    x = np.ones((2, 5), "float32")
    np.testing.assert_allclose(flat(x), network(x), atol=1e-6)
    assert len(flat.weights) == 4


def test_an_unknown_layer_lists_the_near_ones():
    flat = network_graph.flat_copy(NETWORKS["resnet"]())
    with pytest.raises(UserError, match=r"resnet8 has no layer 'stage2_unit1_rel'. Near: stage2_unit1_relu2"):
        network_graph.find_layer(flat, "stage2_unit1_rel")
    with pytest.raises(UserError, match=r"no layer 'zzz'. It has \d+ layers: image, .*, logits"):
        network_graph.find_layer(flat, "zzz")
    with pytest.raises(UserError, match="no layer 'zzz'. It has image, flatten, logits"):
        network_graph.find_layer(network_graph.flat_copy(linear(np.ones((2, 2, 1, 2)))), "zzz")


def test_layers_without_maps_are_refused():
    with pytest.raises(UserError, match=r"layer 'logits' of pooled gives \(None, 3\), not maps"):
        network_graph.map_layer(pooled(), "logits")
    with pytest.raises(UserError, match="linear has no layer of maps .* it convolves nothing"):
        network_graph.map_layer(linear(np.ones((2, 2, 1, 2))))


def test_several_inputs_or_outputs_are_refused():
    image = keras.Input((2,))
    outputs = {"a": keras.layers.Dense(2)(image), "b": keras.layers.Dense(2)(image)}
    with pytest.raises(ValueError, match="one input and one output. Received: 1 inputs, 2 outputs"):
        network_graph.flat_copy(keras.Model(image, outputs))


def test_what_the_last_layer_sees():
    network = pooled()
    x = images(network)
    features = network_graph.last_features(network_graph.flat_copy(network), x)
    kernel, bias = network.get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, network(x), atol=1e-5)


def test_switches_are_max_pools():
    assert not network_graph.has_switches(network_graph.flat_copy(NETWORKS["resnet"]()))
    pool = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.MaxPooling2D()])
    assert network_graph.has_switches(network_graph.flat_copy(pool))
