import json

import keras
import numpy as np
import pytest

from benchmarks import train_step, train_step_contenders
from tfdlcv.layers import BatchNormalization


def test_ratios_are_medians_of_the_rounds_ratios():
    # Medians 30 and 20 would give 1.5; the second round was slow for both sides.
    results = {"a": {"rounds": [30.0, 4.0, 90.0]}, "b": {"rounds": [20.0, 1.0, 60.0]}, "c": {"rounds": [1.0, 1.0, 1.0]}}
    assert train_step.ratios(results) == {"a / b": 1.5, "a / c": 30.0, "b / c": 20.0}


def test_machine_name_fits_a_file_name():
    assert train_step.machine_name({"processor": "AMD EPYC (2.6 GHz)", "cores": 2}) == "amd_epyc_2_6_ghz_2_cores"
    assert train_step.machine_name({"processor": "x", "cores": 2, "gpu": "NVIDIA H200"}) == "nvidia_h200"


def test_stock_network_differs_in_batch_normalization_only():
    networks = [
        train_step_contenders.make_network("float32", 0, stock_batch_normalization=stock)[0] for stock in (False, True)
    ]
    types = [[type(layer) for layer in network.layers] for network in networks]
    stock = [keras.layers.BatchNormalization if t is BatchNormalization else t for t in types[0]]
    assert types[0].count(BatchNormalization) == 21
    assert types[1] == stock
    networks[1].set_weights(networks[0].get_weights())
    image, _ = train_step_contenders.random_batch(4, 0)
    np.testing.assert_allclose(networks[0](image), networks[1](image), rtol=1e-4, atol=1e-4)


def test_torch_network_is_the_same_network():
    torch = pytest.importorskip("torch", reason="torch, of the peers extra, is not installed")
    keras.utils.set_random_seed(0)
    network, _ = train_step_contenders.make_network("float32", 0)
    peer = train_step_contenders.torch_network()
    units = [f"stage{stage}_unit{unit}_" for stage in (1, 2, 3) for unit in (1, 2, 3)]
    pairs = [("stem_conv", "stem_norm")]
    for unit in units:
        pairs += [(f"{unit}conv1", f"{unit}norm1"), (f"{unit}conv2", f"{unit}norm2")]
        if unit in ("stage2_unit1_", "stage3_unit1_"):
            pairs.append((f"{unit}shortcut_conv", f"{unit}shortcut_norm"))
    values = [network.get_layer(name).get_weights() for pair in pairs for name in pair]
    arrays = [array.transpose(3, 2, 0, 1) if array.ndim == 4 else array for group in values for array in group]
    kernel, bias = network.get_layer("logits").get_weights()
    state = {name: value for name, value in peer.state_dict().items() if "num_batches_tracked" not in name}
    tensors = [torch.tensor(array.copy()) for array in [*arrays, kernel.T, bias]]
    peer.load_state_dict(dict(zip(state, tensors, strict=True)), strict=False)
    image, _ = train_step_contenders.random_batch(4, 0)
    expected = peer(torch.tensor(image).permute(0, 3, 1, 2)).detach().numpy()
    np.testing.assert_allclose(network(image, training=True), expected, rtol=1e-3, atol=1e-3)


def test_a_short_race_writes_its_report(tmp_path, monkeypatch, capsys):
    options = ["--precisions", "float32", "--rounds", "2", "--steps", "1", "--batch-size", "4"]
    monkeypatch.setattr("sys.argv", ["train_step", "--contenders", "task", *options, "--output", str(tmp_path)])
    train_step.main()
    (path,) = tmp_path.glob("train_step_*.json")
    report = json.loads(path.read_text())
    assert {"date", "machine", "versions", "settings", "results", "ratios"} <= set(report)
    assert report["settings"] == {"batch_size": 4, "steps": 1, "rounds": 2, "seed": 0}
    result = report["results"]["float32"]["task"]
    assert result["trainable_parameters"] == 272_474
    assert len(result["rounds"]) == 2
    assert result["peak_memory_mib"] >= result["peak_memory_before_training_mib"] > 0
    assert "task" in capsys.readouterr().out
