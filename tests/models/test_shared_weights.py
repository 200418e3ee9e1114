"""Layers that a network and that of a run have both."""

import keras
import numpy as np
import pytest

from tfdlcv.models import weights


def network_of(**units):
    """A dense layer for each name."""
    x = inputs = keras.Input((3,))
    for name, count in units.items():
        x = keras.layers.Dense(count, name=name)(x)
    return keras.Model(inputs, x)


@pytest.fixture
def run_dir(tmp_path):
    """Layers first (3, 4), second (4, 2) of ones, and averages of twos."""
    arrays = {
        "network/0000.first.kernel": np.ones((3, 4)), "network/0001.first.bias": np.ones(4),
        "network/0002.second.kernel": np.ones((4, 2)), "network/0003.second.bias": np.ones(2), "__meta__": np.array(0),
    }  # fmt: skip
    (tmp_path / "checkpoints").mkdir()
    np.savez(tmp_path / "checkpoints" / "best.npz", **arrays)
    return tmp_path


def test_layers_of_the_same_name_and_shapes_are_loaded(run_dir):
    network = network_of(first=4, second=5, third=2)
    before = [variable.numpy() for variable in network.get_layer("second").weights]
    assert weights.load_shared(network, run_dir) == ["first"]
    for variable in network.get_layer("first").weights:
        np.testing.assert_array_equal(variable, np.ones(variable.shape))
    for variable, value in zip(network.get_layer("second").weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_averages_come_before_weights(run_dir):
    path = run_dir / "checkpoints" / "best.npz"
    with np.load(path) as file:
        arrays = dict(file)
    own = [name for name in arrays if name.startswith("network/")]
    np.savez(path, **arrays, **{name.replace("network", "average"): 2 * arrays[name] for name in own})
    network = network_of(first=4)
    weights.load_shared(network, path)
    np.testing.assert_array_equal(network.get_layer("first").kernel, np.full((3, 4), 2))


def test_what_shares_nothing_or_is_no_run(run_dir, tmp_path):
    with pytest.raises(weights.WeightsError, match="has no layer that .* has, too. It has: first, second"):
        weights.load_shared(network_of(first=5), run_dir)
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(weights.WeightsError, match="other.npz is no checkpoint of a run"):
        weights.load_shared(network_of(first=4), tmp_path / "other.npz")
    with pytest.raises(weights.WeightsError, match="no such file"):
        weights.load_shared(network_of(first=4), tmp_path / "nowhere")


def test_layers_whose_names_a_checkpoint_shortens_are_told_apart_by_their_order(tmp_path):
    arrays = {f"network/{index:04d}.unit.{name}": np.full(shape, index) for index, (name, shape) in enumerate(
        [("kernel", (3, 4)), ("bias", (4,)), ("kernel", (4, 4)), ("bias", (4,))])}  # fmt: skip
    (tmp_path / "checkpoints").mkdir()
    np.savez(tmp_path / "checkpoints" / "best.npz", __meta__=np.array(0), **{k: v * 1.0 for k, v in arrays.items()})
    network = network_of(unit_0=4, unit_1=4)
    assert weights.load_pretrained(network, tmp_path) == ["unit_0", "unit_1"]
    for index, variable in enumerate(network.weights):
        np.testing.assert_array_equal(variable, np.full(variable.shape, index))
    with pytest.raises(weights.WeightsError):
        weights.load_pretrained(network_of(unit_0=5, unit_1=4), tmp_path)
