import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses import (
    HypersphericalJointLoss,
    HypersphericalPrototypeLoss,
    HypersphericalRegressionLoss,
    MaximumSeparationLoss,
    batch_mean,
)
from tfdlcv.ops import prototypes

AXES = np.eye(2)


def value_and_gradient(loss, y_true, embeddings):
    """-> losses (B,), gradient of each with respect to its embedding (B, d)."""
    z = tf.constant(embeddings, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        losses = loss.call(y_true, z)
    return losses.numpy(), tape.gradient(losses, z).numpy()


def test_classification_by_hand():
    losses, gradient = value_and_gradient(HypersphericalPrototypeLoss(AXES), [0], [[3.0, 4.0]])
    assert losses[0] == pytest.approx(0.16, rel=1e-6)
    np.testing.assert_allclose(gradient, [[-0.1024, 0.0768]], rtol=1e-5)


def test_gradient_is_that_of_finite_differences_orthogonal_to_z_and_shrinks_with_its_length():
    generator = np.random.default_rng(0)
    points = prototypes.separate(7, 6)
    loss = HypersphericalPrototypeLoss(points)
    z, labels = generator.standard_normal((5, 6)), generator.integers(0, 7, 5)
    _, gradient = value_and_gradient(loss, labels, z)
    np.testing.assert_allclose(np.sum(gradient * z, axis=1), 0, atol=1e-6)

    def exact(z):
        cosine = np.sum(z * points[labels], axis=1) / np.linalg.norm(z, axis=1)
        return (1 - cosine) ** 2

    for i in range(6):
        step = 1e-6 * np.eye(6)[i]
        difference = (exact(z + step) - exact(z - step)) / 2e-6
        np.testing.assert_allclose(gradient[:, i], difference, atol=1e-5)
    _, ten_times_longer = value_and_gradient(loss, labels, 10 * z)
    np.testing.assert_allclose(ten_times_longer, gradient / 10, rtol=1e-4, atol=1e-7)


def test_opposite_obtuse_and_zero_embeddings():
    losses, gradient = value_and_gradient(
        HypersphericalPrototypeLoss(AXES), [0, 0, 0], [[-2.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]
    )
    assert losses[0] == pytest.approx(4)
    np.testing.assert_allclose(gradient[0], 0, atol=1e-6)
    assert losses[1] == pytest.approx((1 + np.sqrt(0.5)) ** 2) and losses[1] > 1  # With |cos| it would be 0.09.
    assert losses[2] == 1
    assert np.isfinite(gradient[2]).all() and np.linalg.norm(gradient[2]) <= 2001


def test_regression_by_hand():
    loss = HypersphericalRegressionLoss([1, 0], 1000, 1932)
    years = [1000.0, 1932.0, 1466.0, 1466.0]
    losses, gradient = value_and_gradient(loss, years, [[-5.0, 0.0], [0.1, 0.0], [0.0, -3.0], [3.0, 4.0]])
    np.testing.assert_allclose(losses, [0, 0, 0, 0.36], atol=1e-6)
    np.testing.assert_allclose(gradient[3], 2 * 0.6 * np.array([1 / 5 - 0.6 * 3 / 25, -0.6 * 4 / 25]), rtol=1e-5)


def test_values_outside_the_range_are_refused_or_clipped():
    strict, clipped = (HypersphericalRegressionLoss([1, 0], 0, 10, clip=clip) for clip in (False, True))
    embeddings = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    for value in (15.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"values must be in \[0, 10\], or clip be on. Received: {value:g}"):
            strict(tf.constant([5.0, value]), embeddings)
    for jit_compile in (False, True):
        compute = tf.function(strict.call, jit_compile=jit_compile, autograph=False)
        losses = compute(tf.constant([15.0, 5.0]), embeddings).numpy()
        assert np.isnan(losses[0]) and losses[1] == pytest.approx(0, abs=1e-6)
    assert clipped.call([15.0], embeddings[:1]).numpy() == pytest.approx(0)
    assert clipped.call([-3.0], embeddings[:1]).numpy() == pytest.approx(4)


@pytest.mark.parametrize("lower, upper", [(0.1, 0.7), (1000, 1932), (-1e-3, 1e6), (1 / 3, 2 / 3)])
def test_the_ends_of_the_range_belong_to_it(lower, upper):
    loss = HypersphericalRegressionLoss([1, 0], lower, upper)
    ends = loss.call(tf.constant([lower, upper], tf.float32), tf.constant([[-2.0, 0.0], [2.0, 0.0]]))
    np.testing.assert_allclose(ends, 0, atol=1e-6)


def test_joint_loss_is_zero_where_class_and_value_are_both_right():
    loss = HypersphericalJointLoss(AXES, 0, 180, weight=0.25)
    # Value 135 has cosine 0.5 to the first axis; the rest of the embedding points at class 1.
    right, wrong_class = [0.5, 0.0, np.sqrt(0.75)], [0.5, np.sqrt(0.75), 0.0]
    truth = {"label": tf.constant([1, 1]), "value": tf.constant([135.0, 135.0])}
    losses = loss.call(truth, 3 * tf.constant([right, wrong_class], tf.float32))
    np.testing.assert_allclose(losses, [0, 0.25], atol=1e-6)
    parts = loss.parts(truth, tf.constant([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]]))
    np.testing.assert_allclose(parts["classification"], 0, atol=1e-6)
    np.testing.assert_allclose(parts["regression"], (0.5 - 1 / np.sqrt(5)) ** 2, rtol=1e-5)


def test_maximum_separation_is_the_cross_entropy_of_scaled_products():
    points = prototypes.simplex(3)
    z = np.array([[2.0, 1.0], [0.5, -3.0]], "float32")
    logits = 0.1 * z @ points.T
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[[0, 1], [2, 0]]
    np.testing.assert_allclose(MaximumSeparationLoss(points, scale=0.1).call([2, 0], z), expected, rtol=1e-5)


LOSSES = {
    "prototype": HypersphericalPrototypeLoss(prototypes.simplex(4)),
    "separation": MaximumSeparationLoss(prototypes.simplex(4), scale=0.5, name="other", reduction="sum"),
    "regression": HypersphericalRegressionLoss([0, 1, 0], -1.5, 2, clip=True),
    "joint": HypersphericalJointLoss(prototypes.simplex(4)[:, :3], -1.5, 2, weight=0.3, clip=True),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_config_round_trip(loss):
    text = json.dumps(keras.saving.serialize_keras_object(loss))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_at_an_embedding_of_zero_is_finite(name):
    dimensions = 4 if name == "joint" else 3
    truth = {"label": [1, 2], "value": [0.5, 1.0]}
    truth = truth if name == "joint" else truth["value" if name == "regression" else "label"]
    losses, gradient = value_and_gradient(LOSSES[name], truth, np.zeros((2, dimensions)))
    assert np.isfinite(losses).all() and np.isfinite(gradient).all()
    assert 0 < np.abs(gradient).max() <= 4000


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_float32_inside_half_precision(dtype):
    """Of embeddings about a degree off, in half precision, the loss is that of the embedding as it is, to float32."""
    angles = np.radians(np.linspace(0.5, 3, 200))
    embeddings = tf.cast(np.stack([np.cos(angles), np.sin(angles)], axis=1), dtype)
    losses = HypersphericalPrototypeLoss(AXES).call(np.zeros(200, "int32"), embeddings)
    assert losses.dtype == tf.float32
    exact = tf.cast(embeddings, tf.float64).numpy()
    expected = (1 - exact[:, 0] / np.linalg.norm(exact, axis=1)) ** 2
    np.testing.assert_allclose(losses, expected, atol=2e-7 * 4e-3)
    assert np.mean(losses) == pytest.approx(np.mean(expected), rel=0.01)


@pytest.mark.parametrize("label", [-1, 4, 100])
@pytest.mark.parametrize("loss", [LOSSES["prototype"], LOSSES["separation"]], ids=["prototype", "separation"])
def test_a_wrong_class_id_is_an_error(loss, label):
    with pytest.raises(ValueError, match=rf"class ids must be in 0\.\.3. Received: {label}"):
        loss(np.array([1, label]), np.ones((2, 3), "float32"))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("label", [-1, 4, 100])
def test_in_a_graph_a_wrong_class_id_is_nan_and_padding_hides_it(jit_compile, label):
    loss = LOSSES["prototype"]
    labels, embeddings = tf.constant([1, label]), tf.constant([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    compute = tf.function(loss.call, jit_compile=jit_compile, autograph=False)
    losses = compute(labels, embeddings).numpy()
    assert np.isfinite(losses[0]) and np.isnan(losses[1])
    assert float(batch_mean(losses, [True, False])) == losses[0]


@pytest.mark.parametrize("loss", [LOSSES["prototype"], LOSSES["separation"]], ids=["prototype", "separation"])
def test_same_global_gradient_on_one_device_and_two_replicas(loss):
    """Both for Keras, whose sum over replicas is the mean over the global batch, and for the Task's local means."""
    generator = np.random.default_rng(0)
    embeddings, labels = generator.standard_normal((8, 3)).astype("float32"), generator.integers(0, 4, 8)
    loss = type(loss)(loss.prototypes)
    whole = float(loss(labels, embeddings))
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.HierarchicalCopyAllReduce())

    def parts(array):
        halves = [tf.constant(array[:4]), tf.constant(array[4:])]
        return strategy.experimental_distribute_values_from_function(
            lambda context: halves[context.replica_id_in_sync_group]
        )

    @tf.function
    def run(function, labels, embeddings):
        return strategy.run(function, args=(labels, embeddings))

    keras_losses = run(loss, parts(labels), parts(embeddings))
    assert float(strategy.reduce("SUM", keras_losses, axis=None)) == pytest.approx(whole, rel=1e-6)
    means = run(lambda y, z: batch_mean(loss.call(y, z)), parts(labels), parts(embeddings))
    assert float(strategy.reduce("MEAN", means, axis=None)) == pytest.approx(whole, rel=1e-6)


def test_sum_over_the_batch_at_a_learning_rate_is_the_mean_at_it_times_the_batch():
    """The paper sums: its learning rate 0.01 at batch 128 is 1.28 here."""
    generator = np.random.default_rng(1)
    inputs, labels = generator.standard_normal((16, 5)).astype("float32"), generator.integers(0, 4, 16)
    weights = []
    for reduction, learning_rate in (("sum", 0.01), ("sum_over_batch_size", 0.16)):
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        loss = HypersphericalPrototypeLoss(prototypes.simplex(4), reduction=reduction)
        network.compile(keras.optimizers.SGD(learning_rate, momentum=0.9), loss)
        network.fit(inputs, labels, batch_size=16, epochs=5, verbose=0)
        weights.append(network.get_weights())
    np.testing.assert_allclose(weights[0][0], weights[1][0], rtol=1e-5)


def test_keras_fit_learns_with_it():
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 256)
    inputs = np.eye(4)[labels] + 0.3 * generator.standard_normal((256, 4))
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    network.compile(keras.optimizers.SGD(0.5), LOSSES["prototype"])
    history = network.fit(inputs, labels, epochs=5, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: HypersphericalPrototypeLoss(2 * AXES), "prototypes must have norm 1. Received: norm 2 for class 0"),
        (lambda: HypersphericalPrototypeLoss(AXES[:1]), "num_classes must be at least 2"),
        (lambda: HypersphericalRegressionLoss([1, 1], 0, 1), "pole must be a vector .* norm=1.41421"),
        (lambda: HypersphericalRegressionLoss([1, 0], 3, 1), r"lower \(3\) must be less than upper \(1\)"),
        (lambda: HypersphericalJointLoss(AXES, 0, 1, weight=1.5), "weight must be in \\[0, 1\\]. Received: weight=1.5"),
        (lambda: MaximumSeparationLoss(AXES, scale=0), "scale must be above 0. Received: scale=0"),
        (
            lambda: LOSSES["prototype"].call([0], tf.zeros((1, 5))),
            "3 dimensions of the prototypes. Received: shape=\\(1, 5",
        ),
        (lambda: LOSSES["regression"].call([0.0], tf.zeros((1, 2))), "3 dimensions of the pole"),
        (
            lambda: LOSSES["joint"].call({"label": [0], "value": [0.0]}, tf.zeros((1, 3))),
            "4 dimensions of the prototypes and the axis of the values",
        ),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
