"""The race of octrees and dense volumes, at 16^3."""

import json

import pytest

from benchmarks import octree


def test_a_short_race_writes_its_report(tmp_path, monkeypatch, capsys):
    options = ["--resolutions", "16", "--rounds", "1", "--steps", "1", "--output", str(tmp_path)]
    # In this process: another one for each would take longer than all the rest.
    monkeypatch.setattr(octree, "in_process", octree.measure)
    monkeypatch.setattr("sys.argv", ["octree", *options])
    octree.main()
    (path,) = tmp_path.glob("octree_*.json")
    rows = json.loads(path.read_text())["results"]
    assert [(row["work"], row["kind"]) for row in rows] == [
        (work, kind) for work in ("convolution", "network") for kind in ("octree", "dense")
    ]
    assert rows[2]["parameters"] == rows[3]["parameters"] and rows[0]["leaves"] == rows[2]["leaves"] < 16**3
    assert all(row["step_ms"] > 0 and row["forward_ms"] > 0 for row in rows)
    assert "16^3" in capsys.readouterr().out


def test_what_does_not_fit_is_left_out(monkeypatch, tmp_path, capsys):
    asked = []

    def measured(work, kind, resolution, steps):
        asked.append(kind)
        return {"step_ms": 4.0, "forward_ms": 1.0, "extra_memory_mib": 10, "leaves": 7, "build_ms": 1.0}

    monkeypatch.setattr(octree, "in_process", measured)
    monkeypatch.setattr(octree, "free_bytes", lambda: 5e9)
    options = ["--resolutions", "32", "256", "--work", "network", "--rounds", "2", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["octree", *options])
    octree.main()
    assert asked == ["octree", "dense"] * 2 + ["octree"] * 2
    assert "dense would take about 11 GiB" in capsys.readouterr().out


def test_medians_and_ratios():
    assert octree.medians([{"a": 1}, {"a": 9}, {"a": 3}]) == {"a": 3} and octree.medians([]) == {}
    row = {"work": "network", "resolution": 64, "leaves": 1000, "build_ms": 2.0}
    rows = [
        {**row, "kind": "octree", "step_ms": 10.0, "extra_memory_mib": 20},
        {**row, "kind": "dense", "step_ms": 25.0, "extra_memory_mib": 100},
    ]
    assert octree.table(rows).splitlines()[1].split()[-6:] == ["25.0", "2.50", "20", "100", "5.00", "2.0"]


@pytest.mark.parametrize(("work", "resolution", "gib"), [("convolution", 256, 6), ("network", 128, 1.33)])
def test_what_the_dense_form_needs(work, resolution, gib):
    assert octree.bytes_needed(work, resolution) / 2**30 == pytest.approx(gib, rel=0.01)
