"""The five orders of layers, as figure 4 of He et al. 2016, Identity Mappings in Deep Residual Networks, draws them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.models import blocks, residual_units

ORDERS = residual_units.BLOCK_ORDERS


def style(**options):
    normalization = blocks.batch_normalization(momentum=0.9, epsilon=1e-5, synchronized=False)
    return residual_units.UnitStyle(normalization, **options)


def unit(convolutions, channels=4, **options):
    keywords = {key: options.pop(key) for key in ("drop_rate", "activate_shortcut") if key in options}
    x = keras.Input((6, 6, channels))
    built = keras.Model(x, residual_units.residual_unit(x, convolutions, style(**options), **keywords, name="unit"))
    random = np.random.default_rng(0)
    for layer in built.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    random.normal(size=shape),
                    random.normal(size=shape),
                    random.normal(size=shape),
                    random.uniform(0.5, 2, shape),
                ]
            )
    return built


def norm(unit, name, x):
    layer = unit.get_layer(f"unit_{name}")
    gamma, beta, mean, variance = (np.asarray(w) for w in layer.get_weights())
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def conv(unit, name, x):
    layer = unit.get_layer(f"unit_{name}")
    return np.asarray(keras.ops.conv(x, layer.kernel, padding="same", strides=layer.strides[0]))


def relu(x):
    return np.maximum(x, 0)


FORMULAS = {
    "original": lambda u, x: relu(x + norm(u, "norm2", conv(u, "conv2", relu(norm(u, "norm1", conv(u, "conv1", x)))))),
    "bn_after_add": lambda u, x: relu(
        norm(u, "norm2", x + conv(u, "conv2", relu(norm(u, "norm1", conv(u, "conv1", x)))))
    ),
    "relu_before_add": lambda u, x: (
        x + relu(norm(u, "norm2", conv(u, "conv2", relu(norm(u, "norm1", conv(u, "conv1", x))))))
    ),
    "relu_only_preact": lambda u, x: (
        x + norm(u, "norm2", conv(u, "conv2", relu(norm(u, "norm1", conv(u, "conv1", relu(x))))))
    ),
    "full_preact": lambda u, x: (
        x + conv(u, "conv2", relu(norm(u, "norm2", conv(u, "conv1", relu(norm(u, "norm1", x))))))
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_order(order):
    built = unit(residual_units.basic(4, 1), order=order)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
    np.testing.assert_allclose(built(x), FORMULAS[order](built, x), rtol=1e-3, atol=1e-3)


def test_full_preact_with_a_last_convolution_of_zero_is_the_identity():
    for convolutions in (residual_units.basic(4, 1), residual_units.bottleneck(1, 1)):
        built = unit(convolutions, order="full_preact")
        last = built.get_layer(f"unit_conv{len(convolutions)}")
        last.kernel.assign(np.zeros(last.kernel.shape))
        x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
        np.testing.assert_array_equal(built(x), x)


@pytest.mark.parametrize("order", ORDERS)
def test_projection(order):
    built = unit(residual_units.basic(8, 2), order=order)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
    shortcut = {
        "full_preact": lambda: relu(norm(built, "norm1", x)),
        "relu_only_preact": lambda: relu(x),
    }.get(order, lambda: x)()
    shortcut = conv(built, "shortcut_conv", shortcut)
    if order in ("original", "relu_before_add", "relu_only_preact"):
        shortcut = norm(built, "shortcut_norm", shortcut)
    else:
        assert not any("shortcut_norm" in layer.name for layer in built.layers)
    add = built.get_layer("unit_add")
    inputs = keras.Model(built.inputs, add.input)(x)
    np.testing.assert_allclose(inputs[0], shortcut, rtol=1e-3, atol=1e-3)
    assert built.output_shape == (None, 3, 3, 8)


def test_first_unit_splits_behind_its_activation():
    built = unit(residual_units.basic(4, 1), order="full_preact", activate_shortcut=True)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
    inputs = keras.Model(built.inputs, built.get_layer("unit_add").input)(x)
    np.testing.assert_allclose(inputs[0], relu(norm(built, "norm1", x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("stride_on", "strides"), [("1x1", [2, 1, 1]), ("3x3", [1, 2, 1])])
def test_stride_of_bottlenecks(stride_on, strides):
    convolutions = residual_units.bottleneck(8, 2, stride_on=stride_on)
    assert [c.strides for c in convolutions] == strides
    assert [c.filters for c in convolutions] == [8, 8, 32]


def test_dropout_stands_in_front_of_the_last_convolution():
    built = unit(residual_units.basic(4, 1), order="full_preact", dropout=0.5)
    assert built.get_layer("unit_conv2").input is built.get_layer("unit_dropout").output


def test_stochastic_depth_grows_with_the_place():
    x = keras.Input((8, 8, 4))
    y = residual_units.stages(x, style(), residual_units.basic, units=(2, 2), filters=(4, 8), stochastic_depth=0.4)
    rates = [layer.rate for layer in keras.Model(x, y).layers if layer.name.endswith("_drop")]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4])


def test_a_dropped_branch_leaves_the_shortcut():
    keras.utils.set_random_seed(0)
    built = unit(residual_units.basic(4, 1), order="full_preact", drop_rate=0.5)
    x = np.random.default_rng(1).normal(size=(64, 6, 6, 4)).astype("float32")
    dropped = (built(x, training=True).numpy() == x).all(axis=(1, 2, 3))
    assert 16 < dropped.sum() < 48


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "preact"}, "block_order must be one of 'original', .* Received: block_order='preact'"),
        ({"shortcut": "conv"}, "'projection', 'identity'. Received: shortcut='conv'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\). Received: dropout=1.0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        style(**options)


def test_every_weight_gets_a_gradient_in_every_order():
    for order in ORDERS:
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3))
        y = residual_units.stages(image, style(order=order), residual_units.basic, units=(1, 2), filters=(4, 8))
        network = keras.Model(image, y)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), training=True) ** 3)
        for variable, gradient in zip(
            network.trainable_variables, tape.gradient(loss, network.trainable_weights), strict=True
        ):
            assert gradient is not None and np.abs(gradient).max() > 0, (order, variable.path)
