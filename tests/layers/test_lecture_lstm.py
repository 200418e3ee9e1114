"""The lecture's equations against Keras's LSTM."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers.lecture_lstm import LectureLSTMCell


@pytest.mark.parametrize("return_sequences", [True, False])
def test_equals_keras(return_sequences):
    x = tf.constant(np.random.RandomState(0).randn(3, 20, 5), tf.float32)
    lstm = keras.layers.LSTM(7, return_sequences=return_sequences, bias_initializer="random_normal")
    expected = lstm(x)
    cell = LectureLSTMCell(7)
    layer = keras.layers.RNN(cell, return_sequences=return_sequences)
    layer.build(x.shape)
    cell.assign_from_keras(lstm)
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-6)
    assert layer.count_params() == lstm.count_params() == 4 * (7 * (5 + 7) + 7)

    def input_gradient(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, x)

    np.testing.assert_allclose(input_gradient(layer), input_gradient(lstm), rtol=0, atol=1e-6)


def test_one_step_by_hand():
    cell = LectureLSTMCell(1)
    cell.build((1, 1))
    for gate, bias in {"forget": 0.0, "input": 0.0, "output": 0.0, "update": 100.0}.items():
        cell.input_weights[gate].assign([[0.0]])
        cell.hidden_weights[gate].assign([[0.0]])
        cell.biases[gate].assign([bias])
    h, (_, memory) = cell(np.zeros((1, 1), "float32"), [np.zeros((1, 1), "float32"), np.full((1, 1), 3.0, "float32")])
    assert float(memory[0, 0]) == pytest.approx(0.5 * 3.0 + 0.5)
    assert float(h[0, 0]) == pytest.approx(0.5 * np.tanh(2.0))


def test_config_and_bad_arguments():
    assert LectureLSTMCell.from_config(LectureLSTMCell(7, name="cell").get_config()).units == 7
    with pytest.raises(ValueError, match="units=0"):
        LectureLSTMCell(0)
