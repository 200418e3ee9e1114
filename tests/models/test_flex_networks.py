"""Networks for point clouds: parameter counts, invariants, other numbers of points, and a second backend."""

import functools
import importlib.util
import itertools

import keras
import numpy as np
import pytest

from tests.jax_process import assert_same_numbers
from tfdlcv import models
from tfdlcv.data.pyramid import PyramidSpec, build_pyramid

SPEC = PyramidSpec(neighbors=6, levels=3, ratio=4, upsampling_neighbors=3)
SMALL = {"features": 2, "filters": (8, 12, 16), "neighbors": 6}
NETWORKS = {
    "unet": lambda: models.flex_unet(5, **SMALL),
    "unet_nearest": lambda: models.flex_unet(5, **SMALL, upsampling="nearest", encoder_blocks=2, decoder_blocks=0),
    "classifier": lambda: models.flex_classifier(5, **SMALL, hidden_units=8),
    "pointnet_classifier": lambda: models.pointnet_classifier(5, features=2),
    "pointnet_segmenter": lambda: models.pointnet_segmenter(5, features=2),
}


def cloud(points=160, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(points, 3)).astype(np.float32), random.normal(size=(points, 2)).astype(np.float32)


def run(network, positions, features, pyramid, training=False):
    inputs = {"positions": positions, "features": features, **pyramid}
    return np.asarray(network({i.name: inputs[i.name][None] for i in network.inputs}, training=training))[0]


def pyramid_of(positions, seed=0):
    return build_pyramid(positions, SPEC, random=np.random.default_rng(seed))


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    keras.utils.set_random_seed(0)
    network = NETWORKS[request.param]()
    network.label = request.param
    # Statistics of a batch, so that normalisation does something.
    positions, features = cloud()
    for _ in range(3):
        run(network, positions, features, pyramid_of(positions), training=True)
    return network


def test_parameters_of_the_demonstration_network():
    assert models.flex_mnist3d().count_params() == 2_400_778  # Sheet, from the released code.
    # 4 inputs a weight (three coordinates and the bias), and a bias, for each of the nine convolutions.
    widths = [3, 64, 64, 128, 128, 192, 192, 256, 256]
    without_head = sum(4 * a * b + b for a, b in itertools.pairwise(widths))
    assert models.flex_mnist3d(head="max").count_params() == without_head + 256 * 512 + 512 + 512 * 10 + 10


def test_parameters_by_hand():
    # Dense without bias, and two of four values of normalisation: c f + 4 f. Flex: 4 c f + 4 f.
    network = models.flex_unet(5, features=2, filters=(8, 16), neighbors=6)
    down = (2 * 8 + 32) + (4 * 64 + 32) + (8 * 16 + 64) + (4 * 256 + 64)
    up = ((16 + 8) * 8 + 32) + (4 * 64 + 32)
    assert network.count_params() == down + up + 8 * 5 + 5
    sizes = {"features": 2, "filters": (8, 16), "blocks": 1, "neighbors": 6, "hidden_units": 7}
    stages = (4 * 2 * 8 + 32) + (4 * 64 + 32) + (4 * 8 * 16 + 64) + (4 * 256 + 64)
    assert models.flex_classifier(5, **sizes, summary_units=0).count_params() == stages + (2 * 16 * 7 + 28) + 7 * 5 + 5
    places = ((8 + 3) * 6 + 24) + ((16 + 3) * 6 + 24)
    network = models.flex_classifier(5, **sizes, summary_units=6)
    assert network.count_params() == stages + places + (2 * 2 * 6 * 7 + 28) + 7 * 5 + 5


def test_the_order_of_points_does_not_matter(network):
    positions, features = cloud()
    pyramid = pyramid_of(positions)
    order = np.random.default_rng(1).permutation(len(positions))
    number = np.argsort(order)
    shuffled = {
        "neighbors0": number[pyramid["neighbors0"]][order],
        "pool0": number[pyramid["pool0"]],
        "up0": pyramid["up0"][order],
    }
    expected = run(network, positions, features, pyramid)
    found = run(network, positions[order], features[order], {**pyramid, **shuffled})
    np.testing.assert_allclose(found, expected if expected.ndim == 1 else expected[order], rtol=1e-4, atol=1e-4)


