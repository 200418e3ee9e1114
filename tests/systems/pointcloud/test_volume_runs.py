"""Classification of clouds as volumes: OctNet and its dense baseline train, are evaluated, predict and are served."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.data.published_clouds import TETRAHEDRON
from tests.systems.pointcloud.runs import config_of
from tfdlcv.config import system_module
from tfdlcv.data import point_clouds
from tfdlcv.data.volumes import VolumeSpec, volume_arrays
from tfdlcv.errors import UserError
from tfdlcv.training import resuming, run, strategies

SMALL = "resolution: 16, hidden_units: 8"


def model(name):
    return f"model={{name: {name}, {SMALL}}}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each network, made when it is first asked for."""
    made = {}

    def get(name):
        if name not in made:
            run_dir = tmp_path_factory.mktemp(name) / "run"
            made[name] = run_dir, run.train(config_of("classifier", run_dir, model(name), pictures=1))
        return made[name]

    return get


@pytest.mark.parametrize("name", ["octnet", "dense3d"])
def test_evaluation_of_the_checkpoint_repeats_the_result(name, runs):
    run_dir, expected = runs(name)
    assert expected["steps"] == 6 and np.isfinite(expected["test"]["loss"])
    for key, value in run.evaluate(run_dir).scores.items():
        assert value == pytest.approx(expected["test"][key], rel=1e-4), key


def test_two_replicas_have_the_history_of_one(runs, tmp_path, monkeypatch):
    """Volumes are cut into parts after they were padded to the largest of the whole batch."""
    _, expected = runs("octnet")
    strategy = strategies._mirrored(("CPU:0", "CPU:1"))
    monkeypatch.setattr(strategies, "build_strategy", lambda trainer: strategy)
    found = run.train(config_of("classifier", tmp_path / "two", model("octnet")))
    for key in ("loss", "val_loss", "gradient_norm"):
        assert found["validation"][key] == pytest.approx(expected["validation"][key], rel=1e-3), key


@pytest.mark.parametrize("name", ["octnet", "dense3d"])
def test_files_are_classified_as_the_network_says(name, runs, tmp_path):
    run_dir, _ = runs(name)
    np.savetxt(tmp_path / "ball.xyz", np.random.default_rng(0).normal(size=(300, 3)) * 9)
    (tmp_path / "mesh.off").write_text("OFF\n" + TETRAHEDRON)
    written = run.predict(run_dir, [tmp_path], tmp_path / "out")
    with open(written["predictions.csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"].rpartition("/")[2] for row in rows] == ["ball.xyz", "mesh.off"]
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)
    np.savetxt(tmp_path / "bad.xyz", [[0, 0, 0], [0, np.nan, 1]])
    with pytest.raises(UserError, match="bad.xyz: positions of point 1 is not finite"):
        run.predict(run_dir, [tmp_path / "bad.xyz"], tmp_path / "out")


@pytest.mark.parametrize("name", ["octnet", "dense3d"])
def test_exported_signatures_give_the_networks_outputs(name, runs):
    run_dir, results = runs(name)
    signatures = tf.saved_model.load(results["export"]).signatures
    _, config, _, task, _ = resuming.load_run(run_dir)
    batch = point_clouds.examples(system_module(config.system).build_datasets(config).validation, [0, 1])
    own = {tensor.name: batch[tensor.name] for tensor in task.network.inputs}
    logits = np.asarray(task.network(own if name == "octnet" else own["occupancy"], training=False))
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    signature = signatures["serving_default" if name == "octnet" else "volume"]
    outputs = signature(**{key: tf.constant(value) for key, value in own.items()})
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-4, atol=1e-6)


def test_dense_volumes_are_served_from_points(runs):
    run_dir, results = runs("dense3d")
    served = tf.saved_model.load(results["export"]).signatures["serving_default"]
    positions = np.random.default_rng(0).uniform(-4, 9, (2, 200, 3)).astype(np.float32)
    centred = positions - positions.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=-1).max(axis=1)[:, None, None]
    volume = volume_arrays(centred, VolumeSpec(16, octree=False))["occupancy"]
    logits = np.asarray(resuming.load_run(run_dir)[3].network(volume, training=False))
    outputs = served(positions=tf.constant(positions))
    np.testing.assert_array_equal(outputs["class_id"], logits.argmax(axis=-1))
    positions[1, 3, 0] = np.inf
    for bad, message in ((positions, "must be finite"), (positions[:, :0], "at least 1 point")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served(positions=tf.constant(bad))


def test_bad_configs(tmp_path):
    for override, message in (
        ("model={name: octnet, resolution: 20}", "model.resolution"),
        ("model={name: octnet, neighbors: 5}", "model.neighbors"),
        ("model={name: dense3d, resolution: 8}", "model.resolution: .*>= 16"),
    ):
        with pytest.raises(UserError, match=message):
            config_of("classifier", tmp_path / "run", override)
