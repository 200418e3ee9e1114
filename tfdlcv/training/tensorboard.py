"""What a run shows in TensorBoard.

    <directory>/train/         scalars of training, the network graph, weight histograms
    <directory>/validation/    scalars of validation under the same names, so that both share a chart; pictures
    <directory>/               the config as text, hyper-parameters, results; a profiler trace

The horizontal axis of everything is the global step.

`keras.callbacks.TensorBoard` is not its base: that one counts epochs and its own batches, which start from 0 when a
run resumes, writes a graph only of a model that is itself functional, and is not told which worker is the chief.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api

from tfdlcv.training import event_files


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn anew after an epoch, once validation is done.

    Attributes:
        read: collects what the picture shows. Every worker of a cluster calls it, because reading a metric takes all.
        draw: makes a picture (H, W, 3) uint8 of what `read` returned. Only the chief calls it.
    """

    read: Callable[[], Any]
    draw: Callable[[Any], np.ndarray]


class TensorBoardLogger(keras.callbacks.Callback):
    """Writes scalars, graph, config, pictures, histograms, hyper-parameters and a profiler trace.

    Its model has `step`, the number of training steps so far, and `network` or `networks` (a dict by name) of Keras
    functional models. Where training resumes at a later step than 0, what an earlier process wrote beyond that step is
    removed first. Every worker of a cluster needs the callback (see `Picture`); the chief alone writes.

    Args:
        directory: TensorBoard's folder of this run.
        config_text: the resolved config, shown as it is written.
        hparams: the config as nested dicts, for the HParams page.
        batch_size: examples in a global batch; without it, steps have no `examples_per_second`.
        pictures: by name.
        every_steps: steps between two points of the `step/` charts. Their loss and metrics are means since the
            epoch's first step, as in Keras's progress bar.
        pictures_every_epochs, histograms_every_epochs: 0 for none.
        profile_steps: first and last global step of a trace by TensorFlow's profiler, from 1.
        is_chief: whether this process writes.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        config_text: str = "",
        hparams: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        pictures: Mapping[str, Picture] | None = None,
        every_steps: int = 20,
        pictures_every_epochs: int = 1,
        histograms_every_epochs: int = 0,
        profile_steps: tuple[int, int] | None = None,
        is_chief: bool = True,
    ):
        super().__init__()
        if every_steps < 1:
            raise ValueError(f"every_steps must be at least 1. Received: every_steps={every_steps}")
        for name, epochs in (
            ("pictures_every_epochs", pictures_every_epochs),
            ("histograms_every_epochs", histograms_every_epochs),
        ):
            if epochs < 0:
                raise ValueError(f"{name} must be at least 0. Received: {name}={epochs}")
        if profile_steps is not None and not 1 <= profile_steps[0] <= profile_steps[1]:
            raise ValueError(
                f"profile_steps must be two steps with 1 <= first <= last. Received: profile_steps={profile_steps}"
            )
        self.directory = Path(directory)
        self.config_text = config_text
        self.hparams = flat_hparams(hparams or {})
        self.batch_size = batch_size
        self.pictures = dict(pictures or {})
        self.every_steps = every_steps
        self.pictures_every_epochs = pictures_every_epochs
        self.histograms_every_epochs = histograms_every_epochs
        self.profile_steps = profile_steps
        self.is_chief = is_chief
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._profile_state = "due" if profile_steps is not None and is_chief else "done"  # due, running, done
        self._seen_step = 0
        self._rate_start: tuple[int, float] | None = None  # Step and time.

    def on_train_begin(self, logs=None):
        step = self._seen_step = self.model.step
        if not self.is_chief:
            return
        folders = {
            "run": self.directory,
            "train": self.directory / "train",
            "validation": self.directory / "validation",
        }
        left = [event_files.rewind(folder, step) for folder in folders.values()]
        self._writers = {name: tf.summary.create_file_writer(str(folder)) for name, folder in folders.items()}
        if any(left):
            return  # An earlier process of this run has written what follows.
        with self._writers["train"].as_default(step):
            tf.summary.graph(_graph_of([*self._networks().values()]))
        with self._writers["run"].as_default(step):
            if self.config_text:
                # Four spaces make a block of code in Markdown, whatever the text holds.
                tf.summary.text("config", "".join(f"    {line}\n" for line in self.config_text.splitlines()))
            if self.hparams:
                hparams_api.hparams(self.hparams)

    def on_train_batch_begin(self, batch, logs=None):
        if self._profile_state == "due" and self.model.step + 1 >= self.profile_steps[0]:
            self._start_profile()

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.step
        if self._profile_state == "running" and step >= self.profile_steps[1]:
            self._stop_profile()
        previous, self._seen_step = self._seen_step, step
        if step == previous or not self.is_chief:  # No step is taken where a resumed epoch passes over what was done.
            return
        if step // self.every_steps > previous // self.every_steps:
            values = {name: float(value) for name, value in (logs or {}).items() if np.ndim(value) == 0}
            values |= self._rate(step)  # After `float`, which waits for the device.
            self._write_scalars("train", {f"step/{name}": value for name, value in values.items()}, step)
            self._rate_start = step, time.perf_counter()
        elif self._rate_start is None:
            # The first step of an epoch is not timed: it waits for the data, and in the first epoch for compilation.
            self._rate_start = step, time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._rate_start = None

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if self.pictures_every_epochs and (epoch + 1) % self.pictures_every_epochs == 0:
            contents = {name: picture.read() for name, picture in self.pictures.items()}
        else:
            contents = {}
        if not self.is_chief:
            return
        values = {name: float(value) for name, value in (logs or {}).items() if np.ndim(value) == 0}
        train = {f"epoch/{name}": value for name, value in values.items() if not name.startswith("val_")}
        validation = {f"epoch/{name[4:]}": value for name, value in values.items() if name.startswith("val_")}
        self._write_scalars("train", train, step)
        self._write_scalars("validation", validation, step)
        with self._writers["validation"].as_default(step):
            for name, content in contents.items():
                tf.summary.image(f"pictures/{name}", self.pictures[name].draw(content)[None])
        if self.histograms_every_epochs and (epoch + 1) % self.histograms_every_epochs == 0:
            self._write_histograms(step)
        for writer in self._writers.values():
            writer.flush()  # Pictures and histograms too.

    def on_train_end(self, logs=None):
        if self._profile_state == "running":
            self._stop_profile()
        if self.hparams and self._writers:
            # Marks the trial as a success; a run that was cut short has no such mark.
            hparams_api.KerasCallback(self._writers["run"], self.hparams).on_train_end()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _networks(self) -> dict[str, keras.Model]:
        return getattr(self.model, "networks", None) or {"network": self.model.network}

    def _rate(self, step: int) -> dict[str, float]:
        if self.batch_size is None or self._rate_start is None:
            return {}
        first_step, started = self._rate_start
        return {"examples_per_second": (step - first_step) * self.batch_size / (time.perf_counter() - started)}

    def _write_scalars(self, writer: str, values: Mapping[str, float], step: int):
        with self._writers[writer].as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writers[writer].flush()  # For whoever watches, and for when the process is killed.

    def _write_histograms(self, step: int):
        with self._writers["train"].as_default(step):
            for name, network in self._networks().items():
                for variable in network.weights:
                    if variable.dtype.startswith(("float", "bfloat")):
                        tf.summary.histogram(f"weights/{name}/{variable.path}", keras.ops.cast(variable, "float32"))

    def _start_profile(self):
        if self.model.step >= self.profile_steps[1]:  # Resumed behind them.
            self._profile_state = "done"
            return
        tf.profiler.experimental.start(str(self.directory))
        self._profile_state = "running"

    def _stop_profile(self):
        tf.profiler.experimental.stop()
        self._profile_state = "done"


def write_results(directory: str | Path, results: Mapping[str, float], *, step: int):
    """Adds the final results of a run, such as those on the test set, as scalars `result/<name>` at `step`."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default(step):
        for name, value in results.items():
            tf.summary.scalar(f"result/{name}", float(value))
    writer.close()


def flat_hparams(config: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested dicts as one with dotted names; what HParams cannot show, such as lists and None, as JSON text."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_hparams(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            flat[f"{prefix}{name}"] = value
        else:
            flat[f"{prefix}{name}"] = json.dumps(value, default=str)
    return flat


def _graph_of(networks: Sequence[keras.Model]) -> tf.Graph:
    """The operations of inference, grouped by network and layer. TensorBoard shows one graph for a folder."""
    specs = [
        {x.name: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name) for x in network.inputs}
        for network in networks
    ]

    def call(inputs):
        for network, tensors in zip(networks, inputs, strict=True):  # Several inputs go by name, as in training.
            network(next(iter(tensors.values())) if len(tensors) == 1 else tensors, training=False)

    return tf.function(call, autograph=False).get_concrete_function(specs).graph
