import os
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from tfdlcv.training import event_files
from tfdlcv.training.tensorboard import Picture, TensorBoardLogger, flat_hparams, write_results

STEPS = 10  # Steps of an epoch.


class Task(keras.Model):
    """A model with a `network` and a `step`, and the logs of the real one."""

    def __init__(self):
        super().__init__()
        inputs = keras.Input((4,), name="points")
        hidden = keras.layers.Dense(3, name="hidden")(inputs)
        self.network = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden), name="tiny")
        self.step = 0
        self.built = True
        self.compile("sgd", "mse")

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def make_train_function(self, force=False):
        def function(iterator):
            next(iterator)
            self.step += 1
            loss = tf.constant(1.0 / self.step)
            return {"loss": loss, "learning_rate": 0.1, "gradient_norm": loss * 2, "matrix": tf.zeros((2, 2))}

        self.train_function = function

    def make_test_function(self, force=False):
        def function(iterator):
            next(iterator)
            return {"loss": tf.constant(2.0 / max(self.step, 1))}

        self.test_function = function

    def get_metrics_result(self):
        return {}


def fit(directory, *, epochs=2, task=None, initial_epoch=0, validate=True, callbacks=(), **options):
    task = task or Task()
    dataset = tf.data.Dataset.from_tensors((tf.zeros((2, 4)), tf.zeros((2, 1)))).repeat(STEPS)
    logger = TensorBoardLogger(directory, **options)
    task.fit(
        dataset,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=dataset.take(1) if validate else None,
        callbacks=[logger, *callbacks],
        verbose=0,
    )
    return task


def read(directory) -> EventAccumulator:
    # By default it keeps a sample of the points.
    return EventAccumulator(str(directory), size_guidance={"tensors": 0, "graph": 1}).Reload()


def scalars(directory, tag):
    """{step: value}; fails if a step is there twice."""
    events = read(directory).Tensors(tag)
    steps = [event.step for event in events]
    assert steps == sorted(set(steps))
    return {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events}


def picture(shade):
    return Picture(read=lambda: shade, draw=lambda value: np.full((6, 8, 3), value, np.uint8))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tensorboard")
    fit(
        directory,
        config_text="model:\n  depth: 20\n# <b>&",
        hparams={"model": {"depth": 20, "freeze": ["a"]}, "optimizer": {"learning_rate": 0.1}, "note": None},
        batch_size=32,
        pictures={"confusion_matrix": picture(7), "samples": picture(9)},
        every_steps=5,
        histograms_every_epochs=2,
    )
    return directory


def test_training_and_validation_share_a_chart(run):
    assert scalars(run / "train", "epoch/loss") == pytest.approx({10: 1 / 10, 20: 1 / 20})
    assert scalars(run / "validation", "epoch/loss") == pytest.approx({10: 2 / 10, 20: 2 / 20})


def test_steps_are_charted_every_so_often(run):
    assert scalars(run / "train", "step/loss") == pytest.approx({5: 1 / 5, 10: 1 / 10, 15: 1 / 15, 20: 1 / 20})
    assert scalars(run / "train", "step/learning_rate") == pytest.approx(dict.fromkeys([5, 10, 15, 20], 0.1))
    assert scalars(run / "train", "step/gradient_norm") == pytest.approx({s: 2 / s for s in (5, 10, 15, 20)})
    assert set(scalars(run / "train", "step/examples_per_second")) == {5, 10, 15, 20}
    assert "step/matrix" not in read(run / "train").Tags()["tensors"]


