"""The script of the results tables: every run is a sound config, done once, and put where it belongs."""

import json
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
    assert len({run.name for run in runs}) == len(runs)
    cells = {}
    for run in runs:
        cells.setdefault((run.table, run.row, run.column), []).append(run.seed)
    assert all(sorted(seeds) == [0, 1, 2] for seeds in cells.values())


def test_a_run_is_done_once_and_its_folder_is_gone(monkeypatch, tmp_path, capsys):
    wanted = next(run for run in hyperspherical.planned_runs() if run.table == "few")
    monkeypatch.setattr(hyperspherical, "planned_runs", lambda: [wanted])
    options = ("--smoke", "--output", tmp_path / "results.json", "--runs", tmp_path / "runs")
    call(monkeypatch, *options)
    report = json.loads((tmp_path / "results.json").read_text())
    result = report["runs"][wanted.name]
    assert 0 <= result["test"]["accuracy"] <= 1 and result["steps"] == 2
    assert result["command"].startswith("python train.py configs/hyperspherical/") and str(tmp_path) not in str(report)
    assert [*(tmp_path / "runs").iterdir()] == []
    monkeypatch.setattr(hyperspherical, "perform", None)  # A call would fail.
    call(monkeypatch, *options)
    assert "prototypes, d = 10" in capsys.readouterr().out


def test_tables_have_means_deviations_and_failures():
    names = [run.name for run in hyperspherical.planned_runs() if run.table == "regression"][:1]
    table, row, column, _ = names[0].split("/")
    errors = [{"mean_absolute_error": 10.0}, {"mean_absolute_error": 12.0}, None]
    runs = {f"{table}/{row}/{column}/{seed}": {"test": test} for seed, test in enumerate(errors)}
    text = hyperspherical.tables({"runs": runs})
    assert "error 11.00 ± 1.41 degrees; 1 of 3 runs ended in NaN  (3 seeds)" in text


def test_the_better_rate_is_chosen_by_validation():
    def result(validation, test):
        return {"validation": {"accuracy": validation}, "test": {"accuracy": test}}

    runs = {}
    for seed in hyperspherical.SEEDS:
        runs[f"few/softmax, rate 0.1/2 a class/{seed}"] = result(0.7, 0.6)
        runs[f"few/softmax, rate 0.4/2 a class/{seed}"] = result(0.6, 0.9)
    assert hyperspherical.better_rates({"runs": runs}) == {("softmax", "2 a class"): [{"accuracy": 0.6}] * 3}


def test_results_of_other_versions_are_not_mixed(tmp_path):
    path = tmp_path / "results.json"
    hyperspherical.write_report(path, {**hyperspherical.read_report(path), "versions": {"keras": "0"}})
    with pytest.raises(SystemExit, match="is of other versions: move it away to begin anew"):
        hyperspherical.read_report(path)
