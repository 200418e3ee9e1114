"""Depth fusion in two levels: both train, the second from what the first predicts; files, signatures, errors."""

import numpy as np
import pytest
import tensorflow as tf

from tests.systems.pointcloud.runs import config_of as classifier_config_of
from tfdlcv.config import load_text
from tfdlcv.data import cloud_files, depth_scenes, tsdf
from tfdlcv.data.depth_fusion import Scenes
from tfdlcv.data.point_clouds import examples
from tfdlcv.errors import UserError
from tfdlcv.systems.depth_fusion_levels import FusionLevels
from tfdlcv.training import resuming, run

TEXT = """
system: pointcloud/fusion
model: {name: octnet_fusion, filters: [3, 4, 4]}
data: {name: depth_scenes, resolution: 8, views: 2, pixels: 16, train_examples: 8, validation_examples: 3,
  test_examples: 3}
optimizer: {name: adam, learning_rate: 0.003}
trainer: {epochs: 2, steps_per_epoch: 2, run_dir: RUN_DIR, batch_size: 4, tensorboard: {pictures_every_epochs: 1}}
"""


def config_of(run_dir, *overrides):
    return load_text(TEXT.replace("RUN_DIR", str(run_dir)), overrides)


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """(run folder, results) of 8^3 and of 16^3."""
    folder = tmp_path_factory.mktemp("fusion")
    first = folder / "first", run.train(config_of(folder / "first"))
    finer = config_of(folder / "second", "data.resolution=16", f"model.coarser={folder / 'first'}")
    return first, (folder / "second", run.train(finer))


def test_both_levels_train_and_are_scored_beside_the_average(levels):
    for run_dir, results in levels:
        test = results["test"]
        assert {"loss", "iou", "distance_error", "average_iou", "average_distance_error"} <= set(test)
        assert 0 <= test["iou"] <= 1 and np.isfinite(test["loss"])
        assert test["loss"] == pytest.approx(test["distance_error"], rel=1e-3)
        assert run.evaluate(run_dir).scores["average_iou"] == pytest.approx(test["average_iou"], rel=1e-5)


def test_the_baseline_is_the_average_of_the_test_scenes(levels):
    run_dir, results = levels[0]
    source = Scenes(resuming.load_run(run_dir)[1].data, "test")
    overlaps = []
    for index in range(3):
        maps, truth = source.load(index)
        inside, average = truth <= 0, tsdf.fuse(maps, 8)[0] <= 0
        overlaps.append((inside & average).sum() / (inside | average).sum())
    assert results["test"]["average_iou"] == pytest.approx(np.mean(overlaps), rel=1e-3)


def test_predictions_go_through_both_levels_as_batches_do(levels):
    run_dir, _ = levels[1]
    _, config, system, task, _ = resuming.load_run(run_dir)
    batch = examples(system.build_datasets(config).test, [2])
    inputs = {tensor.name: batch[tensor.name] for tensor in task.network.inputs}
    expected = np.asarray(task.network(inputs, training=False))[0, ..., 0]
    maps, _ = Scenes(config.data, "test").load(2)
    # float16 holds the coarser prediction in training.
    np.testing.assert_allclose(FusionLevels(config, task.network).fuse(maps), expected, atol=0.02)


def test_files_are_fused(levels, tmp_path):
    run_dir, _ = levels[1]
    random = np.random.default_rng(0)
    maps = depth_scenes.render(depth_scenes.random_scene(random), random, views=3, pixels=20)
    np.savez(tmp_path / "scan.npz", **vars(maps))
    written = run.predict(run_dir, [tmp_path / "scan.npz"], tmp_path / "out")
    assert {path.name for path in written.values()} == {"scan.tsdf.npz", "scan.surface.ply", "scan.png"}
    with np.load(tmp_path / "out" / "scan.tsdf.npz") as content:
        assert content["tsdf"].shape == (16, 16, 16)
        assert float(content["truncation"]) == pytest.approx(6.4 / 16)
        points, _ = tsdf.surface_points(content["tsdf"])
    if len(points):
        np.testing.assert_allclose(
            cloud_files.read_cloud(tmp_path / "out" / "scan.surface.ply").positions, points, atol=1e-6
        )
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="bad.npz: damaged, or cut short at byte 2"):
        run.predict(run_dir, [tmp_path / "bad.npz"], tmp_path / "out")
    with pytest.raises(UserError, match="there are no depth maps to fuse"):
        run.predict(run_dir, [tmp_path / "bad.npz"], tmp_path / "out", on_error="skip")


@pytest.mark.parametrize("level", [0, 1])
def test_exported_signatures_give_the_networks_outputs(level, levels):
    run_dir, results = levels[level]
    served = tf.saved_model.load(results["export"]).signatures["serving_default"]
    _, config, _, task, _ = resuming.load_run(run_dir)
    maps, _ = Scenes(config.data, "test").load(0)
    chain = FusionLevels(config, task.network)
    inputs = chain.inputs(maps)
    inputs = inputs if level else {"histogram": inputs}
    outputs = served(**{name: tf.constant(value) for name, value in inputs.items()})
    np.testing.assert_allclose(outputs["tsdf"][0, ..., 0], chain.fuse(maps), rtol=1e-3, atol=1e-4)


def test_a_coarser_run_that_does_not_fit_is_named(levels, tmp_path):
    run_dir, _ = levels[0]
    with pytest.raises(UserError, match=r"has data.resolution 8, but must have half of 32"):
        run.train(config_of(tmp_path / "run", "data.resolution=32", f"model.coarser={run_dir}"))
    run.train(classifier_config_of("classifier", tmp_path / "other", "trainer.epochs=1", "model={name: pointnet}"))
    with pytest.raises(UserError, match=r"is a run of pointcloud/classifier, not of pointcloud/fusion"):
        run.train(config_of(tmp_path / "run", "data.resolution=16", f"model.coarser={tmp_path / 'other'}"))
    with pytest.raises(UserError, match="data.resolution"):
        config_of(tmp_path / "run", "data.resolution=12")
