"""Each optimizer's first two updates against its formulas (Muon's: test_muon.py); decay, clipping, config faults.

The formulas are those of lecture 1 (SGD, momentum, AdaGrad, RMSProp, Adam) and lecture 5 (momentum with -learning_rate
inside the velocity), and of the papers for the others. Where Keras computes something else, the test says so, and
follows Keras. w is the weight, g1 and g2 are the gradients of the two updates.
"""

import json
import subprocess
import sys

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from tfdlcv.training import optimizers, weight_decay

START = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])
GRADIENTS = (
    np.array([[0.2, -0.4], [0.1, 0.3], [-0.6, 0.05]]),
    np.array([[-0.1, -0.2], [0.4, 0.3], [0.2, -0.5]]),
)
ADAPTER = pydantic.TypeAdapter(optimizers.OptimizerConfig)
OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "muon": keras.optimizers.Muon,
}


def build(name, **fields):
    config = parse(**{"name": name, "learning_rate": 0.1, **fields})
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


# Formulas


def test_sgd():
    g1, g2 = GRADIENTS
    assert_updates(build("sgd"), START - 0.1 * g1, START - 0.1 * g1 - 0.1 * g2)


def test_sgd_momentum():
    g1, g2 = GRADIENTS
    v1 = g1  # Lecture 1: v <- rho v + g, w <- w - alpha v.
    v2 = 0.9 * v1 + g2
    w1 = START - 0.1 * v1
    assert_updates(build("sgd", momentum=0.9), w1, w1 - 0.1 * v2)


def test_sgd_momentum_keeps_the_learning_rate_inside_the_velocity():
    """Lecture 5's form, Keras's too: it differs from lecture 1's in the first updates after the rate dropped."""
    g1, g2 = GRADIENTS
    step = {"name": "step", "peak": 0.1, "boundary_epochs": [0.1], "factor": 0.1}  # From update 1 on 0.01.
    d1 = -0.1 * g1
    d2 = 0.9 * d1 - 0.01 * g2
    lecture_1 = -0.01 * (0.9 * g1 + g2)
    assert np.abs(d2 - lecture_1).max() > 0.04
    assert_updates(build("sgd", momentum=0.9, learning_rate=step), START + d1, START + d1 + d2)


def test_sgd_nesterov():
    g1, g2 = GRADIENTS
    d1 = -0.1 * g1
    d2 = 0.9 * d1 - 0.1 * g2
    w1 = START + 0.9 * d1 - 0.1 * g1
    assert_updates(build("sgd", momentum=0.9, nesterov=True), w1, w1 + 0.9 * d2 - 0.1 * g2)


def test_sgd_nesterov_evaluates_the_gradient_at_the_point_looked_ahead_to():
    """Lecture 5: first the jump along the velocity, then the gradient there. Keras's variable is that point."""
    target, curvature = np.array([[1.0, -2.0]]), np.array([[0.5, 3.0]])
    w, velocity = np.zeros((1, 2)), np.zeros((1, 2))
    look_ahead = []
    for _ in range(3):
        gradient = curvature * (w + 0.9 * velocity - target)
        velocity = 0.9 * velocity - 0.1 * gradient
        w = w + velocity
        look_ahead.append(w + 0.9 * velocity)

    optimizer, variable = build("sgd", momentum=0.9, nesterov=True), keras.Variable(np.zeros((1, 2)), dtype="float32")
    optimizer.build([variable])
    for expected in look_ahead:
        optimizer.apply([curvature.astype("float32") * (variable.value - target.astype("float32"))])
        np.testing.assert_allclose(variable.value, expected, rtol=1e-5)


def test_adagrad():
    g1, g2 = GRADIENTS
    a1 = g1**2  # Lecture 1, epsilon under the root; Keras's default starts at 0.1, ours at 0.
    a2 = a1 + g2**2
    w1 = START - 0.1 * g1 / np.sqrt(a1 + 0.01)
    assert_updates(build("adagrad", epsilon=0.01), w1, w1 - 0.1 * g2 / np.sqrt(a2 + 0.01))


def test_adagrad_initial_accumulator():
    g1, g2 = GRADIENTS
    w1 = START - 0.1 * g1 / np.sqrt(0.1 + g1**2 + 1e-7)
    w2 = w1 - 0.1 * g2 / np.sqrt(0.1 + g1**2 + g2**2 + 1e-7)
    assert_updates(build("adagrad", initial_accumulator=0.1), w1, w2)


