"""The network: published sizes, causality, receptive field by gradients, and the thinned form of the last step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models

LINEAR = {"activation": "linear", "initializer": "ones", "weight_normalization": False}


def noise(*shape):
    return np.random.RandomState(0).randn(*shape).astype("float32")


@pytest.mark.parametrize(
    ("channels", "filters", "kernel_size", "levels", "outputs", "last", "parameters"),
    [
        (1, 25, 7, 8, 10, True, 66_910),  # Sequential MNIST
        (2, 24, 8, 8, 1, True, 70_369),  # Adding problem, T = 600
        (2, 27, 6, 7, 1, True, 58_051),  # Adding problem, T = 200
        (2, 27, 7, 7, 1, True, 67_582),  # Adding problem, T = 400
        (1, 10, 8, 8, 10, False, 12_530),  # Copy memory, T = 1000
        (88, 150, 3, 2, 88, False, 269_938),  # JSB
        (88, 150, 6, 4, 88, False, 1_053_238),  # Nottingham
    ],
)
def test_parameters_of_the_published_networks(channels, filters, kernel_size, levels, outputs, last, parameters):
    network = models.tcn(
        (None, channels),
        filters=filters,
        kernel_size=kernel_size,
        levels=levels,
        outputs=outputs,
        last_step_only=last,
    )
    assert network.count_params() == parameters


def test_the_last_block_may_have_a_width_of_its_own():
    """Two blocks of 450 and the last of 100 channels, as in the authors' language model of characters."""
    sizes = {"kernel_size": 3, "levels": 3, "outputs": 49, "last_step_only": False}
    network = models.tcn((None, 100), filters=450, last_filters=100, **sizes)
    first = (3 * 100 * 450 + 2 * 450) + (3 * 450 * 450 + 2 * 450) + (100 * 450 + 450)
    second = 2 * (3 * 450 * 450 + 2 * 450)
    third = (3 * 450 * 100 + 2 * 100) + (3 * 100 * 100 + 2 * 100) + (450 * 100 + 100)
    assert network.count_params() == first + second + third + 100 * 49 + 49
    assert network.get_layer("block2").output.shape[-1] == 100


