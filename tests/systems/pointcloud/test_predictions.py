"""Predictions for files: what is written, clouds of any size, blocks that give what the whole gives, and errors."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.data.published_clouds import TETRAHEDRON, write_modelnet_resampled, write_shapenet_part
from tests.systems.pointcloud.runs import config_of
from tfdlcv.config import system_module
from tfdlcv.data import cloud_files, rooms
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.point_clouds import examples, prepare
from tfdlcv.data.pyramid import build_pyramid, spatial_order
from tfdlcv.errors import UserError
from tfdlcv.systems import point_networks
from tfdlcv.systems.point_predictions import Segmenter
from tfdlcv.training import resuming, run
from tfdlcv.visualization.point_clouds import class_colors


@pytest.fixture(scope="module")
def segmenter_run(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("segmenter") / "run"
    run.train(config_of("segmenter", run_dir, "trainer.epochs=1"))
    return run_dir


@pytest.fixture(scope="module")
def building():
    return rooms.sample_building(2000, points_per_room=500)


def segmenter_of(run_dir, **options):
    _, config, _, task, facts = resuming.load_run(run_dir)
    return Segmenter(task.network, facts, point_networks.pyramid_of(config.model), config.model, **options)


@pytest.fixture(scope="module")
def shapes_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapenet_part")
    write_shapenet_part(folder)
    return folder


def untrained(name, *overrides):
    """-> (config, datasets, task): a network as it begins."""
    config = config_of(name, "unused", *overrides)
    system = system_module(config.system)
    datasets = system.build_datasets(config)
    return config, datasets, system.build_task(config, datasets.facts)


def untrained_parts(folder, features="[position, normal, category]"):
    return untrained("segmenter", f"data={{name: shapenet_part, folder: {folder}, points: 32, features: {features}}}")


def predict_parts(parts, paths, directory, category, on_error="stop"):
    config, datasets, task = parts
    overrides = [] if category is None else [f"predict={{category: {category}}}"]
    config = config_of("segmenter", "unused", f"data={config.data.model_dump_json()}", *overrides)
    return system_module(config.system).predict(config, datasets.facts, task, paths, directory, on_error)


def shape(points=40):
    random = np.random.default_rng(7)
    return Cloud(random.normal(size=(points, 3)), normal=random.normal(size=(points, 3)).astype(np.float32))


def test_labels_a_coloured_cloud_and_a_picture_are_written(segmenter_run, building, tmp_path):
    path = cloud_files.write_ply(tmp_path / "house.ply", building.positions, building.color)
    written = run.predict(segmenter_run, [path], tmp_path / "out")
    names = {value.name for value in written.values()}
    assert names == {"house.ply.labels.npz", "house.ply.segmented.ply", "house.ply.png"}
    with np.load(tmp_path / "out" / "house.ply.labels.npz") as content:
        label, probability = content["label"], content["probability"]
        assert tuple(content["class_names"]) == rooms.CLASS_NAMES
    assert label.shape == probability.shape == (2000,)
    assert (probability >= 1 / 8).all() and (probability <= 1).all()
    colored = cloud_files.read_cloud(tmp_path / "out" / "house.ply.segmented.ply")
    np.testing.assert_array_equal(colored.positions, building.positions)  # The points keep their order.
    np.testing.assert_array_equal(colored.label, label)
    np.testing.assert_array_equal(colored.color, class_colors(8)[label])
    with Image.open(tmp_path / "out" / "house.ply.png") as picture:
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50


def test_blocks_of_any_size_give_what_the_whole_gives(segmenter_run, building):
    whole, small = (segmenter_of(segmenter_run, block_points=size, thin=False) for size in (10_000, 90))
    expected, found = whole.segment(building), small.segment(building)
    np.testing.assert_allclose(found["probability"], expected["probability"], rtol=1e-4)
    assert (found["label"] == expected["label"]).mean() > 0.999  # Where two classes are level, rounding decides.


def test_the_order_of_a_file_does_not_matter(segmenter_run, building):
    segmenter = segmenter_of(segmenter_run, thin=False)
    order = np.random.default_rng(0).permutation(len(building))
    shuffled = segmenter.segment(building.select(order))
    np.testing.assert_array_equal(shuffled["label"], segmenter.segment(building)["label"][order])


def test_dense_clouds_are_thinned_to_the_spacing_of_training(segmenter_run):
    segmenter = segmenter_of(segmenter_run)
    building = rooms.sample_building(512, points_per_room=128)  # As dense as in training.
    assert segmenter._thinned(building.positions) is None
    random = np.random.default_rng(0)
    sparse = building.positions
    dense = np.concatenate([sparse + random.normal(0, 0.01, sparse.shape) for _ in range(30)])
    kept = segmenter._thinned(dense)
    assert 0.3 * len(sparse) < len(kept) < 3 * len(sparse)
    cells = np.floor((dense[kept] - dense.min(axis=0)) / (2 * segmenter.facts["spacing"]))
    assert len(np.unique(cells, axis=0)) == len(kept)
    cloud = Cloud(dense, color=np.tile(building.color, (30, 1)))
    found = segmenter.segment(cloud)
    assert found["label"].shape == (len(dense),)
    # A point that was left out has the label of the nearest that was not.
    gaps = np.linalg.norm(dense[kept][None] - dense[:200, None], axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(found["label"][:200], found["label"][kept][gaps])


def test_pointnet_takes_clouds_whole(tmp_path, building):
    run.train(config_of("segmenter", tmp_path / "run", "model={name: pointnet}", "trainer.epochs=1"))
    segmenter = segmenter_of(tmp_path / "run", block_points=100, thin=False)
    assert segmenter.segment(building)["label"].shape == (2000,)


@pytest.mark.parametrize("features", ["[position, normal, category]", "[position]"])
@pytest.mark.parametrize(("category", "number", "own"), [("Chair", 4, range(12, 16)), (10, 10, range(30, 36))])
def test_points_get_parts_of_the_category(features, category, number, own, shapes_folder, tmp_path):
    parts = untrained_parts(shapes_folder, features)
    config, datasets, task = parts
    datasets.facts["spacing"] = 0.0  # All points stay.
    cloud = shape()
    np.savez(tmp_path / "shape.npz", positions=cloud.positions, normal=cloud.normal)
    predict_parts(parts, [tmp_path / "shape.npz"], tmp_path, category)
    positions, values = prepare(
        replace(cloud, category=number), config.data.features, centre="unit_sphere", num_categories=16
    )
    order = spatial_order(positions)
    pyramid = build_pyramid(positions[order], point_networks.pyramid_of(config.model), random=np.random.default_rng(0))
    inputs = {"positions": positions[order], "features": values[order], **pyramid}
    logits = np.asarray(task.network({name: value[None] for name, value in inputs.items()}, training=False))[0]
    expected = np.exp(logits[:, own]) / np.exp(logits[:, own]).sum(axis=1, keepdims=True)
    with np.load(tmp_path / "shape.npz.labels.npz") as content:
        np.testing.assert_allclose(content["probability"][order], expected.max(axis=1), rtol=1e-4)
        assert (content["label"][order] == own[0] + expected.argmax(axis=1)).mean() > 0.9
        assert {*content["label"]} <= {*own}
    assert not {*logits.argmax(axis=1)} <= {*own}  # What the network alone would say.


def test_the_category_is_asked_for(shapes_folder, segmenter_run, tmp_path):
    parts = untrained_parts(shapes_folder)
    names = r"Airplane \(0\), Bag \(1\), .*, Table \(15\)$"
    for category, message in (
        (None, f"the network's features have the category: set predict.category to one of {names}"),
        ("Boat", rf"predict.category \(Boat\) must be one of {names}"),
        (16, rf"predict.category \(16\) must be one of {names}"),
        (-1, rf"predict.category \(-1\) must be one of {names}"),
    ):
        with pytest.raises(UserError, match=message):
            predict_parts(parts, [tmp_path / "shape.npz"], tmp_path, category, on_error="skip")
    with pytest.raises(UserError, match=r"predict.category \(Chair\) is for data sets with categories"):
        run.predict(segmenter_run, [tmp_path / "shape.npz"], tmp_path, overrides=["predict.category=Chair"])


def test_the_export_gives_parts_of_the_category(shapes_folder):
    config, datasets, task = untrained_parts(shapes_folder)
    signatures = system_module(config.system).serving(config, datasets.facts, task).signatures
    batch = examples(datasets.validation, [4, 10])
    assert batch["category"].tolist() == [4, 10]
    raw = {"positions": batch["positions"], "normal": batch["features"][..., 3:6], "category": batch["category"]}
    own = {tensor.name: batch[tensor.name] for tensor in task.network.inputs}
    logits = np.asarray(task.network(own, training=False))
    for signature, inputs in (("serving_default", raw), ("pyramid", own)):
        served = {key: value.numpy() for key, value in signatures[signature](**inputs).items()}
        for index, parts in enumerate((range(12, 16), range(30, 36))):
            assert {*served["class_id"][index]} <= {*parts}
            np.testing.assert_allclose(served["probabilities"][index][:, parts].sum(axis=1), 1, rtol=1e-5)
            if signature == "pyramid":  # Of the same pyramid as above.
                expected = logits[index][:, parts].argmax(axis=1) + parts[0]
                np.testing.assert_array_equal(served["class_id"][index], expected)
    none = signatures["serving_default"](**{**raw, "category": np.array([16, -1], np.int32)})
    assert np.isnan(none["probabilities"]).all()


def test_shapes_are_thinned_in_the_unit_of_training(shapes_folder):
    config, datasets, task = untrained_parts(shapes_folder)
    segmenter = Segmenter(task.network, datasets.facts, point_networks.pyramid_of(config.model), config.model)
    cloud = replace(shape(60), category=4)
    expected = segmenter.segment(cloud)
    for scale in (1 / 4, 64):
        found = segmenter.segment(replace(cloud, positions=cloud.positions * scale))
        np.testing.assert_allclose(found["probability"], expected["probability"], rtol=1e-5)


def test_a_network_for_one_number_of_points_takes_smaller_clouds(tmp_path, capsys):
    config, datasets, task = untrained("classifier", "model={name: flex_mnist3d, neighbors: 5}")
    cloud = Cloud(np.random.default_rng(0).normal(size=(30, 3)))
    clouds = {"small": cloud, "same": cloud.repeated(64, np.random.default_rng(0)), "tiny": cloud.select(np.arange(5))}
    paths = [tmp_path / f"{name}.npz" for name in clouds]
    for path, written in zip(paths, clouds.values(), strict=True):
        np.savez(path, positions=written.positions)
    np.savez(tmp_path / "four.npz", positions=cloud.positions[:4])
    paths.append(tmp_path / "four.npz")
    written = system_module(config.system).predict(config, datasets.facts, task, paths, tmp_path / "out", "skip")
    small, same, tiny = (
        prediction["probabilities"] for prediction in json.loads(written["predictions.json"].read_text())["predictions"]
    )
    assert small == pytest.approx(same, rel=1e-6) and np.isfinite(tiny).all()
    text = capsys.readouterr().out
    assert "small.npz: the cloud has 30 points, but the network takes 64, so some stand repeatedly" in text
    assert "same.npz: the cloud" not in text
    assert "four.npz: the cloud has 4 points, but the network needs 5" in text


def test_classes_of_clouds_and_meshes(tmp_path):
    run.train(config_of("classifier", tmp_path / "run", "trainer.epochs=1"))
    folder = tmp_path / "clouds"
    folder.mkdir()
    random = np.random.default_rng(0)
    np.savetxt(folder / "ball.xyz", random.normal(size=(300, 3)))
    np.savetxt(folder / "few.xyz", random.normal(size=(30, 3)))
    (folder / "mesh.off").write_text("OFF\n" + TETRAHEDRON)
    (folder / "notes.md").write_text("not a cloud")
    written = run.predict(tmp_path / "run", [folder], tmp_path / "out")
    with open(written["predictions.csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"].rpartition("/")[2] for row in rows] == ["ball.xyz", "few.xyz", "mesh.off"]
    content = json.loads(written["predictions.json"].read_text())
    for row, prediction in zip(rows, content["predictions"], strict=True):
        assert sum(prediction["probabilities"]) == pytest.approx(1, rel=1e-4)
        best = int(np.argmax(prediction["probabilities"]))
        assert row["label"] == prediction["label"] == content["class_names"][best]
        assert float(row["probability"]) == pytest.approx(max(prediction["probabilities"]))
    assert written["contact_sheet.png"].is_file()
    np.savetxt(folder / "three.xyz", np.eye(3))
    with pytest.raises(UserError, match=r"three.xyz: the cloud has 3 points, but the network needs 5"):
        run.predict(tmp_path / "run", [folder / "three.xyz"], tmp_path / "out")
    (folder / "flat.off").write_text("OFF\n3 1 3\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n")
    with pytest.raises(UserError, match="flat.off: the area of the mesh must be finite and > 0, but is 0"):
        run.predict(tmp_path / "run", [folder / "flat.off"], tmp_path / "out")
    again = run.predict(tmp_path / "run", [folder], tmp_path / "out", on_error="skip")
    assert len(json.loads(again["predictions.json"].read_text())["predictions"]) == 3


def test_files_that_cannot_be_segmented(segmenter_run, building, tmp_path):
    np.savetxt(tmp_path / "plain.xyz", building.positions)
    with pytest.raises(UserError, match="plain.xyz: the cloud has no color, which data.features asks for"):
        run.predict(segmenter_run, [tmp_path / "plain.xyz"], tmp_path / "out")
    np.savez(tmp_path / "few.npz", positions=np.eye(3), color=np.zeros((3, 3), np.uint8))
    with pytest.raises(UserError, match="few.npz: the cloud has 3 points, but the network needs 5"):
        run.predict(segmenter_run, [tmp_path / "few.npz"], tmp_path / "out")
    np.savez(tmp_path / "whole.npz", positions=building.positions, color=building.color)
    paths = [tmp_path / name for name in ("plain.xyz", "few.npz", "whole.npz")]
    written = run.predict(segmenter_run, paths, tmp_path / "out", on_error="skip")
    assert {path.name.partition(".")[0] for path in written.values()} == {"whole"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no cloud files"):
        run.predict(segmenter_run, [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(UserError, match="there is no cloud to predict"):
        run.predict(segmenter_run, [tmp_path / "gone.xyz"], tmp_path / "out", on_error="skip")


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("classifier", "data.points=3", "data.points: .*>= 16"),
        ("classifier", "model.neighbors=70", r"data.points \(64\) must be at least model.neighbors \(70\)"),
        (
            "segmenter",
            "model.filters=[4,4,4,4,4]",
            r"data.points \(128\) must be at least 256, so that a point is left",
        ),
        ("segmenter", "model.upsampling=flex", "model.upsampling"),
        ("segmenter", "data.features=[smell]", "data.features"),
        ("segmenter", "model={name: flex_classifier}", "model.name"),
    ],
)
def test_bad_configs(name, override, message, tmp_path):
    with pytest.raises(UserError, match=message):
        config_of(name, tmp_path / "run", override)


def test_class_weights_must_be_as_many_as_classes(tmp_path):
    with pytest.raises(UserError, match=r"loss.class_weights \(2 numbers\) must have one for each of the 8 classes"):
        run.train(config_of("segmenter", tmp_path / "run", "loss={name: cross_entropy, class_weights: [1.0, 2.0]}"))


def test_a_config_needs_no_tensorflow_to_be_checked():
    code = (
        "import sys; from tfdlcv.config import system_module\n"
        "for name in ('classifier', 'segmenter', 'fusion'): system_module(f'pointcloud/{name}').Config\n"
        "assert not {'tensorflow', 'keras', 'scipy'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_file_stops_training_with_its_name(tmp_path):
    write_modelnet_resampled(tmp_path, points=80)
    path = tmp_path / "chair" / "chair_0003.txt"
    path.write_bytes(path.read_bytes()[:2000])
    data = f"data={{name: modelnet, folder: {tmp_path}, points: 64, validation_fraction: 0.0}}"
    with pytest.raises(UserError, match=r"^\S*chair_0003.txt: damaged, or cut short at byte 2000: .*row 36.*$"):
        run.train(config_of("classifier", tmp_path / "run", data, "trainer.epochs=3"))