def test_adadelta():
    g1, g2 = GRADIENTS
    rho, epsilon = 0.95, 0.01
    a1 = (1 - rho) * g1**2  # Paper, algorithm 1: both accumulators start at 0.
    d1 = -np.sqrt(0 + epsilon) / np.sqrt(a1 + epsilon) * g1
    b1 = (1 - rho) * d1**2
    a2 = rho * a1 + (1 - rho) * g2**2
    d2 = -np.sqrt(b1 + epsilon) / np.sqrt(a2 + epsilon) * g2
    # The paper has no learning rate: 1.
    assert_updates(build("adadelta", learning_rate=1.0, epsilon=epsilon), START + d1, START + d1 + d2)
    assert_updates(build("adadelta", learning_rate=0.5, epsilon=epsilon), START + d1 / 2, START + d1 / 2 + d2 / 2)


def test_rmsprop():
    g1, g2 = GRADIENTS
    a1 = 0.1 * g1**2  # Lecture 1 with beta 0.9, epsilon under the root.
    a2 = 0.9 * a1 + 0.1 * g2**2
    w1 = START - 0.1 * g1 / np.sqrt(a1 + 0.01)
    assert_updates(build("rmsprop", epsilon=0.01), w1, w1 - 0.1 * g2 / np.sqrt(a2 + 0.01))


def test_rmsprop_momentum():
    g1, g2 = GRADIENTS
    a1 = 0.1 * g1**2
    a2 = 0.9 * a1 + 0.1 * g2**2
    v1 = 0.1 * g1 / np.sqrt(a1 + 0.01)
    v2 = 0.8 * v1 + 0.1 * g2 / np.sqrt(a2 + 0.01)
    assert_updates(build("rmsprop", momentum=0.8, epsilon=0.01), START - v1, START - v1 - v2)


def test_rmsprop_centered():
    g1, g2 = GRADIENTS
    a1, mean1 = 0.1 * g1**2, 0.1 * g1
    a2, mean2 = 0.9 * a1 + 0.1 * g2**2, 0.9 * mean1 + 0.1 * g2
    w1 = START - 0.1 * g1 / np.sqrt(a1 - mean1**2 + 0.01)
    w2 = w1 - 0.1 * g2 / np.sqrt(a2 - mean2**2 + 0.01)
    assert_updates(build("rmsprop", centered=True, epsilon=0.01), w1, w2)


def adam_steps(beta_1, beta_2, epsilon):
    """Directions of Adam's first two updates as in the paper, with Keras's epsilon: on the uncorrected root."""
    g1, g2 = GRADIENTS
    m1, v1 = (1 - beta_1) * g1, (1 - beta_2) * g1**2
    m2, v2 = beta_1 * m1 + (1 - beta_1) * g2, beta_2 * v1 + (1 - beta_2) * g2**2
    return [
        m / (1 - beta_1**t) / ((np.sqrt(v) + epsilon) / np.sqrt(1 - beta_2**t))
        for t, (m, v) in enumerate([(m1, v1), (m2, v2)], start=1)
    ]


def test_adam():
    r1, r2 = adam_steps(0.8, 0.99, 0.01)
    w1 = START - 0.1 * r1
    assert_updates(build("adam", beta_1=0.8, beta_2=0.99, epsilon=0.01), w1, w1 - 0.1 * r2)


def test_adam_epsilon_is_where_keras_puts_it():
    """Paper: m_hat / (sqrt(v_hat) + epsilon). Lecture 1: under the root. Keras: sqrt(v) + epsilon, then corrected."""
    g1 = GRADIENTS[0]
    epsilon = 0.01
    update = (START - weights_after(build("adam", epsilon=epsilon))[0]) / 0.1
    np.testing.assert_allclose(update, g1 / (np.abs(g1) + epsilon / np.sqrt(1 - 0.999)), rtol=1e-4)
    assert np.abs(update - g1 / (np.abs(g1) + epsilon)).max() > 0.1
    assert np.abs(update - g1 / np.sqrt(g1**2 + epsilon)).max() > 0.1


