"""Muon's first two updates against the formulas of its papers; which variables take them; the named layers."""

import json

import keras
import numpy as np
import pydantic
import pytest

from tfdlcv.training import optimizers, weight_decay

START = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])
GRADIENTS = (
    np.array([[0.2, -0.4], [0.1, 0.3], [-0.6, 0.05]]),
    np.array([[-0.1, -0.2], [0.4, 0.3], [0.2, -0.5]]),
)
ADAPTER = pydantic.TypeAdapter(optimizers.OptimizerConfig)


def build(name="muon", **fields):
    config = ADAPTER.validate_json(json.dumps({"name": name, "learning_rate": 0.1, **fields}))
    return optimizers.build_optimizer(config, steps_per_epoch=10, epochs=2)


def weights_after(optimizer, *, start=START, gradients=GRADIENTS, name="kernel"):
    """The value of one variable after each update, float64."""
    variable = keras.Variable(start, name=name, dtype="float32")
    weight_decay.exclude_from_weight_decay(optimizer, [variable])
    optimizer.build([variable])
    weights = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")])
        weights.append(np.asarray(variable, "float64"))
    return weights


def assert_updates(optimizer, *expected, **keywords):
    for weights, wanted in zip(weights_after(optimizer, **keywords), expected, strict=True):
        np.testing.assert_allclose(weights, wanted, rtol=2e-6, atol=2e-6)


def newton_schulz(matrix, steps=5):
    """Jordan et al. 2024: five steps of a quintic polynomial that takes the singular values near to 1."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
        polynomial = -4.7750 * gram + 2.0315 * gram @ gram
        x = 3.4445 * x + (polynomial @ x if x.shape[0] <= x.shape[1] else x @ polynomial)
    return x


def test_muon_of_a_matrix():
    g1, g2 = GRADIENTS
    m1 = g1
    m2 = 0.95 * m1 + g2
    scale = 0.2 * np.sqrt(3)  # 0.2 sqrt(larger side), Liu et al. 2025.
    w1 = START - 0.1 * scale * newton_schulz(g1 + 0.95 * m1)
    w2 = w1 - 0.1 * scale * newton_schulz(g2 + 0.95 * m2)
    assert_updates(build(), w1, w2)


def test_muon_without_nesterov_and_with_fewer_iterations():
    g1, g2 = GRADIENTS
    m2 = 0.8 * g1 + g2
    scale = 0.2 * np.sqrt(3)
    w1 = START - 0.1 * scale * newton_schulz(g1, 3)
    w2 = w1 - 0.1 * scale * newton_schulz(m2, 3)
    assert_updates(build(nesterov=False, momentum=0.8, newton_schulz_steps=3), w1, w2)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 4, 8), (2, 2, 2, 3, 5)])
def test_muon_of_a_convolution_kernel_is_that_of_its_matrix(shape):
    rng = np.random.default_rng(0)
    start, g1, g2 = rng.normal(size=(3, *shape))
    rows = int(np.prod(shape[:-1]))
    scale = 0.2 * np.sqrt(max(rows, shape[-1]))
    o1 = newton_schulz((g1 + 0.95 * g1).reshape(rows, shape[-1]))
    o2 = newton_schulz((g2 + 0.95 * (0.95 * g1 + g2)).reshape(rows, shape[-1]))
    singular_values = np.linalg.svd(o1, compute_uv=False)
    assert singular_values.min() > 0.6  # Near to orthonormal, as the authors say.
    assert singular_values.max() < 1.3
    w1 = start - 0.1 * scale * o1.reshape(shape)
    w2 = w1 - 0.1 * scale * o2.reshape(shape)
    assert_updates(build(), w1, w2, start=start, gradients=(g1, g2))


@pytest.mark.parametrize(
    "shape, name",
    [
        ((6,), "bias"),
        ((2, 12), "bias"),  # GRU.
        ((4, 6), "gamma"),  # LayerNormalization over two axes.
        ((6, 2, 3), "kernel"),  # Query of multi-head attention.
        ((3, 3, 4, 1), "kernel"),  # DepthwiseConv2D.
        ((1, 8), "kernel"),
    ],
)
def test_muon_updates_the_rest_by_adamw(shape, name):
    rng = np.random.default_rng(0)
    start, g1, g2 = rng.normal(size=(3, *shape))
    fields = {"learning_rate": 0.1, "weight_decay": 0.5, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.01}
    muon, adamw = (
        weights_after(build(optimizer, **fields), start=start, gradients=(g1, g2), name=name)
        for optimizer in ("muon", "adamw")
    )
    np.testing.assert_allclose(muon, adamw, rtol=1e-5)


def convolution_network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(4, 3, name="conv10")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(5, name="logits")(x))


def muon_paths(adamw_layers):
    network = convolution_network()
    optimizer = build(adamw_layers=adamw_layers)
    optimizer.build(network.trainable_variables)
    return {v.path for v in network.trainable_variables if not optimizer._should_use_adamw(v)}


def test_muon_takes_the_kernels_of_a_convolution_network_but_those_of_named_layers():
    assert muon_paths(()) == {"conv1/kernel", "conv10/kernel", "logits/kernel"}
    assert muon_paths(("conv1", "logits")) == {"conv10/kernel"}


def test_muon_leaves_embeddings_to_adamw():
    token = keras.Input((3,), dtype="int32")
    network = keras.Model(token, keras.layers.Dense(4, name="dense")(keras.layers.Embedding(9, 6)(token)))
    optimizer = build()
    optimizer.build(network.trainable_variables)
    assert [v.path for v in network.trainable_variables if not optimizer._should_use_adamw(v)] == ["dense/kernel"]


def test_muon_refuses_a_layer_that_is_not_there():
    network = convolution_network()
    optimizer = build(adamw_layers=("conv1", "head"))
    with pytest.raises(ValueError, match=r"Received: \['head'\], of which .* \['conv1', 'conv10', 'logits', 'norm'\]"):
        optimizer.build(network.trainable_variables)


def test_muon_round_trips():
    optimizer = build(adamw_layers=("logits",), momentum=0.8)
    config = keras.optimizers.serialize(optimizer)
    restored = keras.optimizers.deserialize(config)
    assert type(restored) is type(optimizer)
    assert keras.optimizers.serialize(restored) == config
