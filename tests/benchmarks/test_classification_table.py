"""The script of the README's table: every run is sound, each is done once, and the rows are as they were measured."""

import json
import sys

import pytest

from benchmarks import classification_table
from tfdlcv.config import load_config


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["classification_table", *map(str, arguments)])
    classification_table.main()


@pytest.mark.parametrize("name", classification_table.planned_runs())
def test_every_run_is_a_sound_config_under_the_budget(name):
    _, _, path, *overrides = classification_table.command(classification_table.planned_runs()[name], seed=3)
    config = load_config(classification_table.ROOT / path, overrides)
    assert (config.trainer.epochs, config.trainer.seed) == (15, 3)
    assert config.data.name == "mnist5k" and config.data.validation_fraction == 0.1
    assert config.data.augmentation.crop_padding == 2
    assert config.trainer.batch_size == (1 if name == "perceptron" else 64)


def test_a_run_is_done_once_and_stands_in_the_table(monkeypatch, tmp_path, capsys):
    output = tmp_path / "table.json"
    arguments = ("--smoke", "--only", "mlp", "--output", output, "--runs", tmp_path / "runs")
    run(monkeypatch, *arguments)
    row = json.loads(output.read_text())["mlp"]
    assert row["parameters"] == 535_818 and 0 <= row["accuracy"] <= 1 and row["epochs"] == 2
    assert {"command", "seed", "machine", "versions", "training_seconds"} <= {*row}
    before = output.read_bytes()
    capsys.readouterr()
    run(monkeypatch, *arguments)
    assert output.read_bytes() == before
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"| MLP 512-256 | 535,818 | {100 * row['accuracy']:.1f} % | {row['training_seconds']:.0f} s |"
    run(monkeypatch, "--list", "--output", output)
    assert "done mlp" in (listed := capsys.readouterr().out) and "open resnet20 " in listed


def test_unknown_runs(monkeypatch):
    with pytest.raises(SystemExit, match="no run nonsense"):
        run(monkeypatch, "--only", "nonsense")
