"""The exported step in a process that knows nothing of this package, and what the signatures refuse."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.models.recurrent import recurrent
from tfdlcv.training.export import export_saved_model
from tfdlcv.training.sequence_serving import sequence_serving

CLIENT = """
import json, sys
import numpy as np, tensorflow as tf
path, data, chunk = sys.argv[1:]
chunk = int(chunk)
model = tf.saved_model.load(path)
x = np.load(data)["x"]
state = model.signatures["initial_state"](batch_size=tf.constant(len(x)))
step, outputs = model.signatures["step"], []
for start in range(0, x.shape[1], chunk):
    answer = step(frames=tf.constant(x[:, start : start + chunk]), reset=tf.zeros(len(x), tf.bool), **state)
    state = {name: answer[name] for name in ("rows", "position")}
    outputs.append(answer["outputs"].numpy())
whole = model.signatures["serving_default"](sequence=tf.constant(x))["outputs"].numpy()
assert not any(name.startswith("tfdlcv") for name in sys.modules), "the client imported the package"
np.savez(data + ".out.npz", streamed=np.concatenate(outputs, axis=1), whole=whole)
"""


def network_of(**changes):
    keras.utils.set_random_seed(0)
    arguments = {"filters": 5, "kernel_size": 3, "levels": 3, "outputs": 2, "last_step_only": False, **changes}
    return models.tcn((None, 2), **arguments)


def plain(outputs):
    return {"outputs": outputs}


@pytest.mark.parametrize("chunk", [1, 7])
def test_a_fresh_process_streams_the_same_numbers(tmp_path, chunk):
    network = network_of()
    path = export_saved_model(tmp_path / "export", sequence_serving(network, describe=plain))
    x = np.random.RandomState(0).randn(2, 30, 2).astype("float32")
    np.savez(tmp_path / "data.npz", x=x)
    subprocess.run(
        [sys.executable, "-c", CLIENT, str(path), str(tmp_path / "data.npz"), str(chunk)], check=True, cwd=tmp_path
    )
    answer = np.load(tmp_path / "data.npz.out.npz")
    np.testing.assert_allclose(answer["whole"], network(x), rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer["streamed"], network(x), rtol=0, atol=1e-5)


def test_recurrent_networks_have_no_step():
    network = recurrent((5, 2), cell="gru", units=3, outputs=2, last_step_only=True)
    assert [*sequence_serving(network, describe=plain).signatures] == ["serving_default"]


def test_reset_and_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = network_of(last_step_only=True)
    finally:
        keras.config.set_dtype_policy("float32")
    serving = sequence_serving(network, describe=plain)
    x = np.random.RandomState(0).randn(1, 9, 2).astype("float32")
    state = serving.signatures["initial_state"](tf.constant(1))
    first = serving.signatures["step"](frames=x, reset=[False], **state)
    again = {name: first[name] for name in state}
    second = serving.signatures["step"](frames=x, reset=[True], **again)
    np.testing.assert_array_equal(first["outputs"], second["outputs"])
    np.testing.assert_allclose(second["outputs"][:, -1], network(x), atol=2e-2)  # The stream is float32.


def test_refusals():
    serving = sequence_serving(network_of(), describe=plain)
    state = serving.signatures["initial_state"](tf.constant(2))
    step = serving.signatures["step"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 1 step; its shape is.*0 2"):
        step(frames=np.zeros((2, 0, 2), "float32"), reset=[False] * 2, **state)
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many sequences; they are of.*3.*2"):
        step(frames=np.zeros((3, 1, 2), "float32"), reset=[False] * 2, **state)
    with pytest.raises((TypeError, ValueError), match="27"):
        step(frames=np.zeros((2, 1, 2), "float32"), reset=[False] * 2, **{**state, "rows": np.zeros((2, 27, 5), "f")})


def test_tokens_outside_the_vocabulary():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    network = keras.Model(tokens, network_of()(keras.layers.Embedding(7, 2)(tokens)))
    serving = sequence_serving(network, describe=plain, vocabulary_size=7)
    assert serving.signatures["serving_default"](tokens=[[0, 6]])["outputs"].shape == (1, 2, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"tokens must be in \[0, 7\); received.*9"):
        serving.signatures["serving_default"](tokens=[[0, 9]])