def test_the_place_and_unit_of_a_cloud_do_not_matter_to_flex_networks(network):
    if network.label.startswith("pointnet"):
        pytest.skip("PointNet reads coordinates")
    positions, features = cloud()
    pyramid = pyramid_of(positions)
    expected = run(network, positions, features, pyramid)
    np.testing.assert_allclose(run(network, 1000 * positions, features, pyramid), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(run(network, positions + 8, features, pyramid), expected, rtol=1e-3, atol=1e-3)
    turned = positions[:, [1, 0, 2]]
    assert np.abs(run(network, turned, features, pyramid) - expected).max() > 1e-2, "shape says nothing"


def test_padded_neighbours_are_as_if_they_were_not_there():
    positions, features = cloud(100)
    pyramid = pyramid_of(positions)
    wide = models.flex_unet(5, **SMALL)
    narrow = models.flex_unet(5, **{**SMALL, "neighbors": 3})
    narrow.set_weights(wide.get_weights())
    first_three = {name: array[:, :3] for name, array in pyramid.items()}
    padded = {n: np.where(np.arange(a.shape[1]) < 3, a, -1) for n, a in pyramid.items() if not n.startswith("up")}
    expected = run(narrow, positions, features, first_three)
    np.testing.assert_allclose(run(wide, positions, features, {**pyramid, **padded}), expected, rtol=1e-4, atol=1e-5)


def test_any_number_of_points(network):
    for points in (65, 300):
        positions, features = cloud(points)
        logits = run(network, positions, features, pyramid_of(positions))
        assert logits.shape in ((5,), (points, 5)) and np.isfinite(logits).all()


def test_gradients_reach_every_weight(network):
    import tensorflow as tf

    examples = []
    for seed in range(3):
        positions, features = cloud(seed=seed)
        examples.append({"positions": positions, "features": features, **pyramid_of(positions)})
    inputs = {i.name: np.stack([example[i.name] for example in examples]) for i in network.inputs}
    with tf.GradientTape() as tape:
        logits = network(inputs, training=True)
        loss = tf.reduce_mean(logits[..., 0] - logits[..., 1] ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 1e-7, variable.path


@pytest.mark.parametrize(
    "build",
    [
        functools.partial(models.flex_unet, **SMALL),
        functools.partial(models.flex_classifier, **SMALL),
        functools.partial(models.pointnet_classifier, features=2),
        functools.partial(models.pointnet_segmenter, features=2),
    ],
)
def test_the_momentum_of_every_normalization(build):
    def momenta(network):
        return {layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)}

    assert momenta(build(3)) == {0.99} and momenta(build(3, batch_norm_momentum=0.5)) == {0.5}


def test_pointnet_reads_each_point_and_the_whole():
    """The sum of two layers is the layer of the paper, on a point's features with the cloud's beside them."""
    network = models.pointnet_segmenter(3, features=2)
    mixing = keras.Model(network.inputs, network.get_layer("mix_relu").output)
    local = keras.Model(network.inputs, network.get_layer("point1_relu").output)
    summary = keras.Model(network.inputs, network.get_layer("largest").output)
    positions, features = cloud(20)
    inputs = {"positions": positions[None], "features": features[None]}
    both = np.concatenate([np.asarray(local(inputs))[0], np.repeat(np.asarray(summary(inputs)), 20, axis=0)], axis=1)
    kernels = [network.get_layer(name).kernel for name in ("mix_points", "mix_cloud")]
    expected = both @ np.concatenate([np.asarray(kernel) for kernel in kernels])
    np.testing.assert_allclose(np.asarray(mixing(inputs))[0], np.maximum(expected, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.flex_unet(1, features=2), "num_classes must be at least 2. Received: num_classes=1"),
        (lambda: models.flex_unet(3, features=0), "features must be at least 1. Received: features=0"),
        (lambda: models.flex_unet(3, features=2, filters=()), r"for each level. Received: filters=\(\)"),
        (lambda: models.flex_unet(3, features=2, encoder_blocks=0), "encoder_blocks must be at least 1"),
        (lambda: models.flex_unet(3, features=2, neighbors=0), "neighbors must be at least 1"),
        (lambda: models.flex_classifier(3, features=2, filters=(8, 0)), r"for each stage. Received: filters=\(8, 0\)"),
        (lambda: models.flex_mnist3d(head="mean"), "head must be 'flex' or 'max'. Received: head='mean'"),
        (lambda: models.pointnet_classifier(0, features=2), "num_classes must be at least 2"),
        (lambda: models.pointnet_segmenter(3, features=2, points=0), "points must be None or at least 1"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


JAX_CLIENT = """
import functools
import sys
import jax
import numpy as np
from tfdlcv import models

network = models.flex_unet(5, features=2, filters=(8, 12, 16), neighbors=6)
arrays = np.load(sys.argv[1])
network.set_weights([arrays[f"weight{i}"] for i in range(len(network.weights))])
values = [[v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables)]
call = jax.jit(functools.partial(network.stateless_call, training=False))
logits, _ = call(*values, {tensor.name: arrays[tensor.name] for tensor in network.inputs})
np.testing.assert_allclose(logits, arrays["logits"], rtol=1e-4, atol=1e-4)
assert "tensorflow" not in sys.modules
print("same numbers")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax, of the dev extra, is not installed")
def test_jax_gives_the_same_numbers(tmp_path):
    network = NETWORKS["unet"]()
    positions, features = cloud()
    inputs = {"positions": positions, "features": features, **pyramid_of(positions)}
    inputs = {name: array[None] for name, array in inputs.items()}
    logits = np.asarray(network(inputs, training=False))
    weights = {f"weight{i}": weight for i, weight in enumerate(network.get_weights())}
    np.savez(tmp_path / "arrays.npz", logits=logits, **inputs, **weights)
    assert_same_numbers(JAX_CLIENT, tmp_path / "arrays.npz")
