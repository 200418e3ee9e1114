"""The networks give the same numbers on Keras's JAX backend, in a process that never imports TensorFlow."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfdlcv import models

NETWORKS = {
    "mlp": "models.mlp((8, 8, 1), num_classes=4, hidden_units=(16,))",
    "lenet5": "models.lenet5(num_classes=4)",
    "resnet_projection": "models.resnet_cifar((12, 12, 3), num_classes=4, depth=8, shortcut='projection')",
    "resnet_identity": "models.resnet_cifar((12, 12, 3), num_classes=4, depth=8, shortcut='identity')",
}
SCRIPT = """
import functools
import sys
import jax
import numpy as np
from tfdlcv import models

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
        np.testing.assert_allclose(value, arrays[f"statistic{{i}}"], rtol=1e-4, atol=1e-5, err_msg=f"{{name}} {{i}}")
assert "tensorflow" not in sys.modules
print("same numbers")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax, of the dev extra, is not installed")
def test_networks_give_the_same_numbers(tmp_path):
    keras.utils.set_random_seed(0)
    for name, code in NETWORKS.items():
        network = eval(code, {"models": models})
        image = np.random.default_rng(0).normal(size=(6, *network.input_shape[1:])).astype("float32")
        arrays = {f"weight{i}": weight for i, weight in enumerate(network.get_weights())}
        arrays |= {"image": image, "inference": network(image), "training": network(image, training=True)}
        arrays |= {f"statistic{i}": v.numpy() for i, v in enumerate(network.non_trainable_variables)}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    command = [sys.executable, "-c", SCRIPT.format(networks=NETWORKS), str(tmp_path)]
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert "same numbers" in done.stdout, done.stderr[-3000:]
