"""The image classifier as its user meets it: networks, data, losses, prediction and serving."""

import csv
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.training.runs import tiny_config
from tfdlcv.errors import ConfigError, UserError
from tfdlcv.systems import image_predictions
from tfdlcv.systems.classification import image_classifier
from tfdlcv.training import run

QUICK = ("trainer.epochs=1", "trainer.steps_per_epoch=2", "optimizer={name: sgd, learning_rate: 0.01}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "digits"
    config = tiny_config(run_dir)
    run.train(config)
    return run_dir, config


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """Eight digits as PNG files."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for index in range(8):
        image = np.round(digits.images[index] * 255 / 16).astype("uint8")
        Image.fromarray(image).save(folder / f"{digits.target[index]}_{index}.png")
    return folder


@pytest.fixture(scope="module")
def predictions(finished, digit_files, tmp_path_factory):
    directory = tmp_path_factory.mktemp("predictions")
    run.predict(finished[0], [digit_files], directory)
    return directory


def test_predictions_are_written_and_mostly_right(predictions, digit_files):
    with open(predictions / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(str(path) for path in digit_files.iterdir())
    right = [row["label"] == row["file"].split("/")[-1][0] for row in rows]
    assert sum(right) >= 6
    content = json.loads((predictions / "predictions.json").read_text())
    assert content["class_names"] == [str(digit) for digit in range(10)]
    for row, entry in zip(rows, content["predictions"], strict=True):
        assert sum(entry["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert float(row["probability"]) == max(entry["probabilities"])
    assert Image.open(predictions / "contact_sheet.png").width > 100


def test_the_tables_have_every_file_and_the_picture_the_first(
    finished, digit_files, predictions, tmp_path, monkeypatch
):
    monkeypatch.setattr(image_predictions, "_MOST_PICTURES", 3)
    run.predict(finished[0], [digit_files], tmp_path)
    name = "predictions.csv"
    assert (tmp_path / name).read_text() == (predictions / name).read_text()
    sizes = [Image.open(folder / "contact_sheet.png").size for folder in (tmp_path, predictions)]
    assert sizes[0][0] * sizes[0][1] < sizes[1][0] * sizes[1][1]


def test_a_process_with_tensorflow_alone_serves_what_predict_says(finished, digit_files, predictions, tmp_path):
    """Eight PNG files to the SavedModel, where neither tfdlcv nor keras can be imported."""
    program = f"""
import json, pathlib, sys
sys.modules["tfdlcv"] = sys.modules["keras"] = None
import tensorflow as tf
model = tf.saved_model.load({str(finished[0] / "export" / "1")!r})
files = sorted(pathlib.Path({str(digit_files)!r}).iterdir())
outputs = model.signatures["serving_default"](image_bytes=tf.constant([f.read_bytes() for f in files]))
pathlib.Path({str(tmp_path / "served.json")!r}).write_text(json.dumps(outputs["probabilities"].numpy().tolist()))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    served = json.loads((tmp_path / "served.json").read_text())
    predicted = json.loads((predictions / "predictions.json").read_text())["predictions"]
    np.testing.assert_allclose(served, [row["probabilities"] for row in predicted], atol=1e-5)


def test_predict_names_what_is_no_image(finished, digit_files, tmp_path, capsys):
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"notes\.png is not a readable image"):
        run.predict(finished[0], [bad], tmp_path / "out")
    run.predict(finished[0], [bad, digit_files], tmp_path / "out", on_error="skip")
    assert "1 of 9 files were skipped" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "._hidden.png").write_bytes(b"what macOS leaves")
    with pytest.raises(UserError, match="holds no image files"):
        run.predict(finished[0], [tmp_path / "empty"], tmp_path / "out")


def test_metrics_hold_the_tables_of_the_test_set(finished):
    results = json.loads((finished[0] / "metrics.json").read_text())
    matrix = np.array(results["test_tables"]["confusion_matrix"])
    assert matrix.shape == (10, 10) and matrix.sum() == 359  # A fifth of each class of 1,797 digits, rounded.
    assert np.trace(matrix) / matrix.sum() == pytest.approx(results["test"]["accuracy"], rel=1e-6)
    per_class = np.diag(matrix) / matrix.sum(axis=1)
    np.testing.assert_allclose(results["test_tables"]["per_class_accuracy"], per_class, rtol=1e-6)


