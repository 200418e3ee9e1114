"""A run in this process: what it leaves, what it refuses, and that devices, XLA and precision do not change it."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs import tiny_config
from tfdlcv.config import load_config
from tfdlcv.errors import UserError
from tfdlcv.systems.classification import image_classifier
from tfdlcv.training import checkpoints, run


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
    assert run.evaluate(run_dir) == pytest.approx(results["test"], rel=1e-6)
    assert run.evaluate(run_dir, "train")["accuracy"] > 0.7
    with pytest.raises(UserError, match="no split 'dev'"):
        run.evaluate(run_dir, "dev")


def test_export_writes_the_next_version(finished):
    assert run.export(finished[0]).name == "2"


def test_another_config_in_the_same_folder_is_refused(finished):
    run_dir, _, _ = finished
    with pytest.raises(UserError, match=r"trainer\.epochs: 3 there, 4 here"):
        run.train(tiny_config(run_dir, "trainer.epochs=4"))


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
    with pytest.raises(UserError, match=r"batch_size \(5000\) is larger than the number of training examples \(12"):
        run.train(tiny_config(tmp_path / "run", "trainer.batch_size=5000"))


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
    assert run.evaluate(tmp_path / "run") == pytest.approx(results["test"], rel=1e-4)
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