def test_adam_bias_correction_is_not_the_one_printed_in_lecture_1():
    """Lecture 1 divides by 1 - rho in every update. In update t it must be 1 - rho^t: equal at t = 1 only.

    Under a constant gradient 1 all weights must move by the learning rate in each update. As printed, the second one
    is ((1 - 0.81) / (1 - 0.9)) / sqrt((1 - 0.998001) / (1 - 0.999)) = 1.9 / 1.41386 = 1.34384 times as long.
    """
    ones = np.ones_like(START)
    w1, w2 = weights_after(build("adam"), gradients=(ones, ones))
    printed = []
    velocity, square = 0.0, 0.0
    for _ in range(2):
        velocity, square = 0.9 * velocity + 0.1, 0.999 * square + 0.001
        printed.append(velocity / (1 - 0.9) / np.sqrt(square / (1 - 0.999)))
    np.testing.assert_allclose(printed, [1.0, 1.34384], rtol=1e-5)
    np.testing.assert_allclose((START - w1) / 0.1, printed[0] * ones, rtol=1e-4)
    np.testing.assert_allclose((w1 - w2) / 0.1, ones, rtol=1e-4)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_amsgrad(name):
    """The largest second moment so far stays: with a gradient that becomes small, the second update shrinks."""
    gradients = (np.ones_like(START), 0.1 * np.ones_like(START))
    optimizer = build(name, amsgrad=True, beta_2=0.9, epsilon=1e-7, weight_decay=0.0)
    m1, v1 = 0.1, 0.1
    m2, v2 = 0.9 * m1 + 0.1 * 0.1, 0.9 * v1 + 0.1 * 0.01
    assert v2 < v1
    w1 = START - 0.1 * (m1 / (1 - 0.9)) / np.sqrt(v1 / (1 - 0.9))
    w2 = w1 - 0.1 * (m2 / (1 - 0.81)) / np.sqrt(v1 / (1 - 0.81))  # Keras: the larger, then the correction.
    assert_updates(optimizer, w1, w2, gradients=gradients)


def test_adamw():
    r1, r2 = adam_steps(0.9, 0.999, 1e-7)
    w1 = START * (1 - 0.1 * 0.2) - 0.1 * r1  # Paper, algorithm 2.
    w2 = w1 * (1 - 0.1 * 0.2) - 0.1 * r2
    assert_updates(build("adamw", weight_decay=0.2), w1, w2)


def test_adam_with_weight_decay_is_adamw():
    adam, adamw = (weights_after(build(name, weight_decay=0.2)) for name in ("adam", "adamw"))
    np.testing.assert_array_equal(adam, adamw)


def test_adamw_without_weight_decay_is_adam():
    adam, adamw = (weights_after(build(name, weight_decay=0.0)) for name in ("adam", "adamw"))
    np.testing.assert_array_equal(adam, adamw)


def lamb_direction(m, v, t, epsilon):
    return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)


def test_lamb():
    g1, g2 = GRADIENTS
    m1, v1 = 0.1 * g1, 0.001 * g1**2
    m2, v2 = 0.9 * m1 + 0.1 * g2, 0.999 * v1 + 0.001 * g2**2
    r1, r2 = lamb_direction(m1, v1, 1, 0.01), lamb_direction(m2, v2, 2, 0.01)  # epsilon as in the paper, unlike Adam.
    w1 = START - 0.1 * np.linalg.norm(START) / np.linalg.norm(r1) * r1
    w2 = w1 - 0.1 * np.linalg.norm(w1) / np.linalg.norm(r2) * r2
    assert_updates(build("lamb", epsilon=0.01), w1, w2)


def test_lamb_decays_outside_the_trust_ratio():
    """The paper scales r + weight_decay * w to the norm of w. Keras decays first and scales r alone."""
    g1 = GRADIENTS[0]
    decayed = START * (1 - 0.1 * 0.5)
    r = lamb_direction(0.1 * g1, 0.001 * g1**2, 1, 1e-7)
    keras_form = decayed - 0.1 * np.linalg.norm(decayed) / np.linalg.norm(r) * r
    s = r + 0.5 * START
    paper = START - 0.1 * np.linalg.norm(START) / np.linalg.norm(s) * s
    assert np.abs(keras_form - paper).max() > 0.01
    assert_updates(build("lamb", weight_decay=0.5), keras_form, gradients=GRADIENTS[:1])


