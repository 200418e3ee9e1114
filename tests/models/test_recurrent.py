"""Recurrent networks: sizes, budgets, and what lecture 3 says of their gradients."""

import keras
import numpy as np
import pytest

from tfdlcv import models
from tfdlcv.models.recurrent import parameters_of_recurrent, recurrent, units_for_parameters
from tfdlcv.training.gradients_over_time import gradient_norms_over_time
from tfdlcv.visualization.gradients_over_time import draw_gradients_over_time


def noise(*shape):
    return np.random.RandomState(0).randn(*shape).astype("float32")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("last_step_only", [True, False])
def test_parameters_and_shapes(cell, layers, last_step_only):
    network = recurrent((None, 3), cell=cell, units=5, outputs=2, layers=layers, last_step_only=last_step_only)
    assert network.count_params() == parameters_of_recurrent(cell, units=5, inputs=3, outputs=2, layers=layers)
    assert network(noise(4, 6, 3)).shape == ((4, 2) if last_step_only else (4, 6, 2))


@pytest.mark.parametrize(("cell", "units"), [("lstm", 36), ("gru", 46), ("rnn", 100)])
def test_sizes_of_the_lecture_have_equal_budgets(cell, units):
    """Lecture 1, table 1: 36 LSTM, 46 GRU and 100 tanh units have some 20,000 parameters on music of 88 keys."""
    hidden = parameters_of_recurrent(cell, units=units, inputs=88, outputs=88) - (units + 1) * 88
    assert 17_000 < hidden < 21_000


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_units_come_nearest_to_a_budget(cell, layers):
    shape = {"inputs": 1, "outputs": 10, "layers": layers}
    units = units_for_parameters(cell, 66_910, **shape)
    distances = {
        u: abs(parameters_of_recurrent(cell, units=u, **shape) - 66_910) for u in (units - 1, units, units + 1)
    }
    assert min(distances, key=distances.get) == units
    assert distances[units] < 0.02 * 66_910


def test_gru_has_the_form_of_the_lecture():
    """h~ = tanh(W x + r * (U h)), h = z h + (1 - z) h~."""
    network = recurrent((None, 3), cell="gru", units=4, outputs=2, last_step_only=True)
    kernel, recurrent_kernel, biases = network.get_layer("gru0").get_weights()
    biases = noise(*biases.shape)
    network.get_layer("gru0").set_weights([kernel, recurrent_kernel, biases])
    x, h = noise(2, 5, 3), np.zeros((2, 4), "float32")

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    for t in range(5):
        xz, xr, xh = np.split(x[:, t] @ kernel + biases[0], 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent_kernel + biases[1], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    np.testing.assert_allclose(keras.Model(network.input, network.get_layer("gru0").output)(x), h, atol=1e-5)


def test_gradients_vanish_explode_and_keep_to_the_highway():
    """60 steps: U scaled down, U scaled up, orthogonal U, an LSTM whose forget gate is open, and a TCN."""
    x = 0.1 * noise(8, 60, 2)

    def norms(cell, scale=None):
        keras.utils.set_random_seed(0)
        network = recurrent((None, 2), cell=cell, units=16, outputs=1, last_step_only=True)
        layer = network.get_layer(f"{cell}0")
        weights = layer.get_weights()
        if cell == "rnn":
            weights[1] = weights[1] * scale
        else:
            weights[2][16:32] = 5.0
        layer.set_weights(weights)
        return gradient_norms_over_time(network, x if cell == "lstm" else 1e-3 * x)  # tanh stays linear.

    lines = {"vanishing": norms("rnn", 0.7), "exploding": norms("rnn", 1.2), "orthogonal": norms("rnn", 1.0)}
    assert lines["vanishing"][0] < 1e-7 * lines["vanishing"][-1]
    assert lines["exploding"][0] > 1e3 * lines["exploding"][-1]
    assert 0.2 < lines["orthogonal"][0] / lines["orthogonal"][-1] < 5
    lines["lstm"] = norms("lstm")
    assert lines["lstm"][0] > 0.05 * lines["lstm"][-1]
    tcn = models.tcn((60, 2), filters=8, kernel_size=5, levels=4, outputs=1, last_step_only=True)
    lines["tcn"] = gradient_norms_over_time(tcn, x)
    assert lines["tcn"].shape == (60,) and lines["tcn"][0] > 0
    picture = draw_gradients_over_time(lines)
    assert picture.shape == (400, 700, 3)


def test_gradient_norm_by_hand():
    """A recurrence of one unit without tanh's bend: d h_T / d x_t = w u^(T - t)."""
    network = recurrent((None, 1), cell="rnn", units=1, outputs=1, last_step_only=True)
    network.set_weights([np.array([[2.0]]), np.array([[0.5]]), np.zeros(1), np.array([[1.0]]), np.zeros(1)])
    norms = gradient_norms_over_time(network, np.zeros((1, 6, 1)))
    np.testing.assert_allclose(norms, 2.0 * 0.5 ** np.arange(5, -1, -1), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units=0"),
        ({"layers": 0}, "layers=0"),
        ({"cell": "elman"}, "cell='elman'"),
        ({"input_shape": (0, 1)}, "Received: input_shape=\\(0, 1\\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        recurrent(
            **{"input_shape": (5, 1), "cell": "rnn", "units": 2, "outputs": 1, "last_step_only": True} | arguments
        )


def test_a_budget_that_is_too_small():
    with pytest.raises(ValueError, match="parameters \\(50\\).*one unit has"):
        units_for_parameters("lstm", 50, inputs=88, outputs=88)
