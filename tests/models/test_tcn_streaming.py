"""Streams against the whole sequence: chunks of any size, resets, long runs, and states of the wrong shape."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.models.tcn_streaming import TcnStream


def noise(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def network_of(last_step_only=False, **changes):
    arguments = {"filters": 6, "kernel_size": 4, "levels": 4, "outputs": 3, "dropout": 0.1, **changes}
    channels = arguments.pop("channels", 2)
    keras.utils.set_random_seed(0)
    network = models.tcn((None, channels), last_step_only=last_step_only, **arguments)
    for variable in network.trainable_variables:
        if variable.name in ("g", "bias"):
            variable.assign(variable + 0.3 * noise(*variable.shape))
    return network


def run(stream, x, chunk):
    step = tf.function(stream.step, autograph=False)
    state, outputs = stream.initial_state(len(x)), []
    for start in range(0, x.shape[1], chunk):
        y, state = step(tf.constant(x[:, start : start + chunk]), state)
        outputs.append(np.asarray(y))
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize("chunk", [1, 2, 7, 200])
@pytest.mark.parametrize(
    "changes", [{}, {"channels": 9}, {"kernel_size": 1}, {"weight_normalization": False}, {"last_filters": 8}]
)
def test_equals_the_whole_sequence(chunk, changes):
    """200 frames, past the receptive field of 91; inputs narrower and wider than the blocks."""
    network = network_of(**changes)
    x = noise(3, 200, changes.get("channels", 2))
    np.testing.assert_allclose(run(TcnStream(network), x, chunk), network(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_compiled_with_any_number_of_frames(chunk):
    network = network_of()
    stream = TcnStream(network)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(frames, state):
        return stream.step(frames, state)

    specs = (
        tf.TensorSpec((None, None, 2)),
        {"rows": tf.TensorSpec((None, stream.rows, stream.width)), "position": tf.TensorSpec((None,), tf.int32)},
    )
    concrete = step.get_concrete_function(*specs)
    x = noise(2, 100, 2)
    state, outputs = stream.initial_state(2), []
    for start in range(0, 100, chunk):
        y, state = concrete(tf.constant(x[:, start : start + chunk]), state)
        outputs.append(y.numpy())
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), network(x), rtol=0, atol=1e-5)


def test_a_network_of_the_last_step_streams_every_prefix():
    network = network_of(last_step_only=True)
    x = noise(2, 40, 2)
    outputs = run(TcnStream(network), x, 5)
    for steps in (1, 2, 17, 40):
        np.testing.assert_allclose(outputs[:, steps - 1], network(x[:, :steps]), rtol=0, atol=1e-5)


def test_each_sequence_resets_by_itself():
    network = network_of()
    stream, x = TcnStream(network), noise(3, 60, 2)
    _, state = stream.step(x[:, :23], stream.initial_state(3))
    second, _ = stream.step(x[:, 23:], state, reset=np.array([False, True, False]))
    whole = np.asarray(network(x))[:, 23:]
    anew = np.asarray(network(x[1:2, 23:]))
    np.testing.assert_allclose(np.asarray(second)[[0, 2]], whole[[0, 2]], rtol=0, atol=1e-5)
    np.testing.assert_allclose(second[1:2], anew, rtol=0, atol=1e-5)
    assert np.abs(anew - whole[1:2]).max() > 1e-2


def test_sequences_of_different_age_share_a_batch():
    network = network_of()
    stream, x = TcnStream(network), noise(2, 50, 2)
    _, old = stream.step(x[:1, :31], stream.initial_state(1))
    _, young = stream.step(x[1:, :4], stream.initial_state(1))
    state = {name: np.concatenate([old[name], young[name]]) for name in old}
    y, _ = stream.step(np.stack([x[0, 31:37], x[1, 4:10]]), state)
    whole = np.asarray(network(x))
    np.testing.assert_allclose(y, np.stack([whole[0, 31:37], whole[1, 4:10]]), rtol=0, atol=1e-5)


def test_the_position_stays_small_and_the_state_has_the_published_size():
    network = network_of(channels=6)
    stream = TcnStream(network)
    assert stream.rows * stream.width == 2 * 3 * (1 + 2 + 4 + 8) * 6  # 2 (k - 1) sum of d, C
    x = noise(1, 300, 6)
    state, outputs = stream.initial_state(1), []
    step = tf.function(stream.step, autograph=False)
    for start in range(0, 300, 5):
        y, state = step(tf.constant(x[:, start : start + 5]), state)
        outputs.append(np.asarray(y))
        assert int(state["position"][0]) < 2 * 24
        assert state["rows"].shape == (1, stream.rows, stream.width)
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), network(x), rtol=0, atol=1e-5)


def test_embeddings_and_models_inside_models():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(11, 5)(tokens)
    network = keras.Model(tokens, network_of(channels=5)(x))
    stream = TcnStream(network)
    ids = np.random.RandomState(0).randint(0, 11, (2, 30)).astype("int32")
    assert (stream.frame_shape, stream.frame_dtype) == ((), "int32")
    np.testing.assert_allclose(run(stream, ids, 4), network(ids), rtol=0, atol=1e-5)


def test_bad_frames_and_states():
    stream = TcnStream(network_of())
    state = stream.initial_state(2)
    with pytest.raises(ValueError, match=r"frames must be \(B, N, 2\). Received: \(2, 5, 3\)"):
        stream.step(noise(2, 5, 3), state)
    with pytest.raises(ValueError, match=r"at least 1 frame. Received: \(2, 0, 2\)"):
        stream.step(noise(2, 0, 2), state)
    with pytest.raises(ValueError, match=r"rows \(3, 90, 6\) and position \(3,\). Received: rows \(2, 90, 6\)"):
        stream.step(noise(3, 1, 2), state)
    with pytest.raises(ValueError, match=r"Received: rows \(2, 89, 6\)"):
        stream.step(noise(2, 1, 2), {**state, "rows": noise(2, 89, 6)})
    with pytest.raises(ValueError, match="batch_size=0"):
        stream.initial_state(0)


def test_bad_networks():
    x = keras.Input((None, 2))
    with pytest.raises(ValueError, match="needs a network with TemporalBlocks"):
        TcnStream(keras.Model(x, keras.layers.Dense(2)(x)))
    with pytest.raises(ValueError, match="treat each step by itself"):
        TcnStream(keras.Model(x, keras.layers.LSTM(2)(x)))
