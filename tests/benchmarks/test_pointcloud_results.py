"""The script of learning results: each is computed once, and PointNet gets the time that the flex-convolutions took."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pointcloud_results

SMALL = (
    "data.points=64", "data.train_examples=32", "data.validation_examples=10", "data.test_examples=10",
    "trainer.batch_size=8", "trainer.tensorboard.pictures_every_epochs=0",
)  # fmt: skip


def call(monkeypatch, tmp_path, *arguments):
    fixed = ["--output", str(tmp_path / "out.json"), "--runs", str(tmp_path / "runs"), "--override", *SMALL]
    monkeypatch.setattr(sys, "argv", ["pointcloud_results", *arguments, *fixed])
    pointcloud_results.main()
    return json.loads((tmp_path / "out.json").read_text())


def test_results_are_computed_once_and_times_are_equal(monkeypatch, tmp_path, capsys):
    made = []

    def run(name, run_dir, overrides):
        made.append((run_dir.name, overrides[len(SMALL) :]))
        epochs = next((int(o.partition("=")[2]) for o in overrides if o.startswith("trainer.epochs")), 15)
        of_epoch = 3.0 if "pointnet" in str(overrides) else 2.0
        results = {
            "test": {"accuracy": 0.9}, "validation": {"val_accuracy": 0.8, "train_seconds": of_epoch},
            "test_tables": {"per_class_accuracy": [1.0]}, "parameters": 7, "epochs": epochs,
            "train_seconds": epochs * of_epoch, "seed": 0,
        }  # fmt: skip
        return results, "python train.py"

    monkeypatch.setattr(pointcloud_results, "run", run)
    report = call(monkeypatch, tmp_path, "--only", "primitives")
    assert report["primitives"]["flex"]["train_seconds"] == 30
    assert report["primitives"]["pointnet"]["epochs"] == 10 and report["primitives"]["pointnet"]["train_seconds"] == 30
    assert [name for name, _ in made] == ["primitives_flex", "primitives_speed", "primitives_pointnet"]
    assert made[2][1] == ["model={name: pointnet}", "trainer.epochs=10"]
    call(monkeypatch, tmp_path, "--only", "primitives")
    assert len(made) == 3
    assert "primitives         flex      0.9000" in capsys.readouterr().out


def test_both_networks_see_uneven_bodies(monkeypatch, tmp_path):
    made = []

    def run(words, **options):
        made.append(words[3])
        run_dir = Path(words[-1].partition("=")[2])
        run_dir.mkdir(parents=True)
        results = {
            "test": {"accuracy": 0.9}, "validation": {"val_accuracy": 0.8, "train_seconds": 1.0},
            "test_tables": {"per_class_accuracy": [1.0]}, "parameters": 7, "epochs": 3, "train_seconds": 3.0, "seed": 0,
        }  # fmt: skip
        (run_dir / "metrics.json").write_text(json.dumps(results))

    monkeypatch.setattr(subprocess, "run", run)
    report = call(monkeypatch, tmp_path, "--only", "uneven_primitives")
    assert made == ["data.density_ratio=8"] * 3
    command = report["uneven_primitives"]["flex"]["command"]
    assert command.startswith("python train.py configs/pointcloud/classifier_primitives.yaml data.density_ratio=8 ")


def test_pointnet_waits_for_the_time(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="rooms: train flex first"):
        call(monkeypatch, tmp_path, "--only", "rooms", "--network", "pointnet")


def test_a_training(monkeypatch, tmp_path):
    overrides = ["model.filters=[8,16]", "trainer.epochs=2", *SMALL]
    results, command = pointcloud_results.run("primitives", tmp_path / "run", overrides)
    assert 0 <= results["test"]["accuracy"] <= 1 and results["epochs"] == 2
    assert command.startswith("python train.py configs/pointcloud/classifier_primitives.yaml 'model.filters=[8,16]'")
