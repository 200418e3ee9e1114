import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.layers import BatchNormalization


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def inputs(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def policy():
    """Sets the dtype policy for a test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("depth", "shortcut", "trainable", "moving_statistics"),
    [
        (20, "projection", 272_474, 1_568),
        (20, "identity", 269_722, 1_376),
        (32, "projection", 466_906, 2_464),
        (32, "identity", 464_154, 2_272),
        (44, "identity", 658_586, 3_168),
        (56, "projection", 855_770, 4_256),
        (56, "identity", 853_018, 4_064),
        (110, "identity", 1_727_962, 8_096),
    ],
)
def test_parameter_counts(depth, shortcut, trainable, moving_statistics):
    network = models.resnet_cifar(depth=depth, shortcut=shortcut)
    assert count(network.trainable_variables) == trainable
    assert count(network.non_trainable_variables) == moving_statistics
    assert network.name == f"resnet{depth}"
    weighted = [layer for layer in network.layers if "shortcut" not in layer.name and layer.name.endswith(("1", "2"))]
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in weighted) + 2 == depth  # And stem and logits.


@pytest.mark.parametrize(
    ("size", "sizes"),
    [((32, 32, 3), (32, 16, 8)), ((28, 28, 1), (28, 14, 7)), ((30, 17, 3), ((30, 17), (15, 9), (8, 5)))],
)
@pytest.mark.parametrize("shortcut", ["projection", "identity"])
def test_stage_shapes(size, sizes, shortcut):
    network = models.resnet_cifar(size, num_classes=7, shortcut=shortcut)
    shapes = [network.get_layer(f"stage{stage}_unit3_relu2").output.shape[1:] for stage in (1, 2, 3)]
    pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in sizes]
    assert shapes == [(*pair, filters) for pair, filters in zip(pairs, (16, 32, 64), strict=True)]
    assert network(inputs((2, *size))).shape == (2, 7)


def test_input_and_layers():
    network = models.resnet_cifar((None, None, 3))
    assert network.inputs[0].name == "image"
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == len(convolutions) == 21
    assert all(type(layer) is BatchNormalization for layer in norms)
    assert {(layer.momentum, layer.epsilon, layer.synchronized) for layer in norms} == {(0.9, 1e-5, False)}
    for shape in ((2, 32, 32, 3), (2, 40, 24, 3)):
        assert network(inputs(shape)).shape == (2, 10)


def test_batch_norm_arguments():
    network = models.resnet_cifar(
        depth=8, batch_norm_momentum=0.5, batch_norm_epsilon=1e-3, synchronized_batch_norm=True, name="tiny"
    )
    norms = [layer for layer in network.layers if isinstance(layer, BatchNormalization)]
    assert {(layer.momentum, layer.epsilon, layer.synchronized) for layer in norms} == {(0.5, 1e-3, True)}
    assert network.name == "tiny"


def test_convolutions_start_with_he_variance():
    keras.utils.set_random_seed(0)
    network = models.resnet_cifar()
    for name in ("stage2_unit2_conv1", "stage3_unit3_conv2"):
        kernel = network.get_layer(name).kernel.numpy()
        assert abs(kernel.var() / (2 / np.prod(kernel.shape[:3])) - 1) < 0.05


def test_unit_with_zero_residual_is_the_identity():
    network = models.resnet_cifar((None, None, 3), depth=14)
    unit = keras.Model(network.get_layer("stage2_unit1_relu2").output, network.get_layer("stage2_unit2_relu2").output)
    unit.get_layer("stage2_unit2_norm2").gamma.assign(np.zeros(32, "float32"))
    x = np.abs(inputs((2, 8, 8, 32)))  # Behind a ReLU.
    np.testing.assert_array_equal(unit(x), x)


def test_identity_shortcut_takes_every_second_pixel_and_adds_zero_channels():
    network = models.resnet_cifar((None, None, 3), depth=8, shortcut="identity")
    unit = keras.Model(network.get_layer("stage1_unit1_relu2").output, network.get_layer("stage2_unit1_relu2").output)
    unit.get_layer("stage2_unit1_norm2").gamma.assign(np.zeros(32, "float32"))
    x = np.abs(inputs((2, 9, 8, 16)))
    expected = np.concatenate([x[:, ::2, ::2], np.zeros((2, 5, 4, 16), "float32")], axis=-1)
    np.testing.assert_array_equal(unit(x), expected)


def test_strided_convolution_is_centred_on_even_pixels():
    network = models.resnet_cifar((None, None, 3), depth=8)
    convolution = keras.Model(
        network.get_layer("stage1_unit1_relu2").output, network.get_layer("stage2_unit1_conv1").output
    )
    kernel = inputs((3, 3, 16, 32))
    convolution.get_layer("stage2_unit1_conv1").kernel.assign(kernel)
    x = inputs((2, 8, 8, 16), seed=1)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(padded[:, i : i + 8 : 2, j : j + 8 : 2] @ kernel[i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(convolution(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_any_policy(name, policy):
    policy(name)
    networks = [models.resnet_cifar((8, 8, 3), depth=8), models.lenet5(), models.mlp()]
    for network in networks:
        assert network(inputs((2, *network.input_shape[1:]))).dtype == "float32"
    assert networks[0].get_layer("stem_conv").compute_dtype == name.removeprefix("mixed_")


def test_precisions_agree(policy):
    keras.utils.set_random_seed(0)
    network = models.resnet_cifar((16, 16, 3), depth=8)
    policy("mixed_bfloat16")
    mixed = models.resnet_cifar((16, 16, 3), depth=8)
    mixed.set_weights(network.get_weights())
    x = inputs((8, 16, 16, 3))
    expected = network(x, training=True).numpy()
    np.testing.assert_allclose(mixed(x, training=True), expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("shortcut", ["projection", "identity"])
def test_every_parameter_learns_and_the_model_reloads(shortcut, tmp_path):
    keras.utils.set_random_seed(0)
    network = models.resnet_cifar((8, 8, 3), num_classes=4, depth=8, shortcut=shortcut)
    x, labels = inputs((16, 8, 8, 3)), np.arange(16) % 4
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(
            keras.ops.sparse_categorical_crossentropy(labels, network(x, training=True), from_logits=True)
        )
    for variable, gradient in zip(
        network.trainable_variables, tape.gradient(loss, network.trainable_weights), strict=True
    ):
        assert np.abs(gradient).max() > 0, variable.path
    network.save(tmp_path / "network.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "network.keras")(x), network(x), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18}, "depth must be 6n \\+ 2 .* Received: depth=18"),
        ({"depth": 2}, "Received: depth=2"),
        ({"num_classes": 1}, "num_classes must be at least 2. Received: num_classes=1"),
        ({"input_shape": (32, 3, 3)}, r"too small: .* at least 4. Received: input_shape=\(32, 3, 3\)"),
        ({"shortcut": "conv"}, "'projection', 'identity'. Received: shortcut='conv'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.resnet_cifar(**arguments)
