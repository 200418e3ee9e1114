"""WeightNormalization against its formula, its gradients against differences, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import CausalConv1D, CausalConv3D, WeightNormalization

LAYERS = {
    "dense": (lambda: keras.layers.Dense(3, activation="tanh"), (2, 5)),
    "conv1d": (lambda: keras.layers.Conv1D(3, 2, dilation_rate=2), (2, 7, 5)),
    "conv2d": (lambda: keras.layers.Conv2D(3, 2, strides=2, use_bias=False), (2, 6, 6, 2)),
    "conv3d": (lambda: keras.layers.Conv3D(3, 2, padding="same"), (2, 4, 4, 4, 2)),
    "causal1d": (lambda: CausalConv1D(3, 2, dilation_rate=2, activation="relu"), (2, 7, 5)),
    "causal3d": (lambda: CausalConv3D(3, 2), (2, 4, 4, 4, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_at_first_the_layer_is_the_plain_one_and_then_follows_the_formula(name):
    make, shape = LAYERS[name]
    x = np.random.RandomState(0).randn(*shape).astype("float32")
    layer = WeightNormalization(make())
    first = layer(x)
    plain = make()
    plain.build(shape)
    biases = [layer.layer.bias.numpy()] if layer.layer.use_bias else []
    plain.set_weights([layer.layer.kernel.numpy(), *biases])
    np.testing.assert_allclose(first, plain(x), rtol=1e-5, atol=1e-6)

    g = np.array([0.5, -2.0, 3.0], "float32")
    layer.g.assign(g)
    layer.layer.kernel.assign(7.0 * layer.layer.kernel)  # Only v's direction counts.
    kernel = plain.kernel.numpy()
    norms = np.sqrt((kernel.reshape(-1, 3) ** 2).sum(axis=0))
    plain.set_weights([g * kernel / norms, *biases])
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-4, atol=1e-5)
    assert layer(x).shape == layer.compute_output_shape(shape)


@pytest.mark.parametrize("name", ["dense", "conv1d", "causal1d"])
def test_gradients_reach_g_and_v_and_equal_differences(name):
    make, shape = LAYERS[name]
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float64")
    try:
        x = np.random.RandomState(0).randn(*shape)
        layer = WeightNormalization(make())
        layer(x)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x)))
        variables = {"g": layer.g, "v": layer.layer.kernel}
        gradients = tape.gradient(loss, {name: variable.value for name, variable in variables.items()})
        for variable, gradient in zip(variables.values(), gradients.values(), strict=True):
            value, direction = variable.numpy(), np.random.RandomState(1).randn(*variable.shape)
            ends = []
            for sign in (1, -1):
                variable.assign(value + sign * 1e-4 * direction)
                ends.append(float(tf.reduce_sum(tf.sin(layer(x)))))
            variable.assign(value)
            difference = (ends[0] - ends[1]) / 2e-4
            assert abs(difference) > 1e-2
            assert float((np.asarray(gradient) * direction).sum()) == pytest.approx(difference, rel=1e-5)
    finally:
        keras.config.set_dtype_policy("float32")


def test_the_gradient_of_v_is_orthogonal_to_v():
    layer = WeightNormalization(keras.layers.Dense(4))
    x = tf.random.stateless_normal((6, 5), (0, 1))
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradient = tape.gradient(loss, layer.layer.kernel.value).numpy()
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose((gradient * layer.layer.kernel.numpy()).sum(axis=0), 0, atol=1e-4)


def test_parameters_and_bfloat16_and_a_filter_of_zeros():
    layer = WeightNormalization(CausalConv1D(3, 2), dtype="mixed_bfloat16")
    x = np.ones((1, 4, 5), "float32")
    assert layer(x).dtype == "bfloat16"
    assert layer.count_params() == 2 * 5 * 3 + 3 + 3
    assert {v.name for v in layer.trainable_variables} == {"g", "kernel", "bias"}
    layer.layer.kernel.assign(np.zeros((2, 5, 3)))
    assert np.isfinite(np.asarray(layer(x), "float32")).all()


def test_reload(tmp_path):
    inputs = keras.Input((7, 5))
    model = keras.Model(inputs, WeightNormalization(CausalConv1D(3, 2))(inputs))
    model.layers[1].g.assign([1.0, 2.0, 3.0])
    model.save(tmp_path / "model.keras")
    x = np.random.RandomState(0).randn(2, 7, 5).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.ReLU(), "must be one of Dense"),
        (lambda: keras.layers.Conv1D(3, 2, padding="causal"), "CausalConv1D"),
        (lambda: keras.layers.Dense(3, kernel_constraint="non_neg"), "kernel_constraint"),
        (lambda: keras.layers.Dense(3, lora_rank=2), "LoRA"),
    ],
)
def test_refusals(layer, message):
    with pytest.raises(ValueError, match=message):
        WeightNormalization(layer())
