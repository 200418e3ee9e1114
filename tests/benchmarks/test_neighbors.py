"""The race of neighbour searches, on 2,000 points."""

import json

import numpy as np

from benchmarks import neighbors


def test_a_short_race_writes_its_report(tmp_path, monkeypatch, capsys):
    # In this process: another one for each would take longer than all the rest.
    monkeypatch.setattr(neighbors, "in_process", neighbors.measure)
    options = ["--points", "2000", "--rounds", "1", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["neighbors", *options])
    neighbors.main()
    (path,) = tmp_path.glob("neighbors_*.json")
    grid, xla, tree = json.loads(path.read_text())["results"]
    assert [row["search"] for row in (grid, xla, tree)] == ["grid", "xla", "tree"] and grid["points"] == 2000
    assert grid["wrong"] == xla["wrong"] == 0 and 0 <= grid["overflow"] == xla["overflow"] < 0.2
    assert grid["seconds"] > 0 and tree["seconds"] > 0 and "overflow" not in tree
    assert "2,000" in capsys.readouterr().out


def test_agreement_by_hand():
    positions = np.arange(12, dtype=np.float32)[:, None] * [1, 0, 0]
    found = {"neighbors": neighbors.tree_search(positions.astype(np.float32))(), "overflow": np.zeros(12, bool)}
    assert neighbors.agreement(positions, found) == {"overflow": 0, "wrong": 0}
    found["neighbors"][[2, 7], -1] = -1
    found["overflow"][7] = True
    assert neighbors.agreement(positions, found) == {"overflow": 1 / 12, "wrong": 1 / 12}