def test_lamb_of_a_zero_variable_takes_the_plain_step():
    g1 = GRADIENTS[0]
    expected = -0.1 * lamb_direction(0.1 * g1, 0.001 * g1**2, 1, 1e-7)
    assert_updates(build("lamb"), expected, start=np.zeros_like(START), gradients=GRADIENTS[:1])


def test_lion():
    g1, g2 = GRADIENTS
    w1 = START - 0.1 * np.sign(0.1 * g1)  # Paper, algorithm 2.
    m1 = 0.01 * g1
    w2 = w1 - 0.1 * np.sign(0.9 * m1 + 0.1 * g2)
    assert_updates(build("lion"), w1, w2)


def test_lion_betas_have_their_own_parts():
    """beta_1 weighs the sign that is taken, beta_2 the momentum that is kept."""
    g1, g2 = GRADIENTS
    m1 = 0.5 * g1
    w1 = START - 0.1 * np.sign(g1)
    signs = np.sign(0.6 * m1 + 0.4 * g2)
    assert (signs != np.sign(0.9 * 0.01 * g1 + 0.1 * g2)).any()
    assert_updates(build("lion", beta_1=0.6, beta_2=0.5), w1, w1 - 0.1 * signs)


# Weight decay


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_touches_kernels_only(name):
    """With zero gradients nothing moves but by weight decay: the factor is 1 - learning_rate * weight_decay."""
    image = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.LayerNormalization(axis=(1, 2))(x)
    x = keras.layers.PReLU()(x)
    x = keras.layers.Reshape((-1, 4))(x)
    x = keras.layers.MultiHeadAttention(2, 3)(x, x)
    x = keras.layers.RMSNormalization()(x)
    x = keras.layers.GRU(3)(x)
    network = keras.Model(image, keras.layers.Dense(5)(x))
    for variable in network.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    optimizer = build(name, weight_decay=0.5)
    weight_decay.exclude_from_weight_decay(optimizer, network.trainable_variables)
    optimizer.build(network.trainable_variables)
    optimizer.apply([keras.ops.zeros_like(v) for v in network.trainable_variables])

    kinds = {v.name for v in network.trainable_variables}
    assert kinds == {"kernel", "recurrent_kernel", "bias", "gamma", "beta", "scale", "alpha"}
    for variable in network.trainable_variables:
        expected = 2.0 * (1 - 0.1 * 0.5) if variable.name in ("kernel", "recurrent_kernel") else 2.0
        np.testing.assert_allclose(variable.value, np.full(variable.shape, expected), rtol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize(
    "name, shape, decays",
    [
        ("kernel", (3, 3, 4, 8), True),
        ("embeddings", (10, 4), True),
        ("biased_kernel", (4, 4), True),  # Keras's search for the pattern "bias" would spare it.
        ("kernel", (4,), False),
        ("temperature", (), False),
        ("relative_position_bias", (9, 3), False),
        ("bias", (2, 12), False),
    ],
)
def test_takes_weight_decay(name, shape, decays):
    assert weight_decay.takes_weight_decay(keras.Variable(np.zeros(shape), name=name)) is decays


def test_exclusion_after_build_is_refused():
    optimizer, variable = build("sgd", weight_decay=0.1), keras.Variable(np.ones(3), name="bias")
    optimizer.build([variable])
    with pytest.raises(ValueError, match=r"must be called before the optimizer is built\. Received: sgd"):
        weight_decay.exclude_from_weight_decay(optimizer, [variable])


def test_exclusion_reaches_into_a_loss_scale_optimizer():
    optimizer = keras.optimizers.LossScaleOptimizer(build("sgd", weight_decay=0.5))
    kernel, bias = keras.Variable(np.ones((2, 2)), name="kernel"), keras.Variable(np.ones(2), name="bias")
    weight_decay.exclude_from_weight_decay(optimizer, [kernel, bias])
    optimizer.build([kernel, bias])
    optimizer.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)])
    np.testing.assert_allclose(kernel.value, 0.95 * np.ones((2, 2)))
    np.testing.assert_array_equal(bias.value, np.ones(2))


