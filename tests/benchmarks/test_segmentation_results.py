"""The script of learning results: each is computed once, stages follow each other, clusters are scored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import segmentation_results


def call(monkeypatch, tmp_path, *arguments):
    fixed = ["--output", str(tmp_path / "out.json"), "--runs", str(tmp_path / "runs"), "--images", "2"]
    monkeypatch.setattr(sys, "argv", ["segmentation_results", *arguments, *fixed])
    segmentation_results.main()
    return json.loads((tmp_path / "out.json").read_text())


@pytest.fixture
def made(monkeypatch):
    """In place of trainings: what was called, and results of the form that runs have."""
    calls = []

    def run(words, **options):
        calls.append(words[2:])
        run_dir = Path(words[-1].partition("=")[2])
        run_dir.mkdir(parents=True)
        score = 0.5 + 0.1 * len(calls)
        results = {
            "test": {"mean_iou": score}, "validation": {"val_mean_iou": score}, "test_tables": {"per_class_iou": [1.0]},
            "parameters": 7, "epochs": 3, "train_seconds": 2.04,
        }  # fmt: skip
        (run_dir / "metrics.json").write_text(json.dumps(results))

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_results_are_computed_once_and_stages_begin_with_each_other(monkeypatch, tmp_path, made, capsys):
    report = call(monkeypatch, tmp_path, "--only", "fcn_32s", "fcn_16s", "--seeds", "0", "1")
    assert [words[0] for words in made] == [f"configs/segmentation/fcn_{s}s_shapes.yaml" for s in (32, 16, 32, 16)]
    assert made[3][1:] == [
        "trainer.seed=1",
        f"model.pretrained={tmp_path / 'runs' / 'fcn_32s_1'}",
        f"trainer.run_dir={tmp_path / 'runs' / 'fcn_16s_1'}",
    ]
    assert report["fcn_16s"]["1"]["test"] == pytest.approx(0.9)
    assert (
        report["fcn_16s"]["1"]["command"] == "python train.py configs/segmentation/fcn_16s_shapes.yaml trainer.seed=1"
    )
    call(monkeypatch, tmp_path, "--only", "fcn_32s", "fcn_16s")
    assert len(made) == 4
    assert "fcn_16s         mean_iou       0.8000    0.7000    0.9000      2           7       3      2.0" in (
        capsys.readouterr().out
    )


def test_a_stage_waits_for_the_one_before(monkeypatch, tmp_path, made):
    with pytest.raises(SystemExit, match="fcn_8s begins with the weights of fcn_16s: train that one first"):
        call(monkeypatch, tmp_path, "--only", "fcn_8s")


def test_clusters_are_scored(monkeypatch, tmp_path):
    report = call(monkeypatch, tmp_path, "--only", "agglomerative")
    (row,) = report["agglomerative"].values()
    assert row["images"] == 2 and 0.8 < row["all_test"]["accuracy"] <= 1


def test_every_config_is_there():
    root = Path(segmentation_results.ROOT)
    for config, _ in segmentation_results.NETWORKS.values():
        assert (root / "configs" / "segmentation" / f"{config}.yaml").is_file()
