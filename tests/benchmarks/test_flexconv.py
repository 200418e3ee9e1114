import importlib.util
import json

import numpy as np
import pytest

from benchmarks import flexconv, flexconv_contenders

SHORT = ["--rounds", "1", "--steps", "1", "--points", "64", "--channels", "4", "--filters", "5"]


def test_ratios_are_medians_of_the_rounds_ratios():
    def result(times, memory):
        return {"rounds": {"forward": times, "step": times}, "extra_memory_mib": memory}

    results = {"layer": result([1.0, 2.0, 8.0], 10), "naive": result([3.0, 10.0, 8.0], 200)}
    assert flexconv.ratios(results) == {"naive": {"extra_memory": 20.0, "forward": 3.0, "step": 3.0}}
    assert flexconv.ratios({"naive": results["naive"]}) == {}


def test_the_naive_form_is_the_same_function():
    """The layer's and the naive one's outputs, with the naive one's weights put into the layer."""
    import tensorflow as tf

    from tfdlcv.layers import FlexConv

    cloud = flexconv_contenders.random_cloud(2, 50, 5, 4, seed=0)
    tf.keras.utils.set_random_seed(0)
    naive = flexconv_contenders.make_naive(cloud, 3)
    tf.keras.utils.set_random_seed(0)
    weights = [tf.random.normal(shape, stddev=0.05) for shape in ((3, 4, 3), (4, 3), (3,))]
    layer = FlexConv(3)
    layer([cloud["features"], cloud["positions"], cloud["neighbors"]])
    layer.set_weights([weight.numpy() for weight in weights])
    expected = layer([cloud["features"], cloud["positions"], cloud["neighbors"]])
    np.testing.assert_allclose(naive.forward(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(naive.step(), expected, rtol=1e-4, atol=1e-5)
    assert naive.parameters == layer.count_params() == 4 * 4 * 3 + 3


@pytest.mark.parametrize("name", [name for name in flexconv_contenders.MAKE if name.startswith("torch")])
def test_peers_run(name):
    if importlib.util.find_spec(flexconv.PACKAGES[name]) is None:
        pytest.skip(f"{flexconv.PACKAGES[name]}, of the peers extra, is not installed")
    contender = flexconv_contenders.MAKE[name](flexconv_contenders.random_cloud(2, 50, 5, 4, seed=0), 3)
    assert contender.forward().shape == (2, 50, 3)
    np.testing.assert_allclose(contender.step(), contender.forward(), rtol=1e-5, atol=1e-6)


def test_a_short_race_writes_its_report(tmp_path, monkeypatch, capsys):
    options = [*SHORT, "--layers", "2", "--contenders", "layer_remat", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["flexconv", *options])
    flexconv.main()
    (path,) = tmp_path.glob("flexconv_*.json")
    assert "2_layers" in path.name
    report = json.loads(path.read_text())
    assert {"date", "machine", "versions", "settings", "results", "ratios"} <= set(report)
    assert (report["settings"]["points"], report["settings"]["layers"]) == (64, 2)
    result = report["results"]["layer_remat"]
    assert result["parameters"] == (4 * 4 * 5 + 5) + (4 * 5 * 5 + 5)
    assert len(result["rounds"]["step"]) == 1
    assert result["step_ms"] > 0
    assert "layer_remat" in capsys.readouterr().out


def test_only_own_layers_are_stacked(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["flexconv", "--layers", "2", "--contenders", "naive"])
    with pytest.raises(SystemExit):
        flexconv.main()
    assert "--layers 2 is for layer, layer_remat, layer_xla" in capsys.readouterr().err