def test_examples_per_second_leaves_validation_and_the_first_step_out(tmp_path):
    class Slow(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            time.sleep(0.5)

        def on_train_batch_begin(self, batch, logs=None):
            time.sleep(0.5 if batch == 0 else 0.02)

    fit(tmp_path, batch_size=10, every_steps=5, callbacks=[Slow()])
    for rate in scalars(tmp_path / "train", "step/examples_per_second").values():
        assert 0.3 * 10 / 0.02 < rate <= 10 / 0.02  # With a validation of 0.5 s it were 0.17 at most.


def test_the_graph_of_the_network_is_there(run):
    graph = read(run / "train").Graph()
    names = {node.name for node in graph.node}
    assert any("hidden" in name and "MatMul" in name for name in names)
    assert any("head" in name and "MatMul" in name for name in names)
    assert "points" in " ".join(names)


def test_graphs_of_several_networks_are_shown_together(tmp_path):
    task = Task()
    task.networks = {"one": task.network, "other": Task().network}
    fit(tmp_path, task=task, epochs=1)
    graph = read(tmp_path / "train").Graph()
    assert sum(node.op == "MatMul" for node in graph.node) == 4


def test_the_config_is_shown_as_it_is_written(run):
    (event,) = read(run).Tensors("config")
    text = tf.make_ndarray(event.tensor_proto)[()].decode()
    assert text == "    model:\n      depth: 20\n    # <b>&\n"


def test_pictures_of_each_epoch(run):
    accumulator = read(run / "validation")
    for name, shade in (("confusion_matrix", 7), ("samples", 9)):
        events = accumulator.Tensors(f"pictures/{name}")
        assert [event.step for event in events] == [10, 20]
        width, height, encoded = tf.make_ndarray(events[-1].tensor_proto)
        assert (width, height) == (b"8", b"6")
        np.testing.assert_array_equal(tf.io.decode_png(encoded), np.full((6, 8, 3), shade))


def test_histograms_on_request(run, tmp_path):
    tags = read(run / "train").Tags()["tensors"]
    histograms = [tag for tag in tags if tag.startswith("weights/")]
    assert sorted(tag.split("/", 2)[2] for tag in histograms) == [
        f"{layer}/{name}" for layer in ("head", "hidden") for name in ("bias", "kernel")
    ]
    (event,) = read(run / "train").Tensors(histograms[0])
    assert event.step == 20
    assert tf.make_ndarray(event.tensor_proto)[:, 2].sum() in (1, 3, 12)  # Left edge, right edge and count.
    fit(tmp_path)
    assert not any(tag.startswith("weights/") for tag in read(tmp_path / "train").Tags()["tensors"])


def hparams_content(directory, tag):
    return plugin_data_pb2.HParamsPluginData.FromString(read(directory).SummaryMetadata(tag).plugin_data.content)


def test_hparams_and_the_end_of_the_trial(run):
    start = hparams_content(run, "_hparams_/session_start_info").session_start_info
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert values == {"model.depth": 20, "model.freeze": '["a"]', "optimizer.learning_rate": 0.1, "note": "null"}
    end = hparams_content(run, "_hparams_/session_end_info").session_end_info
    assert end.status == 1  # STATUS_SUCCESS


def test_flat_hparams():
    config = {"a": {"b": {"c": 1}, "d": True}, "e": (1, "x"), "f": 0.5, "g": Path("p")}
    assert flat_hparams(config) == {"a.b.c": 1, "a.d": True, "e": '[1, "x"]', "f": 0.5, "g": '"p"'}


def test_results(tmp_path):
    write_results(tmp_path, {"accuracy": 0.97}, step=40)
    assert scalars(tmp_path, "result/accuracy") == pytest.approx({40: 0.97})


def test_pictures_may_be_rarer_or_none(tmp_path):
    pictures = {"samples": picture(1)}
    fit(tmp_path / "rarer", epochs=4, pictures=pictures, pictures_every_epochs=2)
    events = read(tmp_path / "rarer" / "validation").Tensors("pictures/samples")
    assert [event.step for event in events] == [20, 40]
    fit(tmp_path / "none", epochs=2, pictures=pictures, pictures_every_epochs=0)
    assert "pictures/samples" not in read(tmp_path / "none" / "validation").Tags()["tensors"]


def test_without_validation_there_are_the_charts_of_training(tmp_path):
    fit(tmp_path, validate=False)
    assert set(scalars(tmp_path / "train", "epoch/loss")) == {10, 20}


def test_a_profiler_trace_on_request(tmp_path):
    fit(tmp_path, epochs=1, profile_steps=(3, 5))
    (trace,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 0


def test_a_trace_that_outlasts_training_is_still_written(tmp_path):
    fit(tmp_path, epochs=1, profile_steps=(8, 1000))
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
    task = Task()
    task.step = 2000
    fit(tmp_path / "resumed", task=task, epochs=1, profile_steps=(8, 1000))
    assert not list((tmp_path / "resumed").glob("plugins/**/*.pb"))


def test_only_the_chief_writes_but_every_worker_reads(tmp_path):
    read_by_others = []

    def fail(content):
        raise AssertionError("drawn on a worker that is not the chief")

    others = Picture(read=lambda: read_by_others.append(1), draw=fail)
    fit(
        tmp_path,
        is_chief=False,
        hparams={"a": 1},
        config_text="a",
        pictures={"p": others},
        profile_steps=(1, 2),
        histograms_every_epochs=1,
    )
    assert list(tmp_path.iterdir()) == []
    assert len(read_by_others) == 2


# --- Resuming --------------------------------------------------------------------------------------------------------


class Kill(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.at = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step == self.at:
            raise KeyboardInterrupt


def test_a_resumed_run_has_each_point_once(tmp_path):
    options = {"every_steps": 2, "config_text": "a", "hparams": {"a": 1}, "pictures": {"p": picture(1)}}
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, epochs=4, callbacks=[Kill(27)], **options)
    (before,) = read(tmp_path).Tensors("config")
    task = Task()
    task.step = 20  # The last checkpoint.
    fit(tmp_path, task=task, epochs=4, initial_epoch=2, **options)

    for tag, steps in (("step/loss", range(2, 41, 2)), ("epoch/loss", (10, 20, 30, 40))):
        assert list(scalars(tmp_path / "train", tag)) == list(steps)
    assert list(scalars(tmp_path / "validation", "epoch/loss")) == [10, 20, 30, 40]
    assert [event.step for event in read(tmp_path / "validation").Tensors("pictures/p")] == [10, 20, 30, 40]
    # What an earlier process has told stays, once.
    (after,) = read(tmp_path).Tensors("config")
    assert after == before
    assert len(read(tmp_path / "train").Graph().node) > 0
    assert hparams_content(tmp_path, "_hparams_/session_end_info").session_end_info.status == 1


def test_a_run_that_begins_anew_forgets_what_was_there(tmp_path):
    fit(tmp_path, epochs=3, every_steps=5, config_text="old")
    fit(tmp_path, epochs=1, every_steps=5, config_text="new")
    assert list(scalars(tmp_path / "train", "step/loss")) == [5, 10]
    (event,) = read(tmp_path).Tensors("config")
    assert b"new" in tf.make_ndarray(event.tensor_proto)[()]


def test_steps_that_a_resumed_epoch_passes_over_are_not_charted(tmp_path):
    class Passing(Task):
        passed = 0

        def make_train_function(self, force=False):
            super().make_train_function()
            train = self.train_function

            def function(iterator):
                if self.passed:
                    self.passed -= 1
                    return {"loss": 77.0}
                return train(iterator)

            self.train_function = function

    task = Passing()
    task.step, task.passed = 6, 6
    fit(tmp_path, task=task, epochs=1, every_steps=2)
    assert scalars(tmp_path / "train", "step/loss") == pytest.approx({8: 1 / 8, 10: 1 / 10})


def write_points(directory, steps):
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("x", step, step=step)
    writer.close()
    (path,) = [path for path in directory.iterdir() if path.is_file()]
    return path


def test_rewind_keeps_the_step_itself_and_files_that_need_no_change(tmp_path):
    path = write_points(tmp_path, range(10))
    before = path.stat().st_ino
    assert event_files.rewind(tmp_path, 9)
    assert path.stat().st_ino == before
    assert event_files.rewind(tmp_path, 4)
    assert list(scalars(tmp_path, "x")) == [0, 1, 2, 3, 4]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_rewind_removes_what_is_left_without_events(tmp_path):
    write_points(tmp_path, range(5, 9))
    assert not event_files.rewind(tmp_path, 4)
    assert list(tmp_path.iterdir()) == []
    assert not event_files.rewind(tmp_path / "absent", 4)


def test_rewind_drops_half_a_record_at_the_end(tmp_path):
    path = write_points(tmp_path, range(4))
    os.truncate(path, path.stat().st_size - 5)
    assert event_files.rewind(tmp_path, 100)
    assert list(scalars(tmp_path, "x")) == [0, 1, 2]
    assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == 4  # With the header, and without an error.


def test_rewind_leaves_subfolders_and_other_files_alone(tmp_path):
    inner = tmp_path / "train"
    inner.mkdir()
    write_points(inner, range(4))
    (tmp_path / "notes.txt").write_text("mine")
    event_files.rewind(tmp_path, 0)
    assert list(scalars(inner, "x")) == [0, 1, 2, 3]
    assert (tmp_path / "notes.txt").exists()


def test_wrong_arguments_name_their_values(tmp_path):
    with pytest.raises(ValueError, match="every_steps=0"):
        TensorBoardLogger(tmp_path, every_steps=0)
    with pytest.raises(ValueError, match="pictures_every_epochs=-1"):
        TensorBoardLogger(tmp_path, pictures_every_epochs=-1)
    with pytest.raises(ValueError, match="histograms_every_epochs=-2"):
        TensorBoardLogger(tmp_path, histograms_every_epochs=-2)
    with pytest.raises(ValueError, match=r"profile_steps=\(5, 4\)"):
        TensorBoardLogger(tmp_path, profile_steps=(5, 4))
