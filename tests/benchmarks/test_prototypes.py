import json
import sys

import pytest

from benchmarks import prototypes


def call(monkeypatch, path, *arguments):
    monkeypatch.setattr(sys, "argv", ["prototypes", "--output", str(path), *arguments])
    prototypes.main()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(prototypes, "SIZES", [(6, 3), (7, 3)])
    monkeypatch.setattr(prototypes, "SEMANTIC_DIMENSIONS", ())


def test_rows_are_measured_once(small, monkeypatch, tmp_path, capsys):
    path = tmp_path / "results" / "prototypes.json"
    call(monkeypatch, path)
    report = json.loads(path.read_text())
    row = report["separation"]["7,3"]
    assert row["bound_kind"] == "exact" and len(row["ours"]["max_cosine"]) == len(prototypes.SEEDS)
    assert row["bound"] - 1e-6 <= min(row["ours"]["max_cosine"]) <= min(row["paper 10k"]["max_cosine"])
    assert {"python", "numpy", "scipy", "algorithm"} <= set(report["versions"])
    assert report["command"] == "python -m benchmarks.prototypes" and report["seeds"] == [0, 1, 2]
    assert "0.2101" in capsys.readouterr().out
    monkeypatch.setattr(prototypes, "measure_separation", None)  # A call would fail.
    call(monkeypatch, path)
    with pytest.raises(TypeError):
        call(monkeypatch, path, "--fresh")


def test_the_results_beside_it_keep_what_is_claimed():
    """Never above the published algorithm, exact where the optimum is known, and within a minute."""
    path = prototypes.ROOT / "benchmarks" / "results" / "prototypes.json"
    report = json.loads(path.read_text())
    assert set(report["separation"]) == {f"{k},{d}" for k, d in prototypes.SIZES}
    for name, row in report["separation"].items():
        published = min(row["paper 1k"]["max_cosine"] + row["paper 10k"]["max_cosine"])
        assert max(row["ours"]["max_cosine"]) <= published, name
        assert min(row["ours"]["max_cosine"]) >= row["bound"] - 1e-6, name
        if row["bound_kind"] == "exact":
            assert max(row["ours"]["max_cosine"]) <= row["bound"] + 1e-5, name
        assert max(row["ours"]["seconds"]) < 60, name
    for name, row in report["semantics"].items():
        assert min(row["1"]["rank_correlation"]) > max(row["0"]["rank_correlation"]) + 0.2, name