def test_weight_decay_follows_the_schedule():
    """The second update has a tenth of the rate, and so a tenth of the decay."""
    step = {"name": "step", "peak": 0.1, "boundary_epochs": [0.1], "factor": 0.1}
    optimizer = build("sgd", learning_rate=step, weight_decay=0.5)
    zeros = np.zeros_like(START)
    assert_updates(optimizer, START * 0.95, START * 0.95 * 0.995, gradients=(zeros, zeros))


def test_decay_of_a_momentum_recipe_with_the_decay_in_the_gradient_translates_by_one_minus_momentum():
    """What the module's docstring says: coupled 1e-2 with momentum 0.9 is decoupled 1e-1."""
    coupled, velocity = START, np.zeros_like(START)
    for _ in range(200):
        velocity = 0.9 * velocity + 0.01 * coupled
        coupled = coupled - 0.01 * velocity
    optimizer = build("sgd", momentum=0.9, learning_rate=0.01, weight_decay=0.01 / (1 - 0.9))
    decoupled = weights_after(optimizer, gradients=[np.zeros_like(START)] * 200)[-1]
    np.testing.assert_allclose((START - decoupled) / START, (START - coupled) / START, rtol=0.06)
    assert ((START - coupled) / START > 0.15).all()


# Clipping


def clipped_step(**fields):
    """Step of plain SGD with rate 1 on two variables with gradients (3, 0) and (0, 4): together of norm 5."""
    optimizer = build("sgd", learning_rate=1.0, **fields)
    variables = [keras.Variable(np.zeros(2), dtype="float32"), keras.Variable(np.zeros(2), dtype="float32")]
    optimizer.build(variables)
    optimizer.apply([keras.ops.convert_to_tensor([3.0, 0.0]), keras.ops.convert_to_tensor([0.0, 4.0])])
    return [-np.asarray(variable) for variable in variables]


