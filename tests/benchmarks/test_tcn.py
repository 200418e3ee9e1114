"""The benchmark of temporal convolution: its contenders are the same network, and a short race writes its report."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from benchmarks import tcn, tcn_contenders

SMALL = tcn_contenders.Network(2, 40, 2, 4, 3, 3, 5, False)
SMALL_LAST = dataclasses.replace(SMALL, last_step_only=True, outputs=1)


def test_ratios_are_medians_of_the_rounds_ratios():
    # Medians 30 and 20 would give 1.5; the last round was slow for both sides.
    assert tcn.ratio([30.0, 4.0, 90.0], [10.0, 4.0, 60.0]) == 1.5


def test_the_published_sizes():
    parameters = {
        name: tcn_contenders.make_network("tcn", network).count_params()
        for name, network in tcn_contenders.NETWORKS.items()
    }
    assert parameters == {"copy_1000": 12_530, "adding_600": 70_369, "sequential_mnist": 66_910}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_contenders_have_as_many_parameters(cell):
    network = tcn_contenders.make_network(cell, tcn_contenders.NETWORKS["sequential_mnist"])
    assert network.count_params() == pytest.approx(66_910, rel=0.02)


def test_full_computes_what_tcn_does():
    thinned, full = (tcn_contenders.make_network(name, SMALL_LAST) for name in ("tcn", "full"))
    full.set_weights(thinned.get_weights())
    sequence, _ = tcn_contenders.random_batch(SMALL_LAST)
    np.testing.assert_allclose(full(sequence), thinned(sequence), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", [SMALL, SMALL_LAST])
def test_torch_network_is_the_same_network(network):
    torch = pytest.importorskip("torch", reason="torch, of the peers extra, is not installed")
    keras.utils.set_random_seed(0)
    ours, peer = tcn_contenders.make_network("tcn", network), tcn_contenders.torch_network(network)
    assert ours.count_params() == sum(parameter.numel() for parameter in peer.parameters())
    for level in range(network.levels):
        block, other = ours.get_layer(f"block{level}"), peer[level]
        pairs = list(zip(block.convolutions, (other.first, other.second), strict=True))
        for layer, convolution in pairs:
            weights = convolution.parametrizations.weight
            weights.original0.data = torch.tensor(np.asarray(layer.g)[:, None, None])
            weights.original1.data = torch.tensor(np.asarray(layer.layer.kernel).transpose(2, 1, 0).copy())
            convolution.bias.data = torch.tensor(np.asarray(layer.layer.bias))
        if block.shortcut is not None:
            other.shortcut.weight.data = torch.tensor(np.asarray(block.shortcut.kernel).T[:, :, None].copy())
            other.shortcut.bias.data = torch.tensor(np.asarray(block.shortcut.bias))
    kernel, bias = ours.get_layer("head").get_weights()
    peer[-1].weight.data, peer[-1].bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
    sequence, _ = tcn_contenders.random_batch(network)
    expected = peer(torch.tensor(sequence.transpose(0, 2, 1).copy())).detach().numpy()
    np.testing.assert_allclose(ours(sequence), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["torch", "keras_tcn", "tcn"])
@pytest.mark.parametrize("network", [SMALL, SMALL_LAST])
def test_contenders_train(name, network):
    pytest.importorskip({"torch": "torch", "keras_tcn": "tcn", "tcn": "tensorflow"}[name])
    makers = {
        "torch": lambda: tcn_contenders.make_torch(network, threads=1),
        "keras_tcn": lambda: tcn_contenders.make_keras_tcn(network),
        "tcn": lambda: tcn_contenders.make_task("tcn", network),
    }
    contender = makers[name]()
    contender.train(2)
    assert contender.parameters > 300


def test_streaming_is_timed(monkeypatch):
    monkeypatch.setitem(tcn_contenders.NETWORKS, "copy_1000", SMALL)
    result = tcn_contenders.time_streaming("copy_1000", frames=3)
    assert result.pop("window_steps") == 29
    assert {*result} == {"us_per_frame", "us_per_frame_after_20000", "us_of_the_window_again"}
    assert min(result.values()) > 0


def test_a_short_race_writes_its_report(tmp_path, monkeypatch, capsys):
    options = ["--networks", "adding_600", "--contenders", "tcn", "--rounds", "2", "--steps", "1", "--frames", "0"]
    monkeypatch.setattr("sys.argv", ["tcn", *options, "--output", str(tmp_path)])
    tcn.main()
    (path,) = tmp_path.glob("tcn_*.json")
    report = json.loads(path.read_text())
    result = report["networks"]["adding_600"]["training"]["tcn"]
    assert result["parameters"] == 70_369 and result["times_tcn"] == 1.0
    assert len(result["rounds"]) == 2 and min(result["rounds"]) > 0
    assert {"tensorflow", "keras"} <= {*report["versions"]} and report["settings"]["rounds"] == 2
    assert "adding_600" in capsys.readouterr().out


def test_a_report_is_completed_only_by_its_like(tmp_path):
    path, facts = tmp_path / "tcn.json", {"machine": {"cores": 2}, "settings": {"steps": 5}}
    assert tcn.measured_before(path, facts) == {}
    path.write_text(json.dumps({**facts, "networks": {"copy_1000": {"date": "then"}}}))
    assert tcn.measured_before(path, facts) == {"copy_1000": {"date": "then"}}
    assert tcn.measured_before(path, {**facts, "settings": {"steps": 6}}) == {}