@pytest.mark.parametrize(
    "model, data, parameters",
    [
        ("{name: mlp, hidden_units: []}", "{name: digits8x8}", 650),
        ("{name: lenet5, variant: original}", "{name: mnist5k, train_limit: 300}", 60_000),
        ("{name: lenet5, activation: relu}", "{name: mnist5k, padding: 2, train_limit: 300}", 61_706),
        ("{name: resnet, depth: 20}", "{name: digits8x8, channels: 3}", 272_474),
        ("{name: resnet, depth: 20, shortcut: identity}", "{name: digits8x8, channels: 3}", 269_722),
    ],
)
def test_every_network_trains_and_has_its_parameters(tmp_path, model, data, parameters):
    run.train(tiny_config(tmp_path / "run", *QUICK, f"model={model}", f"data={data}"))
    config = tiny_config(tmp_path / "run", *QUICK, f"model={model}", f"data={data}")
    facts = json.loads((tmp_path / "run" / "dataset.json").read_text())
    network = image_classifier.build_task(config, facts).network
    assert sum(v.value.shape.num_elements() for v in network.trainable_variables) == parameters


def test_synchronized_batch_norm_trains_on_two_replicas(tmp_path):
    model = "model={name: resnet, batch_norm: synchronized}"
    results = run.train(tiny_config(tmp_path / "run", *QUICK, model, "trainer.virtual_devices=2"))
    assert results["steps"] == 2


def test_synchronized_batch_norm_and_xla_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model.batch_norm synchronized and trainer.xla on exclude each other"):
        tiny_config(tmp_path, "model={name: resnet, batch_norm: synchronized}", "trainer.xla=on")


def test_mixup_trains_on_soft_labels(tmp_path):
    """With two images blended in every pair, training accuracy cannot be what validation accuracy is."""
    results = run.train(tiny_config(tmp_path / "run", "data.augmentation={mixup_alpha: 1.0}"))
    assert results["validation"]["val_accuracy"] > results["validation"]["accuracy"]


def loss_of(config, facts, logits, labels, **extra):
    task = image_classifier.build_task(config, facts)
    batch = {"label": tf.constant(labels), "valid": tf.ones(len(labels), tf.bool), **extra}
    return float(task.players[0].losses(batch, tf.constant(logits))["cross_entropy"])


def test_loss_options_reach_the_loss(tmp_path):
    facts = {"class_names": ["a", "b"], "class_counts": [30, 10], "image_shape": [8, 8, 1]}
    logits = np.log([[0.8, 0.2], [0.4, 0.6]]).astype("float32")
    labels = [0, 1]

    def loss(override, **extra):
        return loss_of(tiny_config(tmp_path, override), facts, logits, labels, **extra)

    a, b = -np.log(0.8), -np.log(0.6)
    assert loss("loss.label_smoothing=0.0") == pytest.approx((a + b) / 2, rel=1e-5)
    smooth = 0.9 * (a + b) / 2 + 0.1 * np.mean([-np.log([0.8, 0.2]), -np.log([0.4, 0.6])])
    assert loss("loss.label_smoothing=0.1") == pytest.approx(smooth, rel=1e-5)
    assert loss("loss.class_weights=[1.0, 3.0]") == pytest.approx((a + 3 * b) / 2, rel=1e-5)
    assert loss("loss.class_weights=balanced") == pytest.approx((40 / 60 * a + 40 / 20 * b) / 2, rel=1e-5)
    soft = tf.constant([[0.5, 0.5], [0.0, 1.0]])
    expected = (-np.log([0.8, 0.2]).mean() + b) / 2
    assert loss("loss.label_smoothing=0.0", soft_label=soft) == pytest.approx(expected, rel=1e-5)


def test_class_weights_of_another_number_of_classes(tmp_path):
    with pytest.raises(UserError, match=r"loss.class_weights \(2 numbers\) must have one for each of the 10 classes"):
        run.train(tiny_config(tmp_path / "run", "loss.class_weights=[1.0, 2.0]"))
    few = ("loss.class_weights=balanced", "data.train_limit=5", "trainer.batch_size=4")
    with pytest.raises(UserError, match=r"balanced needs a training example of every class. Examples: \[.*0.*\]"):
        run.train(tiny_config(tmp_path / "run", *few))