def test_clip_norm_scales_all_gradients_together():
    np.testing.assert_allclose(clipped_step(clip_norm=1.0), [[0.6, 0.0], [0.0, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(clipped_step(clip_norm=2.5), [[1.5, 0.0], [0.0, 2.0]], rtol=1e-6)


def test_clip_norm_leaves_smaller_gradients_alone():
    np.testing.assert_allclose(clipped_step(clip_norm=6.0), [[3.0, 0.0], [0.0, 4.0]], rtol=1e-6)


def test_clip_norm_of_zero_gradients():
    optimizer = build("sgd", clip_norm=1.0)
    zeros = np.zeros_like(START)
    assert_updates(optimizer, START, START, gradients=(zeros, zeros))


def test_clip_value():
    np.testing.assert_allclose(clipped_step(clip_value=3.5), [[3.0, 0.0], [0.0, 3.5]], rtol=1e-6)
    assert_updates(
        build("sgd", clip_value=0.25), START - 0.1 * np.clip(GRADIENTS[0], -0.25, 0.25), gradients=GRADIENTS[:1]
    )


def test_weight_decay_is_not_clipped():
    optimizer = build("sgd", clip_norm=1e-6, weight_decay=0.5)
    assert_updates(optimizer, START * 0.95, gradients=GRADIENTS[:1])


# All together


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_the_named_one_and_lowers_a_loss(name):
    """Classification of two blobs with a small network, every common option in use."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    points = (rng.normal(size=(64, 2)) + 2.0 * labels[:, None] - 1.0).astype("float32")
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)])
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    peak = {"adadelta": 20.0, "sgd": 0.5, "muon": 0.1}.get(name, 0.02)
    learning_rate = {"name": "cosine", "peak": peak, "warmup_epochs": 0.5}
    optimizer = build(name, learning_rate=learning_rate, weight_decay=1e-3, clip_norm=5.0)
    assert isinstance(optimizer, OPTIMIZERS[name])
    weight_decay.exclude_from_weight_decay(optimizer, network.trainable_variables)
    losses = []
    for _ in range(16):
        with tf.GradientTape() as tape:
            loss = loss_of(labels, network(points))
        losses.append(float(loss))
        optimizer.apply(tape.gradient(loss, network.trainable_weights), network.trainable_weights)
    assert losses[-1] < 0.8 * losses[0]
    assert optimizer.iterations == 16


def test_learning_rate_can_be_read_at_any_time():
    constant = build("adam", learning_rate=0.25)
    assert float(constant.learning_rate) == 0.25
    constant.learning_rate = 0.125  # A callback may: a number stays in a variable.
    assert float(constant.learning_rate) == 0.125

    optimizer, variable = build("adam", learning_rate={"name": "cosine", "peak": 0.5}), keras.Variable([1.0])
    optimizer.build([variable])
    assert float(optimizer.learning_rate) == 0.5
    optimizer.iterations.assign(10)  # As a restored checkpoint does; 20 updates in all.
    np.testing.assert_allclose(float(optimizer.learning_rate), 0.25, rtol=1e-6)


MIRRORED = """
import keras, numpy as np, tensorflow as tf
from pydantic import TypeAdapter
from tfdlcv.training import optimizers, weight_decay

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
adapter = TypeAdapter(optimizers.OptimizerConfig)


def train(name, strategy):
    with strategy.scope():
        kernel = keras.Variable(np.arange(1.0, 9.0).reshape(2, 1, 2, 2), name="kernel", dtype="float32")
        bias = keras.Variable([1.0, 2.0], name="bias")
        rate = {"name": "polynomial", "peak": 0.1, "warmup_epochs": 1.0}
        fields = {"name": name, "learning_rate": rate, "weight_decay": 0.5}
        optimizer = optimizers.build_optimizer(adapter.validate_python(fields), steps_per_epoch=2, epochs=3)
        weight_decay.exclude_from_weight_decay(optimizer, [kernel, bias])
        optimizer.build([kernel, bias])

    @tf.function
    def step():
        replicas = strategy.num_replicas_in_sync  # Keras sums over them.
        gradients = [tf.reshape(tf.range(-3.0, 5.0), (2, 1, 2, 2)) / replicas, tf.constant([1.0, -2.0]) / replicas]
        optimizer.apply(gradients, [kernel, bias])

    for _ in range(4):
        strategy.run(step)
    return np.array(kernel), np.array(bias)


for name in %s:
    one, two = train(name, tf.distribute.get_strategy()), train(name, mirrored)
    for expected, value in zip(one, two):
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)
print("same")
"""


def test_two_replicas_do_as_one():
    """With weight decay, exclusions and a schedule. In a process of its own, which alone can split the CPU."""
    result = subprocess.run(
        [sys.executable, "-c", MIRRORED % list(OPTIMIZERS)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip() == "same"


# Config


def parse(**fields):
    """A config from JSON, in which form config files are validated."""
    return ADAPTER.validate_json(json.dumps(fields))


def faults(**fields):
    """[(last part of the path, message)] of a config's faults."""
    with pytest.raises(pydantic.ValidationError) as caught:
        parse(**fields)
    return [(error["loc"][-1] if error["loc"] else "", error["msg"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"name": "sgd", "nesterov": True}, "nesterov (true) needs momentum (0) to be greater than 0"),
        ({"name": "muon", "momentum": 0.0}, "nesterov (true) needs momentum (0) to be greater than 0"),
        ({"clip_norm": 1.0, "clip_value": 0.5}, "clip_norm (1) and clip_value (0.5) must not both be given"),
        (
            {"weight_decay": 4.0, "learning_rate": 0.25},
            "weight_decay (4) times learning_rate (0.25) must be less than 1: each update multiplies the weights by "
            "one minus this product",
        ),
        (
            {"weight_decay": 4.0, "learning_rate": {"name": "cosine", "peak": 0.5}},
            "weight_decay (4) times learning_rate (0.5) must be less than 1: each update multiplies the weights by "
            "one minus this product",
        ),
    ],
)
def test_fields_that_contradict_each_other(fields, message):
    [(_, text)] = faults(**{"name": "sgd", "learning_rate": 0.1, **fields})
    assert text == f"Value error, {message}"


@pytest.mark.parametrize(
    "fields, field, message",
    [
        ({"learning_rate": 0.0}, "peak", "greater than 0"),
        ({"learning_rate": -0.1}, "peak", "greater than 0"),
        ({"learning_rate": "0.1"}, "learning_rate", "must be a number > 0 or a section"),
        ({"learning_rate": {"name": "cosine"}}, "peak", "required"),
        ({"learning_rate": {"peak": 0.1}}, "learning_rate", "discriminator 'name'"),
        (
            {"learning_rate": {"name": "triangle", "peak": 0.1}},
            "learning_rate",
            "'constant', 'step', 'cosine', 'polynomial",
        ),
        ({"weight_decay": -1e-4}, "weight_decay", "greater than or equal to 0"),
        ({"clip_norm": 0.0}, "clip_norm", "greater than 0"),
        ({"clip_value": 0}, "clip_value", "greater than 0"),
        ({"momentum": 1.0}, "momentum", "less than 1"),
        ({"momentum": "0.9"}, "momentum", "valid number"),
        ({"nesterov": 1}, "nesterov", "valid boolean"),
        ({"lr": 0.1}, "lr", "Extra inputs"),
        ({"name": "adagrad", "initial_accumulator": -0.1}, "initial_accumulator", "greater than or equal to 0"),
        ({"name": "adadelta", "rho": 1.0}, "rho", "less than 1"),
        ({"name": "rmsprop", "epsilon": 0.0}, "epsilon", "greater than 0"),
        ({"name": "adam", "beta_1": 1.0}, "beta_1", "less than 1"),
        ({"name": "adam", "momentum": 0.9}, "momentum", "Extra inputs"),
        ({"name": "adamw"}, "weight_decay", "required"),
        ({"name": "lamb", "beta_2": 0.0}, "beta_2", "greater than 0"),
        ({"name": "lion", "epsilon": 1e-7}, "epsilon", "Extra inputs"),
        ({"name": "muon", "newton_schulz_steps": 0}, "newton_schulz_steps", "greater than or equal to 1"),
        ({"name": "muon", "adamw_layers": "logits"}, "adamw_layers", "valid"),
    ],
)
def test_one_fault_gives_one_message_at_its_field(fields, field, message):
    [(place, text)] = faults(**{"name": "sgd", "learning_rate": 0.1, **fields})
    assert place == field
    assert message in text


@pytest.mark.parametrize("field", ["weight_decay", "clip_norm", "clip_value", "learning_rate"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_must_be_finite(field, value):
    with pytest.raises(pydantic.ValidationError, match="finite number"):
        ADAPTER.validate_python({"name": "sgd", "learning_rate": 0.1, field: value})


def test_unknown_name_lists_the_optimizers():
    [(_, text)] = faults(name="adma", learning_rate=0.1)
    assert "'sgd', 'adagrad', 'adadelta', 'rmsprop', 'adam', 'adamw', 'lamb', 'lion', 'muon'" in text


@pytest.mark.parametrize(
    "learning_rate", [0.1, {"name": "step", "peak": 0.1, "boundary_fractions": [0.5], "factor": 0.1}]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_config_round_trips(name, learning_rate):
    config = parse(name=name, learning_rate=learning_rate, weight_decay=0.01, clip_norm=1.0)
    assert ADAPTER.validate_json(ADAPTER.dump_json(config)) == config
    assert next(iter(config.model_dump())) == "name"


def test_json_schema_offers_numbers_and_schedules():
    schema = ADAPTER.json_schema()
    assert {definition for definition in schema["$defs"] if definition.endswith("Config")} >= {
        "SGDConfig",
        "MuonConfig",
    }
    number, schedule = schema["$defs"]["SGDConfig"]["properties"]["learning_rate"]["anyOf"]
    assert number["type"] == "number"
    assert sorted(schedule["discriminator"]["mapping"]) == ["constant", "cosine", "exponential", "polynomial", "step"]


def test_check_epochs_reaches_the_schedule():
    config = parse(name="sgd", learning_rate={"name": "cosine", "peak": 0.1, "warmup_epochs": 2})
    optimizers.check_epochs(config, epochs=3)
    with pytest.raises(ValueError, match=r"warmup_epochs \(2\) must be less than trainer.epochs \(2\)"):
        optimizers.check_epochs(config, epochs=2)


def test_configs_need_no_keras():
    script = (
        "import sys; from pydantic import TypeAdapter; from tfdlcv.training import optimizers;"
        "config = TypeAdapter(optimizers.OptimizerConfig).validate_python("
        "{'name': 'sgd', 'learning_rate': {'name': 'cosine', 'peak': 0.1, 'warmup_epochs': 1.0}});"
        "optimizers.check_epochs(config, epochs=2);"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
