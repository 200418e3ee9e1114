"""The script of the results tables: every run is a sound config, done once, and put where it belongs."""

import dataclasses
import json
import shlex
import sys

import pytest

from benchmarks import hyperspherical
from tfdlcv.config import load_config


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hyperspherical", *map(str, arguments)])
    hyperspherical.main()


@pytest.mark.parametrize("run", hyperspherical.planned_runs()[:: len(hyperspherical.SEEDS)], ids=lambda run: run.name)
def test_every_run_is_a_sound_config(run):
    load_config(hyperspherical.ROOT / run.config, [*run.overrides, f"trainer.seed={run.seed}"])


def test_every_cell_has_three_seeds_of_its_own():
    runs = hyperspherical.planned_runs()
    assert len({run.name for run in runs}) == len({tuple(run.command) for run in runs}) == len(runs)
    cells = {}
    for run in runs:
        cells.setdefault((run.table, run.row, run.column), []).append(run.seed)
    for (table, *_), seeds in cells.items():
        assert sorted(seeds) == ([100] if table == "rates" else [0, 1, 2])


def test_a_run_is_done_once_and_its_folder_is_gone(monkeypatch, tmp_path, capsys):
    wanted = next(run for run in hyperspherical.planned_runs() if run.table == "few")
    monkeypatch.setattr(hyperspherical, "planned_runs", lambda: [wanted])
    options = ("--smoke", "--output", tmp_path / "results.json", "--runs", tmp_path / "runs")
    call(monkeypatch, *options, "--minutes", 0)
    assert not (tmp_path / "results.json").exists()
    call(monkeypatch, *options)
    report = json.loads((tmp_path / "results.json").read_text())
    result = report["runs"][wanted.name]
    assert 0 <= result["test"]["accuracy"] <= 1 and result["steps"] == 2
    assert result["command"].startswith("python train.py configs/hyperspherical/") and str(tmp_path) not in str(report)
    assert [*(tmp_path / "runs").iterdir()] == []
    monkeypatch.setattr(hyperspherical, "perform", None)  # A call would fail.
    call(monkeypatch, *options)
    assert "prototypes, d = 10" in capsys.readouterr().out
    result["command"] += " trainer.epochs=1000"  # Another plan's result is none of this one's.
    (tmp_path / "results.json").write_text(json.dumps(report))
    with pytest.raises(TypeError):
        call(monkeypatch, *options)


def test_a_run_whose_loss_is_not_finite_is_a_result(monkeypatch, tmp_path):
    run = next(run for run in hyperspherical.planned_runs() if run.row == "squared error of degrees, d = 2")
    overrides = (*run.overrides, "optimizer={name: sgd, learning_rate: 1e30}")
    diverging = dataclasses.replace(run, overrides=overrides)
    result = hyperspherical.perform(diverging, tmp_path, smoke=True)
    assert result["test"] is None and "NaN" in result["fault"]


def test_tables_have_means_deviations_and_failures():
    runs = [run for run in hyperspherical.planned_runs() if run.table == "regression"]
    runs = [run for run in runs if (run.row, run.column) == (runs[0].row, runs[0].column)]
    errors = [{"mean_absolute_error": 10.0}, {"mean_absolute_error": 12.0}, None]
    done = {
        run.name: {"command": shlex.join(run.command), "test": test} for run, test in zip(runs, errors, strict=True)
    }
    text = hyperspherical.tables({"runs": done})
    assert "11.00 ± 1.41 degrees; 1 of 3 runs ended in NaN  (3 seeds)" in text


RESULTS = json.loads((hyperspherical.ROOT / "benchmarks" / "results" / "hyperspherical.json").read_text())


@pytest.mark.parametrize(
    "column, chosen", [("all", hyperspherical.RATES_ALL), ("10 a class", hyperspherical.RATES_FEW)]
)
def test_learning_rates_are_those_that_validate_best(column, chosen):
    for loss, value in chosen.items():
        found = {
            each: RESULTS["runs"][f"rates/{loss}, rate {each:g}/{column}/100"]["validation"]
            for each in hyperspherical.RATES
        }
        assert max(found, key=lambda each: (found[each]["accuracy"], -found[each]["loss"])) == value


def test_results_of_other_versions_are_not_mixed(tmp_path):
    path = tmp_path / "results.json"
    hyperspherical.write_report(path, {**hyperspherical.read_report(path), "versions": {"keras": "0"}})
    with pytest.raises(SystemExit, match="is of other versions: move it away to begin anew"):
        hyperspherical.read_report(path)
