"""The measurement of large clouds, on small ones."""

import json
import sys

import numpy as np
import pytest

from benchmarks import million_points
from tests.jax_process import ENVIRONMENT
from tests.systems.pointcloud.runs import config_of
from tfdlcv.data.pyramid import PyramidSpec
from tfdlcv.models import flex_unet
from tfdlcv.training import run


def test_the_bound_by_hand():
    network = flex_unet(3, features=2, filters=(4, 8), neighbors=5)
    layers = 2 * 4 * (100 * (4 + 4 + 3 + 5)) + 4 * (25 * (8 + 8 + 3 + 5))  # Down and up at level 0; level 1.
    weights = 4 * (2 * 4 * 4 * 4 + 4 * 8 * 8)
    spec = PyramidSpec(neighbors=5, levels=2, upsampling_neighbors=3)
    assert million_points.compulsory_bytes(network, 100, spec) == layers + weights


def on_backend(backend, monkeypatch):
    """What processes that are started from now on run on."""
    for name, value in {"tensorflow": {"KERAS_BACKEND": "tensorflow"}, "jax": ENVIRONMENT}[backend].items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_report_of_a_small_cloud(backend, monkeypatch, tmp_path, capsys):
    on_backend(backend, monkeypatch)
    output = tmp_path / "report.json"
    arguments = ["--points", "3000", "--rounds", "1", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["million_points", *arguments])
    million_points.main()
    report = json.loads(output.read_text())
    (row,) = report["sizes"]
    assert row["points"] == 3000 and row["mean_iou"] is None and report["exponents_of_time"] == {}
    seconds = row["seconds"]
    parts = sum(
        seconds[part] for part in ("read", "thinning", "ordering", "neighbors", "network", "spreading", "write")
    )
    assert parts == pytest.approx(seconds["total"], rel=0.05)
    assert row["peak_memory_mib"] >= row["memory_before_mib"] > 100
    assert row["network_over_bound"] > 1 and report["backend"] == backend
    assert (row["first_call_seconds"] is None) == (backend == "tensorflow")
    assert "3,000" in capsys.readouterr().out


def test_the_labels_of_a_run_are_the_same_on_jax(monkeypatch, tmp_path):
    run.train(config_of("segmenter", tmp_path / "run", "trainer.epochs=1"))
    path = million_points.write_building(3000, tmp_path)
    labels = {}
    for backend in ("tensorflow", "jax"):
        on_backend(backend, monkeypatch)
        assert 0 < million_points.measure(path, str(tmp_path / "run"))["mean_iou"] < 1
        with np.load(path.with_suffix(".labels.npz")) as content:
            labels[backend] = content["label"]
    # Where two classes are alike to the last digit, either may win.
    assert (labels["tensorflow"] == labels["jax"]).mean() > 0.999
    assert len(np.unique(labels["jax"])) > 1


def test_growth_and_medians():
    def result(points, total):
        return {
            "points": points,
            "seconds": {"total": total, "network": total / 2, "processor": total * points},
            "peak_memory_mib": points,
            "memory_before_mib": 1,
            "mean_iou": None,
            "first_call_seconds": None,
            "compulsory_gb": 1.0,
            "bandwidth_gb_per_second": 4.0,
        }

    rounds = [{10: result(10, 1.0 + r), 1000: result(1000, 100.0 * (1 + r))} for r in (0, 2, 1)]
    report = million_points.summary(rounds)
    assert report["exponents_of_time"] == pytest.approx({"total": 1.0, "processor": 2.0})
    assert report["sizes"][1]["seconds"]["total"] == 200 and report["sizes"][1]["peak_memory_mib"] == 1000
    assert report["sizes"][1]["network_over_bound"] == 100 / (1.0 / 4.0)
