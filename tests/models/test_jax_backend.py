"""The networks give the same numbers on Keras's JAX backend, in a process that never imports TensorFlow."""

import importlib.util

import keras
import numpy as np
import pytest

from tests.jax_process import assert_same_numbers
from tfdlcv import layers, models

IMAGE_NETWORKS = {
    "resnet_preact": "models.resnet_cifar((12, 12, 3), num_classes=4, depth=8, block_order='full_preact')",
    "resnext": "models.resnext_cifar((8, 8, 3), num_classes=4, depth=11, cardinality=2, group_width=8)",
    "densenet": "models.densenet_cifar((8, 8, 3), num_classes=4, depth=10)",
    # Not 32 x 32: six values a channel in the last normalisations would blow up differences of rounding.
    "mobilenet": "models.mobilenet((64, 64, 3), num_classes=4, width=0.25)",
    "dncnn": "models.dncnn((9, 8, 3), depth=4, width=0.125)",
    "denoising_autoencoder": "models.denoising_autoencoder((9, 11, 3), levels=1, width=0.125, skips='add')",
    "mlp": "models.mlp((8, 8, 1), num_classes=4, hidden_units=(16,))",
    "lenet5": "models.lenet5(num_classes=4)",
    "resnet_projection": "models.resnet_cifar((12, 12, 3), num_classes=4, depth=8, shortcut='projection')",
    "fcn": "models.fcn((35, 32, 3), num_classes=2, width=1 / 64)",
    "unpooling_pyramid_resize": "(lambda x: keras.Model(x, layers.ResizeLike()([layers.AtrousSpatialPyramidPooling(4, "
    "rates=(2,))(layers.MaxUnpooling2D()([*layers.MaxPoolingWithIndices2D()(x), x])[:, ::2]), x])))("
    "keras.Input((9, 7, 3)))",
    "resnet_identity": "models.resnet_cifar((12, 12, 3), num_classes=4, depth=8, shortcut='identity')",
}
SEQUENCE_NETWORKS = {
    "tcn": "models.tcn((40, 3), filters=6, kernel_size=4, levels=3, outputs=2, last_step_only=False)",
    "tcn_last_step": "models.tcn((40, 3), filters=6, kernel_size=4, levels=3, outputs=2, last_step_only=True)",
    "rnn": "models.recurrent((12, 3), cell='rnn', units=5, outputs=2, last_step_only=False)",
    "lstm": "models.recurrent((12, 3), cell='lstm', units=5, outputs=2, last_step_only=True, layers=2)",
    "gru": "models.recurrent((12, 3), cell='gru', units=5, outputs=2, last_step_only=True)",
    "causal_videos": "keras.Sequential([keras.Input((5, 6, 6, 2)), layers.WeightNormalization("
    "layers.CausalConv3D(4, (3, 3, 3), strides=(2, 1, 1), time_padding='first'))])",
    "lecture_lstm": "keras.Sequential([keras.Input((12, 3)), keras.layers.RNN(layers.LectureLSTMCell(5))])",
}
SCRIPT = """
import functools
import sys
import jax
import keras
import numpy as np
from tfdlcv import layers, models
from tfdlcv.models.tcn_streaming import TcnStream

for name, code in {networks}.items():
    network = eval(code)
    arrays = np.load(f"{{sys.argv[1]}}/{{name}}.npz")
    network.set_weights([arrays[f"weight{{i}}"] for i in range(len(network.weights))])
    values = [[v.value for v in group] for group in (network.trainable_variables, network.non_trainable_variables)]
    for key, training in (("inference", False), ("training", True)):
        call = jax.jit(functools.partial(network.stateless_call, training=training))
        logits, statistics = call(*values, arrays["image"])
        np.testing.assert_allclose(logits, arrays[key], rtol=1e-4, atol=1e-4, err_msg=f"{{name}} {{key}}")
    for i, value in enumerate(statistics):
        expected = arrays[f"statistic{{i}}"]
        if expected.dtype.kind == "f":  # Not the states of random generators.
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=f"{{name}} {{i}}")
    if name == "tcn":
        stream = TcnStream(network)
        step, state, streamed = jax.jit(stream.step), stream.initial_state(len(arrays["image"])), []
        for start in range(0, 40, 7):
            outputs, state = step(arrays["image"][:, start : start + 7], state)
            streamed.append(outputs)
        np.testing.assert_allclose(np.concatenate(streamed, axis=1), arrays["inference"], rtol=0, atol=1e-5)
assert "tensorflow" not in sys.modules
print("same numbers")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax, of the dev extra, is not installed")
@pytest.mark.parametrize("networks", [IMAGE_NETWORKS, SEQUENCE_NETWORKS], ids=["images", "sequences"])
def test_networks_give_the_same_numbers(networks, tmp_path):
    keras.utils.set_random_seed(0)
    for name, code in networks.items():
        network = eval(code, {"keras": keras, "layers": layers, "models": models})
        image = np.random.default_rng(0).normal(size=(6, *network.input_shape[1:])).astype("float32")
        arrays = {f"weight{i}": weight for i, weight in enumerate(network.get_weights())}
        arrays |= {"image": image, "inference": network(image), "training": network(image, training=True)}
        arrays |= {f"statistic{i}": v.numpy() for i, v in enumerate(network.non_trainable_variables)}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert_same_numbers(SCRIPT.format(networks=networks), tmp_path)
