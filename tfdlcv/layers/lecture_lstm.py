"""The LSTM cell as the lecture writes it, with a matrix and a bias for each gate.

Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, with the forget gate of Gers et al. 1999. Lecture 3:

    f_t = sigm(theta_xf x_t + theta_hf h_(t-1) + b_f)       forget gate
    i_t = sigm(theta_xi x_t + theta_hi h_(t-1) + b_i)       input gate
    o_t = sigm(theta_xo x_t + theta_ho h_(t-1) + b_o)       output gate
    g_t = tanh(theta_xg x_t + theta_hg h_(t-1) + b_g)       cell update
    C_t = f_t * C_(t-1) + i_t * g_t                         cell: the highway of the gradient
    h_t = o_t * tanh(C_t)                                   output

`keras.layers.LSTM` computes the same from matrices side by side in the order i, f, g, o, and faster.

Shapes: B sequences, T steps, D inputs, H units.
"""

import keras
from keras import ops

GATES = ("forget", "input", "output", "update")
_KERAS_ORDER = ("input", "forget", "update", "output")


@keras.saving.register_keras_serializable(package="tfdlcv")
class LectureLSTMCell(keras.layers.Layer):
    """One step of the LSTM, to be run over a sequence by `keras.layers.RNN`.

    Args:
        units: H, at least 1.

    Call arguments:
        inputs: (B, D) float, of one step.
        states: [h, C], each (B, H).

    Returns:
        h (B, H), and the new [h, C].
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units must be at least 1. Received: units={units}")
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        """Adds the twelve parameters; biases of the forget gate start at 1, as in Keras."""
        self.input_weights, self.hidden_weights, self.biases = {}, {}, {}
        for gate in GATES:
            letter = "g" if gate == "update" else gate[0]
            self.input_weights[gate] = self.add_weight(
                name=f"theta_x{letter}", shape=(input_shape[-1], self.units), initializer="glorot_uniform"
            )
            self.hidden_weights[gate] = self.add_weight(
                name=f"theta_h{letter}", shape=(self.units, self.units), initializer="orthogonal"
            )
            self.biases[gate] = self.add_weight(
                name=f"b_{letter}", shape=(self.units,), initializer="ones" if gate == "forget" else "zeros"
            )

    def call(self, inputs, states):
        """One step; see the class."""
        h, cell = states

        def linear(gate):
            return (
                ops.matmul(inputs, self.input_weights[gate])
                + ops.matmul(h, self.hidden_weights[gate])
                + self.biases[gate]
            )

        f, i, o = (ops.sigmoid(linear(gate)) for gate in ("forget", "input", "output"))
        cell = f * cell + i * ops.tanh(linear("update"))
        h = o * ops.tanh(cell)
        return h, [h, cell]

    def assign_from_keras(self, lstm: keras.layers.LSTM):
        """Takes over the weights of Keras's layer of as many inputs and units."""
        kernel, recurrent_kernel, bias = lstm.get_weights()
        for position, gate in enumerate(_KERAS_ORDER):
            columns = slice(position * self.units, (position + 1) * self.units)
            self.input_weights[gate].assign(kernel[:, columns])
            self.hidden_weights[gate].assign(recurrent_kernel[:, columns])
            self.biases[gate].assign(bias[columns])

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "units": self.units}
