"""What happens around `fit`: checkpoints, history, early stopping, and an orderly stop on a signal."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time

import keras

from tfdlcv.training import checkpoints
from tfdlcv.training.checkpoints import Position
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.run_folder import RunFolder
from tfdlcv.training.task import Task


class RunInterrupted(Exception):
    """The run was asked to stop, and has saved what it needs to go on."""


class Throughput(keras.callbacks.Callback):
    """Adds `train_seconds` and `examples_per_second`, validation not counted, to the logs of each epoch.

    It comes first among the callbacks, so that the others find it in the logs.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size
        self._seconds = 0.0
        self._started = 0.0
        self._first_step = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self.model.step
        self._seconds = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._seconds += time.perf_counter() - self._started

    def on_epoch_end(self, epoch, logs=None):
        steps = self.model.step - self._first_step
        logs["examples_per_second"] = steps * self.batch_size / max(self._seconds, 1e-9)
        logs["train_seconds"] = self._seconds


class Checkpoints(keras.callbacks.Callback):
    """Saves, keeps the best and the newest, writes history.csv, and stops early or on request.

    Reading the variables of several workers needs all of them, so every worker runs this callback; the chief writes.

    Args:
        position: Where the run stands as `fit` begins.
        should_stop: Asked after every execution; True saves and raises RunInterrupted.
        stop_at_checkpoints: Ask only when a checkpoint is due. Workers of a cluster, who must ask all at once, do.
    """

    def __init__(
        self,
        folder: RunFolder,
        trainer: TrainerConfig,
        *,
        steps_per_epoch: int,
        position: Position,
        is_chief: bool,
        should_stop=lambda: False,
        stop_at_checkpoints: bool = False,
    ):
        super().__init__()
        self.folder = folder
        self.trainer = trainer
        self.steps_per_epoch = steps_per_epoch
        self.position = position
        self.is_chief = is_chief
        self.should_stop = should_stop
        self.stop_at_checkpoints = stop_at_checkpoints
        self._epoch = position.epoch
        self._saved_step = position.step

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        task: Task = self.model
        step_in_epoch = task.step - self._epoch * self.steps_per_epoch
        if task.step <= self._saved_step or step_in_epoch >= self.steps_per_epoch:
            return  # Steps skipped on resuming; and the end of an epoch is saved once it is validated.
        every = self.trainer.checkpoints.every_steps
        due = every is not None and task.step // every > self._saved_step // every
        stop = (due or not self.stop_at_checkpoints) and self.should_stop()
        if due or stop:
            self._save(self._replace(step=task.step, epoch=self._epoch, step_in_epoch=step_in_epoch))
        if stop:
            raise RunInterrupted

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "step": self.model.step, **{name: float(value) for name, value in logs.items()}}
        settings = self.trainer.checkpoints
        value = row[settings.monitor]
        best = self.position.best_value
        sign = 1.0 if settings.mode == "min" else -1.0
        is_best = math.isfinite(value) and (best is None or sign * value < sign * best)
        position = self._replace(
            step=self.model.step,
            epoch=epoch + 1,
            step_in_epoch=0,
            history=(*self.position.history, row),
            best_value=value if is_best else best,
            best_epoch=epoch + 1 if is_best else self.position.best_epoch,
        )
        self._save(position, is_best=is_best)
        if self.is_chief:
            self.folder.write_history(position.history)
        patience = self.trainer.early_stopping_epochs
        if patience is not None and epoch + 1 - (position.best_epoch or 0) >= patience:
            if self.is_chief:
                reached = (
                    "finite value" if position.best_value is None else f"better value than {position.best_value:.5g}"
                )
                print(f"No {reached} of {settings.monitor} in {patience} epochs: stopping early")
            self.model.stop_training = True
        if epoch + 1 < self.trainer.epochs and not self.model.stop_training and self.should_stop():
            raise RunInterrupted

    def _replace(self, **changes) -> Position:
        return dataclasses.replace(self.position, **changes)

    def _save(self, position: Position, is_best: bool = False):
        arrays = {name: variable.numpy() for name, variable in self.model.state().items()}
        self.position = position
        self._saved_step = position.step
        if not self.is_chief:
            return
        path = checkpoints.checkpoint_path(self.folder.checkpoints, position.step)
        checkpoints.save(path, arrays, position)
        if is_best:
            checkpoints.copy(path, self.folder.best)
        checkpoints.prune(self.folder.checkpoints, self.trainer.checkpoints.keep_last, step=position.step)


def learning_is_stopped_early(position: Position, trainer: TrainerConfig) -> bool:
    """Whether early stopping had ended the run at `position`."""
    patience = trainer.early_stopping_epochs
    return patience is not None and position.epoch > 0 and position.epoch - (position.best_epoch or 0) >= patience


@contextlib.contextmanager
def stop_on_signals(message: str):
    """Yields a function that tells whether SIGINT (Ctrl-C) or SIGTERM came, upon which `message` is printed.

    A second signal ends the process at once.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handle(number, frame):
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received.append(number)
        print(f"\n{message} Once more to stop at once.", flush=True)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
