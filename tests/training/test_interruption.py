"""Runs in processes of their own that are killed, stopped and started again, alone and as the workers of a cluster."""

import csv
import signal

import numpy as np
import pytest

from tests.training.runs import finish, free_addresses, start, tiny_config, wait_for_step
from tfdlcv.training import checkpoints, run

LONG = ("trainer.epochs=6", "trainer.deterministic=true", "trainer.ema_momentum=0.9", "trainer.seed=5")
SAVING = ("trainer.checkpoints.every_steps=3", "trainer.checkpoints.keep_last=4")


def columns(run_dir, *names):
    with open(run_dir / "history.csv", newline="") as file:
        return [[float(row[name]) for name in names] for row in csv.DictReader(file)]


def test_killed_and_resumed_ends_with_the_bits_of_an_uninterrupted_run(tmp_path):
    """Dropout, augmentation, a schedule, Adam's moments and averages all go on where they were.

    SIGKILL comes at whatever step the process has then reached; the newest checkpoint is cut short on top of it.
    """
    whole = start(tmp_path / "whole", *LONG, *SAVING)
    status, output = finish(whole)
    assert status == 0, output

    killed = start(tmp_path / "killed", *LONG, *SAVING)
    wait_for_step(tmp_path / "killed", 27, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    newest = checkpoints.list_checkpoints(tmp_path / "killed" / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])

    status, output = finish(start(tmp_path / "killed", *LONG, *SAVING))
    assert status == 0, output
    assert f"Damaged checkpoint passed over: {newest}" in output
    assert "Resuming after step" in output

    final = [
        checkpoints.load(tmp_path / name / "checkpoints" / "step_0000000120.npz")[0] for name in ("whole", "killed")
    ]
    assert final[0].keys() == final[1].keys() and len(final[0]) > 15
    for name, array in final[0].items():
        if not name.startswith("metric/"):
            np.testing.assert_array_equal(array, final[1][name], err_msg=name)
    names = ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy")
    np.testing.assert_allclose(columns(tmp_path / "killed", *names), columns(tmp_path / "whole", *names), rtol=1e-6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_saves_and_says_how_to_resume(tmp_path, number):
    process = start(tmp_path / "run", "trainer.epochs=500")
    wait_for_step(tmp_path / "run", 20, process)
    process.send_signal(number)
    status, output = finish(process)
    assert status == 130, output
    assert "a checkpoint is written" in output and "To resume" in output
    _, _, position = checkpoints.load_latest(tmp_path / "run" / "checkpoints")
    assert position.step >= 20
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("xla", ["on", "off"])
def test_two_workers_train_as_one_device_does(tmp_path, xla):
    plain = ("model.dropout=0.0", "data.augmentation.translation=0.0", f"trainer.xla={xla}")
    addresses = free_addresses(2)
    workers = [
        start(
            tmp_path / "workers",
            *plain,
            "trainer.strategy=multi_worker_mirrored",
            cluster=addresses,
            index=index,
            log=tmp_path / f"worker{index}.log",
        )
        for index in range(2)
    ]
    run.train(tiny_config(tmp_path / "one", *plain))
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=150) == 0, (tmp_path / f"worker{index}.log").read_text()
    names = ("loss", "accuracy", "gradient_norm", "val_loss", "val_accuracy", "val_expected_calibration_error")
    np.testing.assert_allclose(columns(tmp_path / "workers", *names), columns(tmp_path / "one", *names), rtol=1e-5)
    assert run.evaluate(tmp_path / "workers", overrides=["trainer.strategy=one_device"]).scores["accuracy"] > 0.7
    # Only the chief writes and reports.
    assert "Epoch 1/3" in (tmp_path / "worker0.log").read_text()
    assert "Epoch" not in (tmp_path / "worker1.log").read_text()
    events = list((tmp_path / "workers" / "tensorboard" / "train").glob("events*"))
    assert len(events) == 1


def test_a_signal_to_one_worker_stops_all_at_the_next_checkpoint(tmp_path):
    addresses = free_addresses(2)
    workers = [
        start(
            tmp_path / "run",
            "trainer.epochs=5000",
            "trainer.strategy=multi_worker_mirrored",
            "trainer.checkpoints.every_steps=7",
            cluster=addresses,
            index=index,
            log=tmp_path / f"worker{index}.log",
        )
        for index in range(2)
    ]
    wait_for_step(tmp_path / "run", 20, workers[0])
    workers[1].send_signal(signal.SIGTERM)
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=60) == 130, (tmp_path / f"worker{index}.log").read_text()
    assert "Stopping all workers at the next checkpoint" in (tmp_path / "worker1.log").read_text()
    assert "To resume" in (tmp_path / "worker0.log").read_text()
    _, _, position = checkpoints.load_latest(tmp_path / "run" / "checkpoints")
    # The chief may have written step 20 while the signalled worker had still to reach that checkpoint's question.
    assert 20 <= position.step < 100_000


def test_a_worker_that_dies_stops_the_others_and_the_job_resumes(tmp_path):
    def start_workers(epochs):
        addresses = free_addresses(2)
        return [
            start(
                tmp_path / "run",
                f"trainer.epochs={epochs}",
                "trainer.strategy=multi_worker_mirrored",
                "trainer.checkpoints.every_steps=5",
                cluster=addresses,
                index=index,
                log=tmp_path / f"worker{index}.log",
            )
            for index in range(2)
        ]

    chief, other = start_workers(10)
    wait_for_step(tmp_path / "run", 25, chief)
    other.kill()
    assert chief.wait(timeout=90) == 1
    assert "a worker of the cluster has failed or cannot be reached" in (tmp_path / "worker0.log").read_text()
    other.wait()

    workers = start_workers(10)
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=200) == 0, (tmp_path / f"worker{index}.log").read_text()
    assert "Resuming after step" in (tmp_path / "worker0.log").read_text()
    assert [row[0] for row in columns(tmp_path / "run", "epoch")] == list(range(1, 11))
