"""Atrous spatial pyramid pooling: what each branch sees, XLA, gradients, mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import AtrousSpatialPyramidPooling


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize_norms(layer):
    random = np.random.default_rng(0)
    for variable in layer.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1 and "seed" not in variable.name:
            variable.assign(random.normal(0, 0.3, variable.shape))


def by_hand(layer, x):
    """The branches with plain convolutions: a 3 x 3 kernel is nine shifted copies of the zero-padded maps."""

    def unit(place, values):
        norm = layer.norms[place]
        mean, variance, gamma, beta = (
            np.asarray(v) for v in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        return np.maximum((values - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta, 0)

    kernels = [np.asarray(convolution.kernel) for convolution in layer.convolutions]
    branches = [unit(0, x @ kernels[0][0, 0])]
    height, width = x.shape[1:3]
    for place, rate in enumerate(layer.rates, start=1):
        padded = np.pad(x, ((0, 0), (rate, rate), (rate, rate), (0, 0)))
        total = 0
        for i in range(3):
            for j in range(3):
                total = total + padded[:, i * rate :, j * rate :][:, :height, :width] @ kernels[place][i, j]
        branches.append(unit(place, total))
    if layer.image_pooling:
        mean = unit(len(branches), x.mean(axis=(1, 2), keepdims=True) @ kernels[-2][0, 0])
        branches.append(np.broadcast_to(mean, branches[0].shape))
    return unit(len(kernels) - 1, np.concatenate(branches, axis=-1) @ kernels[-1][0, 0])


@pytest.mark.parametrize("image_pooling", [True, False])
def test_by_hand(image_pooling):
    layer = AtrousSpatialPyramidPooling(4, rates=(1, 3), image_pooling=image_pooling)
    x = maps(2, 7, 9, 5)
    layer.build(x.shape)
    randomize_norms(layer)
    np.testing.assert_allclose(layer(x), by_hand(layer, x), rtol=1e-4, atol=1e-4)
    # Four weight tensors of each normalisation, one kernel without bias of each convolution.
    assert len(layer.weights) == 5 * (5 if image_pooling else 4)


@pytest.mark.parametrize(("rate", "degenerate"), [(6, True), (7, True), (5, False)])
def test_a_rate_as_large_as_the_maps_leaves_the_centre_of_a_kernel(rate, degenerate):
    layer = AtrousSpatialPyramidPooling(4, rates=(rate,), image_pooling=False)
    x = maps(1, 6, 6, 3)
    layer.build(x.shape)
    convolution = layer.convolutions[1]
    centre = x @ np.asarray(convolution.kernel)[1, 1]
    assert np.allclose(convolution(x), centre, rtol=0, atol=1e-6) == degenerate


def test_compiles_for_maps_of_any_size():
    inputs = keras.Input((None, None, 3))
    network = keras.Model(inputs, AtrousSpatialPyramidPooling(4, rates=(2,))(inputs))
    assert network.output_shape == (None, None, None, 4)
    compiled = tf.function(network, jit_compile=True)
    for size in ((5, 4), (3, 6)):
        x = maps(2, *size, 3)
        np.testing.assert_allclose(compiled(x), network(x), rtol=0, atol=1e-5)


def test_every_branch_has_a_gradient_and_training_updates_every_norm():
    layer = AtrousSpatialPyramidPooling(4, rates=(1, 2), dropout=0.5)
    x = maps(2, 5, 5, 3)
    layer.build(x.shape)
    before = [np.array(v) for v in layer.non_trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True) * maps(2, 5, 5, 4, seed=1))
    for variable, gradient in zip(
        layer.trainable_variables, tape.gradient(loss, layer.trainable_variables), strict=True
    ):
        assert np.abs(gradient).max() > 0, variable.path
    for old, variable in zip(before, layer.non_trainable_variables, strict=True):
        assert not np.array_equal(old, variable), variable.path


def test_dropout_is_for_training():
    layer = AtrousSpatialPyramidPooling(64, rates=(), dropout=0.5)
    x = maps(1, 4, 4, 3)
    zeros = np.mean(np.asarray(layer(x)) == 0)
    assert np.mean(np.asarray(layer(x, training=True)) == 0) > zeros + 0.1


def test_mixed_precision_reaches_the_branches():
    layer = AtrousSpatialPyramidPooling(4, rates=(2,), dtype="mixed_bfloat16")
    assert layer(maps(1, 4, 4, 3)).dtype == "bfloat16"
    assert {convolution.compute_dtype for convolution in layer.convolutions} == {"bfloat16"}
    assert {variable.dtype for variable in layer.trainable_variables} == {"float32"}


def test_saved_weights_come_back(tmp_path):
    inputs = keras.Input((4, 4, 3))
    network = keras.Model(inputs, AtrousSpatialPyramidPooling(4, rates=(2,))(inputs))
    randomize_norms(network)
    network.save(tmp_path / "network.keras")
    x = maps(1, 4, 4, 3)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "network.keras")(x), network(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters must be at least 1. Received: filters=0"),
        ({"rates": (6, 0)}, r"rates must be at least 1. Received: rates=\(6, 0\)"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\). Received: dropout=1.0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AtrousSpatialPyramidPooling(**arguments)