def test_freezing_by_name(tmp_path):
    config = tiny_config(tmp_path / "run", *QUICK, "model={name: lenet5, freeze: ['c.*']}", "data={name: mnist5k}")
    facts = {"class_names": [str(d) for d in range(10)], "class_counts": [1] * 10, "image_shape": [28, 28, 1]}
    body = next(x for x in image_classifier.build_task(config, facts).network.layers if isinstance(x, keras.Model))
    frozen = [layer.name for layer in body.layers if layer.weights and not layer.trainable]
    assert frozen and all(name.startswith("c") for name in frozen)
    with pytest.raises(UserError, match=r"model.freeze: 'hiden' names no layer of mlp. Near: "):
        run.train(tiny_config(tmp_path / "other", "model.freeze=[hiden]"))


def test_a_network_that_cannot_take_the_images(tmp_path):
    with pytest.raises(UserError, match=r"model \(lenet5\) cannot be built for images of \(8, 8, 1\)"):
        run.train(tiny_config(tmp_path / "run", "model={name: lenet5}"))
    with pytest.raises(UserError, match=r"model.pixel_mean \[0.1, 0.2\] must have 1 or 1 numbers"):
        run.train(tiny_config(tmp_path / "run2", "model.pixel_mean=[0.1, 0.2]"))


def test_pixels_are_scaled_as_the_config_says(tmp_path):
    """A linear network with weight 1 on the first pixel shows what reaches it."""
    overrides = ("model={name: mlp, hidden_units: [], pixel_mean: [0.2], pixel_deviation: [0.4]}",)
    facts = {"class_names": ["a", "b"], "class_counts": [1, 1], "image_shape": [1, 1, 1]}
    network = image_classifier.build_task(tiny_config(tmp_path, *overrides), facts).network
    kernel = network.trainable_variables[0]
    kernel.assign(np.ones(kernel.shape))
    logits = network(np.full((1, 1, 1, 1), 153, "uint8"))
    assert float(logits[0, 0]) == pytest.approx((0.6 - 0.2) / 0.4, rel=1e-5)


@pytest.mark.parametrize("threshold, second", [("null", 0.3), ("0.2", 1.0), ("0.5", 0.0)])
def test_binary_cross_entropy_asks_for_each_class_of_a_blended_image(tmp_path, threshold, second):
    """Probabilities 1/2, at which both answers cost the same, and 3/4; `second` is the target of the second class."""
    overrides = (f"loss={{name: binary_cross_entropy, target_threshold: {threshold}}}", "model.dropout=0.0")
    facts = {"class_names": ["a", "b"], "class_counts": [1, 1], "image_shape": [8, 8, 1]}
    task = image_classifier.build_task(tiny_config(tmp_path, *overrides), facts)
    soft = tf.constant([[0.7, 0.3]])
    batch = {"label": tf.constant([0]), "soft_label": soft, "valid": tf.constant([True])}
    losses = task.players[0].losses(batch, tf.constant([[0.0, np.log(3.0)]], tf.float32))
    expected = np.log(2) - second * np.log(0.75) - (1 - second) * np.log(0.25)
    assert {name: float(value) for name, value in losses.items()} == {
        "binary_cross_entropy": pytest.approx(expected, rel=1e-5)
    }


def test_an_image_folder_of_ones_own(tmp_path):
    """Two kinds of pictures in folders, trained on and predicted."""
    rng = np.random.RandomState(0)
    for name, level in (("dark", 60), ("light", 190)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(40):
            pixels = np.clip(rng.normal(level, 20, (20, 24, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.jpg")
    data = f"data={{name: image_folder, folder: {tmp_path / 'photos'}, image_size: [16, 16], cache_folder: {tmp_path}}}"
    config = tiny_config(tmp_path / "run", data, "trainer.batch_size=16", "trainer.epochs=8")
    results = run.train(config)
    assert results["test"]["accuracy"] == 1.0
    written = run.predict(tmp_path / "run", [tmp_path / "photos" / "light" / "3.jpg"], tmp_path / "out")
    row = json.loads(written["predictions.json"].read_text())["predictions"][0]
    assert row["label"] == "light"


def test_the_pictures_of_tensorboard(finished, tmp_path):
    _, config = finished
    datasets = image_classifier.build_datasets(config)
    task = image_classifier.build_task(config, datasets.facts)
    pictures = image_classifier.pictures(config, datasets.facts, task, datasets)
    assert set(pictures) == {"confusion_matrix", "predictions"}
    for picture in pictures.values():
        drawn = picture.draw(picture.read())
        assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.std() > 1