@pytest.mark.parametrize(
    ("kernel_size", "levels", "expected"), [(2, 3, 15), (3, 4, 61), (7, 4, 181), (1, 3, 1), (2, 1, 3)]
)
@pytest.mark.parametrize("last_step_only", [True, False])
def test_receptive_field_by_gradients(kernel_size, levels, expected, last_step_only):
    """Linear, with positive weights, so that nothing cancels and no ReLU is dead."""
    steps = expected + 5
    network = models.tcn(
        (steps, 1),
        filters=2,
        kernel_size=kernel_size,
        levels=levels,
        outputs=1,
        last_step_only=last_step_only,
        **LINEAR,
    )
    x = tf.ones((1, steps, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = network(x)
        last = y if last_step_only else y[:, -1]
    gradient = tape.gradient(last, x).numpy()[0, :, 0]
    assert models.receptive_field(kernel_size, levels) == expected
    assert (gradient[:5] == 0).all() and gradient[5] != 0


def test_a_later_step_changes_no_earlier_output():
    network = models.tcn((60, 3), filters=5, kernel_size=3, levels=3, outputs=2, last_step_only=False)
    x = noise(2, 60, 3)
    changed = x.copy()
    changed[:, 30:] += 1
    before, after = np.asarray(network(x)), np.asarray(network(changed))
    np.testing.assert_array_equal(before[:, :30], after[:, :30])
    assert (before[:, 30] != after[:, 30]).any()


def test_history_beyond_the_receptive_field_does_not_matter():
    keras.utils.set_random_seed(0)  # Of some draws, the path of the earliest step leads through dead ReLUs alone.
    network = models.tcn((None, 3), filters=5, kernel_size=3, levels=3, outputs=2, last_step_only=True)
    x = noise(2, 60, 3)
    short = x[:, -models.receptive_field(3, 3) :]
    changed = x.copy()
    changed[:, : -short.shape[1]] += 10
    np.testing.assert_allclose(network(x), network(changed), rtol=1e-5, atol=1e-6)
    changed[:, -short.shape[1]] += 10
    assert np.abs(np.asarray(network(x)) - np.asarray(network(changed))).max() > 1e-4


@pytest.mark.parametrize("steps", [1, 2, 7, 64, 101])
@pytest.mark.parametrize("known", [True, False])
def test_the_thinned_form_equals_the_last_step_of_the_full_one(steps, known):
    arguments = {"filters": 6, "kernel_size": 4, "levels": 4, "outputs": 3}
    full = models.tcn((None, 2), last_step_only=False, **arguments)
    thinned = models.tcn((steps if known else None, 2), last_step_only=True, **arguments)
    thinned.set_weights(full.get_weights())
    x = noise(3, steps, 2)
    np.testing.assert_allclose(thinned(x), full(x)[:, -1], rtol=1e-5, atol=1e-5)

    def gradients(network, select):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(select(network(x)) ** 2)
        return tape.gradient(loss, [v.value for v in network.trainable_variables])

    expected = gradients(full, lambda y: y[:, -1])
    for actual, wanted in zip(gradients(thinned, lambda y: y), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-4)


def test_initializers():
    def kernels(initializer):
        network = models.tcn(
            (9, 8), filters=8, kernel_size=4, levels=2, outputs=2, last_step_only=False, initializer=initializer
        )
        return [v.numpy() for v in network.trainable_variables if v.name == "kernel" and len(v.shape) == 3]

    for drawn in kernels("released"):
        assert drawn.max() <= 32**-0.5 and drawn.std() == pytest.approx((3 * 32) ** -0.5, rel=0.1)
    for drawn in kernels("paper"):
        assert drawn.std() == pytest.approx(0.01, rel=0.1)
    for initializer in ("released", keras.initializers.HeNormal()):
        first, *others = kernels(initializer)
        assert all((first != other).any() for other in others)


def test_runs_on_other_backends_shapes_and_precisions():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = models.tcn((20, 2), filters=4, kernel_size=3, levels=3, outputs=2, last_step_only=True, dropout=0.1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network(noise(2, 20, 2)).dtype == "float32"
    assert network.get_layer("block1").compute_dtype == "bfloat16"


def test_reload(tmp_path):
    network = models.tcn((20, 2), filters=4, kernel_size=3, levels=3, outputs=2, last_step_only=True)
    network.save(tmp_path / "tcn.keras")
    x = noise(2, 20, 2)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "tcn.keras")(x), network(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size must be an integer of at least 1. Received: kernel_size=0"),
        ({"levels": 0}, "levels must be an integer of at least 1. Received: levels=0"),
        ({"filters": -1}, "filters=-1"),
        ({"outputs": 0}, "outputs=0"),
        ({"last_filters": 0}, "last_filters=0"),
        ({"dropout": 1.5}, "dropout=1.5"),
        ({"input_shape": (0, 1)}, "at least 1 step. Received: input_shape=\\(0, 1\\)"),
        ({"input_shape": (5,)}, "input_shape=\\(5,\\)"),
        ({"input_shape": (5, None)}, "input_shape=\\(5, None\\)"),
    ],
)
def test_bad_arguments(arguments, message):
    defaults = {"input_shape": (9, 1), "filters": 4, "kernel_size": 2, "levels": 2, "outputs": 1}
    with pytest.raises(ValueError, match=message):
        models.tcn(**{**defaults, "last_step_only": True, **arguments})


@pytest.mark.parametrize("last_step_only", [True, False])
def test_a_sequence_without_a_step(last_step_only):
    network = models.tcn((None, 2), filters=3, kernel_size=2, levels=2, outputs=1, last_step_only=last_step_only)
    with pytest.raises(ValueError, match="at least 1 step. Received: input shape \\(4, 0, 2\\)"):
        network(np.zeros((4, 0, 2), "float32"))


def test_bad_receptive_field():
    with pytest.raises(ValueError, match="kernel_size=0"):
        models.receptive_field(0, 3)
