"""How gradients vanish, explode and keep to the LSTM's highway: lecture 3 as a picture and a table.

    python -m benchmarks.gradients_over_time

Untrained networks read noise, 200 steps of 4 numbers, and the length of the gradient of the last output is measured at
each step; recurrent networks have 32 units. Left, the noise is so small that tanh bends nothing, and the gradient goes
by the powers of the recurrent matrix U: all eigenvalues of an orthogonal one have magnitude 1. Right, noise of
deviation 1, which tanh bends: only an LSTM with an open forget gate and the TCN let the gradient through.
Writes docs/images/gradients_over_time.png and results/gradients_over_time.json.
"""

import argparse
import json
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
UNITS = 32
# Deviation of the noise -> networks and their labels.
PANELS = {
    1e-3: {
        "rnn_smaller": "tanh, U orthogonal x 0.8",
        "rnn_orthogonal": "tanh, U orthogonal",
        "rnn_larger": "tanh, U orthogonal x 1.3",
    },
    1.0: {
        "rnn_glorot": "tanh, U Glorot uniform",
        "rnn_orthogonal": "tanh, U orthogonal",
        "lstm": "LSTM, forget gate's bias 1",
        "lstm_open": "LSTM, forget gate's bias 5",
        "tcn": "TCN, 8 levels, kernel size 3",
    },
}
SCALES = {"rnn_smaller": 0.8, "rnn_larger": 1.3}


def main():
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "docs" / "images" / "gradients_over_time.png")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    arguments = parser.parse_args()
    import numpy as np
    from PIL import Image

    from tfdlcv.visualization.gradients_over_time import draw_gradients_over_time

    pictures, report = [], {"steps": arguments.steps, "seed": arguments.seed, "first_over_last": {}}
    for deviation, labels in PANELS.items():
        norms = {name: measure(name, deviation, arguments.steps, arguments.seed) for name in labels}
        pictures.append(draw_gradients_over_time({labels[name]: values for name, values in norms.items()}))
        for name, values in norms.items():
            ratio = float(values[0] / values[-1])
            report["first_over_last"][f"{name}, deviation {deviation:g}"] = ratio
            print(f"{labels[name]:30} noise {deviation:5g}: gradient at the first step / at the last {ratio:8.1e}")
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(pictures, axis=1)).save(arguments.picture)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "gradients_over_time.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(arguments.picture, path, sep="\n")


def measure(name: str, deviation: float, steps: int, seed: int):
    """Gradient norms (T,) of the network of that name, the first step first."""
    import numpy as np

    from tfdlcv.training.gradients_over_time import gradient_norms_over_time

    sequences = deviation * np.random.RandomState(seed).randn(16, steps, 4).astype("float32")
    return gradient_norms_over_time(build(name, steps, seed), sequences)


def build(name: str, steps: int, seed: int):
    """The untrained network of that name."""
    import keras

    from tfdlcv import models

    keras.utils.set_random_seed(seed)
    if name == "tcn":
        sizes = {"filters": UNITS, "kernel_size": 3, "levels": 8, "outputs": 1}
        return models.tcn((steps, 4), last_step_only=True, **sizes)
    cell = name.partition("_")[0]
    initializer = "glorot_uniform" if name == "rnn_glorot" else "orthogonal"
    network = models.recurrent(
        (steps, 4), cell=cell, units=UNITS, outputs=1, last_step_only=True, recurrent_initializer=initializer
    )
    layer = network.get_layer(f"{cell}0")
    weights = layer.get_weights()
    weights[1] = SCALES.get(name, 1.0) * weights[1]
    if name == "lstm_open":
        weights[2][UNITS : 2 * UNITS] = 5.0  # Keras has the forget gate second.
    layer.set_weights(weights)
    return network


if __name__ == "__main__":
    main()
