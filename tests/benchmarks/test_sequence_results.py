"""The script of published numbers: it does what is missing, once."""

import json
import sys

import pytest

from benchmarks import sequence_results
from tfdlcv.config import load_config


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["sequence_results", *arguments])
    sequence_results.main()


@pytest.mark.parametrize("name", sequence_results.planned_runs())
def test_every_run_is_a_sound_config(name):
    planned = sequence_results.planned_runs()[name]
    load_config(sequence_results.ROOT / "configs" / "sequence" / f"{planned.config}.yaml", planned.overrides)


def test_a_run_is_done_once(monkeypatch, tmp_path, capsys):
    arguments = (
        "--smoke",
        "--only",
        "adding_600_tcn",
        "--output",
        str(tmp_path / "out"),
        "--runs",
        str(tmp_path / "runs"),
    )
    run(monkeypatch, *arguments)
    result = json.loads((tmp_path / "out" / "adding_600_tcn.json").read_text())
    assert result["published"] == 5.8e-5 and result["ours"] > 0 and result["parameters"] == 70_369
    assert {"seed", "versions", "training_minutes", "command"} <= {*result}
    capsys.readouterr()
    run(monkeypatch, *arguments)
    assert capsys.readouterr().out == ""
    run(monkeypatch, "--list", "--smoke", "--output", str(tmp_path / "out"))
    assert "done adding_600_tcn" in capsys.readouterr().out


def test_unknown_runs(monkeypatch):
    with pytest.raises(SystemExit, match="no run nonsense"):
        run(monkeypatch, "--only", "nonsense")
