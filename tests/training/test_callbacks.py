"""What the checkpoint callback decides after an epoch, on a model without weights."""

import csv
import signal
from types import SimpleNamespace

import pytest

from tests.training.runs import tiny_config
from tfdlcv.training import checkpoints
from tfdlcv.training.callbacks import Checkpoints, RunInterrupted, learning_is_stopped_early, stop_on_signals
from tfdlcv.training.checkpoints import Position
from tfdlcv.training.run_folder import RunFolder


@pytest.fixture
def make(tmp_path):
    def make(*overrides, position=None, **options):
        position = position or Position(step=0, epoch=0)
        trainer = tiny_config(tmp_path / "run", "trainer.epochs=9", *overrides).trainer
        callback = Checkpoints(
            RunFolder(tmp_path / "run"), trainer, steps_per_epoch=10, position=position, is_chief=True, **options
        )
        callback.set_model(SimpleNamespace(step=position.step, state=dict, stop_training=False))
        return callback

    return make


def run_epochs(callback, *values):
    """Epochs whose `val_loss` is given, until the callback stops."""
    for value in values:
        epoch = callback.position.epoch
        callback.on_epoch_begin(epoch)
        callback.model.step = 10 * (epoch + 1)
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": value})
        if callback.model.stop_training:
            return


def best_of(callback):
    return checkpoints.load(callback.folder.best)[1].epoch


def test_the_best_is_the_smallest_finite_value_or_the_largest(make):
    callback = make()
    run_epochs(callback, 3.0, float("nan"), 2.0, 2.5, float("-inf"))
    assert best_of(callback) == callback.position.best_epoch == 3 and callback.position.best_value == 2.0
    callback = make("trainer.checkpoints.mode=max")
    run_epochs(callback, 3.0, 4.0, 2.0)
    assert best_of(callback) == 2


@pytest.mark.parametrize(
    "values, epochs, message",
    [
        ((3.0, 2.0, 2.0, 4.0, 1.0), 4, "No better value than 2 of val_loss in 2 epochs"),
        ((float("nan"),) * 5, 2, "No finite value of val_loss in 2 epochs"),
    ],
)
def test_early_stopping_counts_epochs_since_the_best(make, capsys, values, epochs, message):
    callback = make("trainer.early_stopping_epochs=2")
    run_epochs(callback, *values)
    assert callback.position.epoch == epochs and message in capsys.readouterr().out
    assert learning_is_stopped_early(callback.position, callback.trainer)


def test_early_stopping_counts_on_after_resuming(make):
    callback = make("trainer.early_stopping_epochs=2")
    run_epochs(callback, 3.0, 4.0)
    _, _, position = checkpoints.load_latest(callback.folder.checkpoints)
    resumed = make("trainer.early_stopping_epochs=2", position=position)
    run_epochs(resumed, 4.0, 1.0)
    assert resumed.position.epoch == 3


def test_history_has_a_row_an_epoch(make):
    callback = make()
    run_epochs(callback, 3.0, 2.0)
    with open(callback.folder.history, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"], row["val_loss"]) for row in rows] == [("1", "10", "3.0"), ("2", "20", "2.0")]


def test_saving_inside_an_epoch_with_several_steps_an_execution(make):
    """Every 4 steps, seen 3 at a time: after steps 6, 9, 12 (of which the end of the epoch at 10 saves by itself)."""
    callback = make("trainer.checkpoints.every_steps=4", "trainer.checkpoints.keep_last=9")
    callback.on_epoch_begin(0)
    for step in (3, 6, 9, 10):
        callback.model.step = step
        callback.on_train_batch_end(0)
    saved = [path.stem for path in checkpoints.list_checkpoints(callback.folder.checkpoints)]
    assert saved == ["step_0000000006", "step_0000000009"]
    assert callback.position.step_in_epoch == 9


def test_a_stop_saves_where_it_stands(make):
    callback = make(should_stop=lambda: True)
    callback.on_epoch_begin(0)
    callback.model.step = 3
    with pytest.raises(RunInterrupted):
        callback.on_train_batch_end(0)
    assert checkpoints.load_latest(callback.folder.checkpoints)[2].step_in_epoch == 3


def test_signals_are_noted_and_handlers_put_back(capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signals("Stopping.") as should_stop:
        assert not should_stop()
        signal.raise_signal(signal.SIGTERM)
        assert should_stop()
    assert "Stopping." in capsys.readouterr().out
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
