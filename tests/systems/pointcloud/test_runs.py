"""Both systems: one history on one device and two replicas, with and without XLA; bfloat16; checkpoints; pictures; the
SavedModel in a process without this package."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.systems.pointcloud.runs import SYSTEMS, config_of
from tfdlcv.config import system_module
from tfdlcv.data.point_clouds import examples
from tfdlcv.training import resuming, run, strategies

CLIENT = """
import sys
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures
assert not any(name.startswith("tfdlcv") for name in sys.modules), "the client imported the package"
arrays = dict(np.load(sys.argv[2]))
results = {}
for signature in ("serving_default", "pyramid"):
    inputs = {n.partition("/")[2]: tf.constant(v) for n, v in arrays.items() if n.startswith(signature)}
    outputs = served[signature](**inputs)
    results |= {f"{signature}/{name}": value.numpy() for name, value in outputs.items()}
np.savez(sys.argv[3], **results)
"""


def numbers(results):
    kept = {**results["validation"], **{f"test_{name}": value for name, value in results["test"].items()}}
    return {name: value for name, value in kept.items() if name.endswith(("loss", "gradient_norm"))}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """A finished run of each system, made when it is first asked for."""
    made = {}

    def get(name):
        if name not in made:
            run_dir = tmp_path_factory.mktemp(name) / "run"
            made[name] = run_dir, run.train(config_of(name, run_dir, pictures=1))
        return made[name]

    return get


def on_two_replicas(monkeypatch):
    strategy = strategies._mirrored(("CPU:0", "CPU:1"))
    monkeypatch.setattr(strategies, "build_strategy", lambda trainer: strategy)


def assert_near(found, expected, tolerance):
    for key, value in numbers(expected).items():
        assert numbers(found)[key] == pytest.approx(value, rel=tolerance), key


def test_two_replicas_have_the_history_of_one(tmp_path, monkeypatch):
    # A network without normalisation, whose statistics each replica takes of its own part of the batch.
    options = "model={name: flex_mnist3d, neighbors: 5}", "trainer.epochs=1"
    expected = run.train(config_of("classifier", tmp_path / "one", *options))
    on_two_replicas(monkeypatch)
    assert_near(run.train(config_of("classifier", tmp_path / "two", *options)), expected, 1e-3)


def test_xla_changes_nothing(references, tmp_path):
    _, expected = references("segmenter")
    assert_near(run.train(config_of("segmenter", tmp_path / "run", "trainer.xla=on")), expected, 5e-3)


@pytest.mark.parametrize(("name", "xla"), [("classifier", "off"), ("segmenter", "on")])
def test_bfloat16_on_two_replicas_stays_near(name, xla, references, tmp_path, monkeypatch):
    _, expected = references(name)
    on_two_replicas(monkeypatch)
    options = "trainer.precision=mixed_bfloat16", f"trainer.xla={xla}"
    results = run.train(config_of(name, tmp_path / "run", *options))
    assert results["test"]["loss"] == pytest.approx(expected["test"]["loss"], rel=0.25)


@pytest.mark.parametrize("name", SYSTEMS)
def test_evaluation_of_the_checkpoint_repeats_the_result(name, references):
    run_dir, expected = references(name)
    for key, value in run.evaluate(run_dir).scores.items():
        assert value == pytest.approx(expected["test"][key], rel=1e-4), key


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_process_without_the_package_gets_the_same_outputs(name, references, tmp_path):
    run_dir, results = references(name)
    config = config_of(name, run_dir)
    system = system_module(config.system)
    task = resuming.load_run(run_dir)[3]
    batch = examples(system.build_datasets(config).validation, [0, 1])
    own = {f"pyramid/{tensor.name}": batch[tensor.name] for tensor in task.network.inputs}
    raw = {"serving_default/positions": batch["positions"]}
    if name == "segmenter":
        raw["serving_default/color"] = np.round((batch["features"][..., 1:] + 0.5) * 255).astype(np.uint8)
    np.savez(tmp_path / "in.npz", **own, **raw)
    command = [results["export"], str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run([sys.executable, "-c", CLIENT, *command], check=True, cwd=tmp_path)
    logits = np.asarray(task.network({t.name: batch[t.name] for t in task.network.inputs}, training=False))
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    served = system.serving(config, json.loads((run_dir / "dataset.json").read_text()), task)
    again = served.signatures["serving_default"](**{key.partition("/")[2]: tf.constant(v) for key, v in raw.items()})
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_allclose(outputs["pyramid/probabilities"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(outputs["pyramid/class_id"], expected.argmax(axis=-1))
        np.testing.assert_allclose(
            outputs["serving_default/probabilities"], again["probabilities"], rtol=1e-4, atol=1e-5
        )
        # Other points went to the coarser levels than on the host, so that numbers differ a little.
        nearness = np.abs(outputs["serving_default/probabilities"] - expected).mean()
        assert nearness < 0.15 * np.abs(expected - expected[:, ::-1]).mean() + 0.02


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: np.where(np.arange(p.shape[1])[:, None] == 3, np.nan, p), "positions must be finite"),
        (lambda p: p[:, :4], "positions must hold at least .* points"),
    ],
)
def test_served_errors(name, spoil, message, references):
    _, results = references(name)
    served = tf.saved_model.load(results["export"]).signatures["serving_default"]
    positions = spoil(np.random.default_rng(0).random((1, 200, 3)).astype(np.float32))
    inputs = {"positions": positions}
    if name == "segmenter":
        inputs["color"] = np.zeros(positions.shape, np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served(**{key: tf.constant(value) for key, value in inputs.items()})


@pytest.mark.parametrize(
    ("name", "tensor", "value", "message"),
    [
        ("classifier", "positions", np.nan, "positions must be finite"),
        ("classifier", "neighbors0", 64, "neighbors0 must be -1, .*64.*points of level 0; .*0.*to.*64"),
        ("classifier", "neighbors1", 16, "neighbors1 must be .*16.*points of level 1; .*0.*to.*16"),
        ("classifier", "pool0", -2, "pool0 must be .*64.*points of level 0; .*-2"),
        ("segmenter", "up0", 32, "up0 must be .*32.*points of level 1; .*0.*to.*32"),
    ],
)
def test_served_pyramids_that_are_wrong(name, tensor, value, message, references):
    run_dir, results = references(name)
    served = tf.saved_model.load(results["export"]).signatures["pyramid"]
    config = config_of(name, run_dir)
    batch = examples(system_module(config.system).build_datasets(config).validation, [0, 1])
    inputs = {key: np.array(batch[key]) for key in served.structured_input_signature[1]}
    served(**{key: tf.constant(array) for key, array in inputs.items()})
    inputs[tensor][1, 3, 1] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        served(**{key: tf.constant(array) for key, array in inputs.items()})


@pytest.mark.parametrize(("name", "pictures"), [("classifier", "predictions"), ("segmenter", "segmentation")])
def test_tensorboard_shows_clouds(name, pictures, references):
    run_dir, _ = references(name)
    tags = set()
    for folder in (run_dir / "tensorboard").rglob("events*"):
        events = EventAccumulator(str(folder.parent)).Reload()
        tags |= {*events.Tags()["images"], *events.Tags()["tensors"]}
    assert any(pictures in tag for tag in tags) and any("confusion_matrix" in tag for tag in tags)
