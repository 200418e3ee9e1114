"""The script of restoration results: rows are computed once, by the same noise, and nothing is chosen by the test."""

import json
import shlex
import sys

import numpy as np
import pytest

from benchmarks import restoration_results
from tfdlcv.config import load_config
from tfdlcv.training import run

SMALL = (
    "model.depth=3", "model.width=0.125", "data.stride=100", "trainer.epochs=1", "trainer.steps_per_epoch=1",
    "trainer.batch_size=4", "trainer.tensorboard.pictures_every_epochs=0",
)  # fmt: skip


def call(monkeypatch, tmp_path, *arguments):
    fixed = ["--output", str(tmp_path / "out.json"), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["restoration_results", *arguments, *fixed])
    restoration_results.main()
    return json.loads((tmp_path / "out.json").read_text())["rows"]


@pytest.fixture
def in_this_process(monkeypatch):
    """Trains without starting another process, and counts."""
    made = []

    def train(config, run_dir, overrides):
        made.append(run_dir.name)
        results = run.train(load_config(restoration_results.ROOT / config, [*overrides, f"trainer.run_dir={run_dir}"]))
        return results, shlex.join(["python", "train.py", config, *overrides])

    monkeypatch.setattr(restoration_results, "train", train)
    return made


@pytest.fixture
def small_photographs(monkeypatch):
    whole = restoration_results.noisy_photographs

    def cut(sigma, part):
        return [(name, truth[:40, :50], noisy[:40, :50]) for name, truth, noisy in whole(sigma, part)]

    monkeypatch.setattr(restoration_results, "noisy_photographs", cut)


def test_the_noise_is_that_of_the_level_and_the_same_for_all():
    first, again = (list(restoration_results.noisy_photographs(15, "test")) for _ in range(2))
    assert [name for name, *_ in first] == ["camera", "chelsea", "flower"]
    for (_, truth, noisy), (_, _, other) in zip(first, again, strict=True):
        assert np.std(noisy - truth) == pytest.approx(15, rel=0.01)
        np.testing.assert_array_equal(noisy, other)


def test_rows_without_training_are_computed_once(monkeypatch, tmp_path, small_photographs, capsys):
    rows = call(monkeypatch, tmp_path, "--only", "noisy/50", "non_local_means/25")
    assert rows["noisy/50"]["psnr"] == pytest.approx(20 * np.log10(255 / 50), abs=1.0)  # Rounded and cut to 0..255.
    found = rows["non_local_means/25"]
    assert found["psnr"] > 22 and set(found["photographs"]) == {"camera", "chelsea", "flower"}
    of_strengths = found["validation_psnr_of_strengths"]
    assert of_strengths[str(found["strength"])] == max(of_strengths.values())
    monkeypatch.setattr(restoration_results, "compute", None)
    assert call(monkeypatch, tmp_path, "--only", "noisy/50") == rows
    assert f"{found['psnr']:.2f} / {found['ssim']:.4f}" in capsys.readouterr().out


def test_a_network_and_the_codes_of_digits(monkeypatch, tmp_path, small_photographs, in_this_process):
    rows = call(monkeypatch, tmp_path, "--only", "dncnn/15", "--override", *SMALL, "optimizer.learning_rate.peak=1e-6")
    row = rows["dncnn/15"]
    assert row["steps"] == 1 and row["parameters"] == 761 and "data.noise.sigma=15" in row["command"]
    # Hardly a step from a network that returns its input.
    assert row["psnr"] == pytest.approx(20 * np.log10(255 / 15), abs=0.3)
    digits = ["--override", "model.hidden_units=[8]", "data.train_limit=100", *SMALL[3:]]
    rows = call(monkeypatch, tmp_path, "--only", "codes/principal_components/0/10", "codes/autoencoder/0/10", *digits)
    assert rows["codes/principal_components/0/10"]["psnr"] > rows["codes/autoencoder/0/10"]["psnr"] + 3
    assert in_this_process == ["dncnn_15_0", "autoencoder_0_10_0"]


def test_rows_that_there_are_not(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="no row dncnn/20; there are: noisy/15"):
        call(monkeypatch, tmp_path, "--only", "dncnn/20")
