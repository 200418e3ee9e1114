"""A run in this process: what it leaves, what it refuses, and that devices, XLA and precision do not change it."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs import tiny_config
from tfdlcv.config import load_config
from tfdlcv.errors import UserError
from tfdlcv.systems.classification import image_classifier
from tfdlcv.training import checkpoints, run, strategies


def history(run_dir):
    with open(run_dir / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    config = tiny_config(run_dir)
    return run_dir, config, run.train(config)


def test_a_run_leaves_everything_in_its_folder(finished):
    run_dir, config, results = finished
    assert load_config(run_dir / "config.yaml") == config
    rows = history(run_dir)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    wanted = {"loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "gradient_norm", "examples_per_second"}
    assert wanted <= set(rows[0])
    assert rows[-1]["loss"] < rows[0]["loss"] and rows[-1]["val_accuracy"] > 0.7
    assert json.loads((run_dir / "metrics.json").read_text()) == results
    assert results["test"]["accuracy"] > 0.7 and results["best_epoch"] == 3
    assert (run_dir / "export" / "1" / "saved_model.pb").is_file()
    assert (run_dir / "tensorboard" / "train").is_dir()
    assert json.loads((run_dir / "dataset.json").read_text())["image_shape"] == [8, 8, 1]


def test_the_learning_rate_of_the_log_is_the_one_that_was_applied(finished):
    """Cosine from 0.01 over 60 steps behind 10 steps of warm-up: the last of 60 steps is at position 49 of 50."""
    expected = 0.01 * 0.5 * (1 + np.cos(np.pi * 49 / 50))
    assert history(finished[0])[-1]["learning_rate"] == pytest.approx(expected, rel=1e-3)


def test_a_finished_run_says_so_and_trains_no_more(finished, capsys):
    run_dir, config, results = finished
    before = (run_dir / "metrics.json").stat().st_mtime_ns
    assert run.train(config) == results
    assert "is finished" in capsys.readouterr().out
    assert (run_dir / "metrics.json").stat().st_mtime_ns == before


def test_evaluate_gives_the_test_metrics_again(finished):
    run_dir, _, results = finished
    assert run.evaluate(run_dir).scores == pytest.approx(results["test"], rel=1e-6)
    found = run.evaluate(run_dir, "train")
    assert found.scores["accuracy"] > 0.7
    *classes, mean = found.class_table.splitlines()[1:]
    assert [line.split()[0] for line in classes] == json.loads((run_dir / "dataset.json").read_text())["class_names"]
    right = sum(float(line.split()[1].replace(",", "")) * float(line.split()[2]) for line in classes)
    assert right / float(mean.split()[1].replace(",", "")) == pytest.approx(found.scores["accuracy"], abs=1e-4)
    with pytest.raises(UserError, match="no split 'dev'"):
        run.evaluate(run_dir, "dev")


def test_export_writes_the_next_version(finished):
    assert run.export(finished[0]).name == "2"


def test_another_config_in_the_same_folder_is_refused(finished):
    run_dir, _, _ = finished
    with pytest.raises(UserError, match=r"trainer\.epochs: 3 there, 4 here"):
        run.train(tiny_config(run_dir, "trainer.epochs=4"))


def test_a_run_that_was_moved_or_is_named_otherwise_is_the_same_run(finished, tmp_path, capsys):
    run_dir, _, results = finished
    shutil.copytree(run_dir, tmp_path / "moved")
    assert run.train(tiny_config(tmp_path / "moved")) == results
    assert "is finished" in capsys.readouterr().out
    assert load_config(tmp_path / "moved" / "config.yaml").trainer.run_dir == str(tmp_path / "moved")


def test_a_run_resumes_on_other_devices(finished, tmp_path, capsys):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(finished[0] / "config.yaml", tmp_path / "run")
    newest = checkpoints.list_checkpoints(finished[0] / "checkpoints")[0]
    shutil.copy(newest, tmp_path / "run" / "checkpoints")
    changed = ("trainer.strategy=one_device", "trainer.steps_per_execution=3")
    results = run.train(tiny_config(tmp_path / "run", *changed))
    printed = capsys.readouterr().out
    assert "Resumes with a changed trainer.strategy: mirrored there, one_device here" in printed
    assert "Resumes with a changed trainer.steps_per_execution: 1 there, 3 here" in printed
    assert results["steps"] == finished[2]["steps"]
    assert results["test"]["loss"] == pytest.approx(finished[2]["test"]["loss"], rel=1e-5)


def test_a_folder_without_a_checkpoint_takes_the_corrected_config(tmp_path):
    """Nothing is lost there: the run before failed as it began."""
    with pytest.raises(UserError, match=r"batch_size \(5000\)"):
        run.train(tiny_config(tmp_path / "run", "trainer.batch_size=5000"))
    corrected = tiny_config(tmp_path / "run", "trainer.epochs=1")
    assert run.train(corrected)["epochs"] == 1
    assert load_config(tmp_path / "run" / "config.yaml") == corrected


@pytest.fixture
def unfinished(finished, tmp_path):
    """The run as it was when its last epoch was saved, before evaluation and export."""
    run_dir = shutil.copytree(finished[0], tmp_path / "run")
    (run_dir / "metrics.json").unlink()
    shutil.rmtree(run_dir / "export")
    return run_dir


def test_a_run_killed_before_its_export_finishes_without_training(finished, unfinished, capsys):
    results = run.train(tiny_config(unfinished))
    assert results["test"] == pytest.approx(finished[2]["test"], rel=1e-6)
    assert (results["steps"], results["best_epoch"]) == (finished[2]["steps"], finished[2]["best_epoch"])
    assert "Epoch" not in capsys.readouterr().out
    assert (unfinished / "export" / "1" / "saved_model.pb").is_file()


def older_best(run_dir):
    """What is left by a process that is killed between writing the last checkpoint and copying it as the best."""
    path = run_dir / "checkpoints" / "best.npz"
    arrays, position = checkpoints.load(path)
    altered = {name: np.zeros_like(array) for name, array in arrays.items()}
    checkpoints.save(path, altered, dataclasses.replace(position, epoch=1, best_epoch=1))


def test_the_best_checkpoint_catches_up_with_the_newest(finished, unfinished):
    older_best(unfinished)
    results = run.train(tiny_config(unfinished))
    assert results["best_epoch"] == 3
    assert results["test"] == pytest.approx(finished[2]["test"], rel=1e-6)


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_without_a_readable_best_checkpoint_the_last_epoch_takes_its_place(tmp_path, damage, capsys):
    """The rate jumps in epoch 2 of 2, so that epoch 1 is the best."""
    config = tiny_config(
        tmp_path / "run",
        "trainer.epochs=2",
        "trainer.ema_momentum=0.5",
        "optimizer={name: sgd, learning_rate: {name: constant, peak: 100.0, warmup_epochs: 1.99}}",
        "trainer.checkpoints={monitor: loss, mode: max}",
    )
    run.train(config)
    best = tmp_path / "run" / "checkpoints" / "best.npz"
    (tmp_path / "run" / "metrics.json").unlink()
    if damage == "missing":
        best.unlink()
    else:
        best.write_bytes(best.read_bytes()[:-50])
    results = run.train(config)
    assert f"There is no best checkpoint ({best}: " in capsys.readouterr().out
    assert results["best_epoch"] == 2 and results["validation"]["epoch"] == 2
    assert run.evaluate(tmp_path / "run").scores == pytest.approx(results["test"], rel=1e-6)


def test_a_folder_in_use_is_refused(tmp_path):
    from tfdlcv.training.run_folder import RunFolder

    holder = RunFolder(tmp_path / "run")
    holder.lock()
    with pytest.raises(UserError, match="another process is training"):
        run.train(tiny_config(tmp_path / "run"))
    holder.unlock()


def test_unknown_monitor_is_refused_before_training(tmp_path):
    with pytest.raises(UserError, match=r"monitor \(val_top1\).*val_loss, val_accuracy"):
        run.train(tiny_config(tmp_path / "run", "trainer.checkpoints.monitor=val_top1"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_batch_larger_than_the_data(tmp_path):
    for more in ((), ("trainer.steps_per_epoch=4",)):
        with pytest.raises(UserError, match=r"batch_size \(5000\) is larger than the number of training examples \(12"):
            run.train(tiny_config(tmp_path / "run", "trainer.batch_size=5000", *more))


def test_batches_that_cannot_be_cut_evenly(monkeypatch, tmp_path):
    """The config knows of virtual devices; of real ones and of other machines it does not."""
    two = strategies.build_strategy(tiny_config(tmp_path, "trainer.virtual_devices=2").trainer)
    monkeypatch.setattr(strategies, "build_strategy", lambda trainer: two)
    message = r"batch_size \(12\) must be divisible by the number of replicas \(2\) times .*accumulation_steps \(4\)"
    with pytest.raises(UserError, match=message):
        run.train(tiny_config(tmp_path / "run", "trainer.batch_size=12", "trainer.accumulation_steps=4"))
    with pytest.raises(
        UserError, match=r"evaluation_batch_size \(9\) must be divisible by the number of replicas \(2\)"
    ):
        run.train(tiny_config(tmp_path / "run", "trainer.evaluation_batch_size=9"))


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        run.evaluate(tmp_path)


def test_nan_names_step_examples_and_the_last_good_checkpoint(tmp_path):
    """SGD with a rate that lets the loss run away in the first epochs; every step before it is saved."""
    config = tiny_config(
        tmp_path / "run",
        "optimizer={name: sgd, learning_rate: 1e12}",
        "trainer.checkpoints.every_steps=1",
        "trainer.checkpoints.keep_last=100",
    )
    with pytest.raises(UserError) as caught:
        run.train(config)
    message = str(caught.value)
    saved = checkpoints.list_checkpoints(tmp_path / "run" / "checkpoints")
    step = int(message.split("the loss of step ")[1].split(" ")[0])
    ids = message.split("by id: ")[1].splitlines()[0].split(", ")
    assert len(ids) == 64 and "digits8x8 example" in message
    assert saved[-1].name == f"step_{step:010d}.npz" and str(saved[-1]) in message
    for path in saved:
        arrays, _ = checkpoints.load(path)
        networks = [array for name, array in arrays.items() if name.startswith("network/")]
        assert all(np.isfinite(array).all() for array in networks)


def test_early_stopping_ends_the_run_and_keeps_the_best(tmp_path):
    config = tiny_config(
        tmp_path / "run",
        "trainer.epochs=12",
        "trainer.early_stopping_epochs=2",
        "optimizer={name: sgd, learning_rate: 1e-30}",
        "model.dropout=0.0",
    )
    results = run.train(config)
    assert results["epochs"] == 3 and results["best_epoch"] == 1


@pytest.fixture(scope="module")
def plain_history(tmp_path_factory):
    """No dropout: its masks differ between replicas, as they must."""
    run_dir = tmp_path_factory.mktemp("plain") / "run"
    run.train(tiny_config(run_dir, "model.dropout=0.0", "trainer.strategy=one_device"))
    return history(run_dir)


@pytest.mark.parametrize("xla", ["on", "off"])
@pytest.mark.parametrize("devices", [1, 2])
def test_devices_and_xla_do_not_change_a_run(tmp_path, plain_history, devices, xla):
    overrides = ["model.dropout=0.0", f"trainer.virtual_devices={devices}", f"trainer.xla={xla}"]
    results = run.train(tiny_config(tmp_path / "run", *overrides))
    for row, expected in zip(history(tmp_path / "run"), plain_history, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5), name
    assert results["test"] is not None


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_with_two_replicas_ema_and_accumulation(tmp_path, plain_history, precision):
    overrides = [
        f"trainer.precision={precision}",
        "trainer.virtual_devices=2",
        "trainer.ema_momentum=0.9",
        "trainer.accumulation_steps=2",
        "trainer.steps_per_execution=7",
    ]
    results = run.train(tiny_config(tmp_path / "run", *overrides))
    assert results["test"]["accuracy"] > 0.6
    assert run.evaluate(tmp_path / "run").scores == pytest.approx(results["test"], rel=1e-4)
    assert tf.keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("decayed, bias", [("kernels", 1.0), ("all", 0.95)])
def test_weight_decay_spares_biases_unless_it_is_told_to_take_all(tmp_path, decayed, bias):
    """One update with gradients of zero, at rate 0.1 and decay 0.5."""
    optimizer = f"optimizer={{name: sgd, learning_rate: 0.1, weight_decay: 0.5, weight_decay_on: {decayed}}}"
    config = tiny_config(tmp_path, optimizer)
    facts = {"class_names": ["a", "b"], "class_counts": [1, 1], "image_shape": [8, 8, 1]}
    task = image_classifier.build_task(config, facts)
    built = run._build_optimizers(image_classifier.optimizers(config), config.trainer, task, steps=1)["network"]
    variables = task.network.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    built.build(variables)
    built.apply([np.zeros(variable.shape, "float32") for variable in variables], variables)
    for variable in variables:
        expected = bias if variable.name == "bias" else 0.95
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)
