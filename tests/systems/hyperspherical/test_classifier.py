import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.systems.hyperspherical.runs import tiny_config
from tfdlcv.errors import ConfigError, UserError
from tfdlcv.systems.hyperspherical import classifier
from tfdlcv.training import run

QUICK = ("trainer.epochs=1", "trainer.steps_per_epoch=2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "digits"
    return run_dir, run.train(tiny_config("classifier", run_dir, "trainer.tensorboard.pictures_every_epochs=8"))


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for index in range(8):
        image = np.round(digits.images[index] * 255 / 16).astype("uint8")
        Image.fromarray(image).save(folder / f"{digits.target[index]}_{index}.png")
    return folder


def test_it_learns_in_three_dimensions(finished):
    assert finished[1]["test"]["accuracy"] > 0.9  # Ten classes on the ordinary sphere; chance is 0.1.


def test_pictures_and_projector(finished):
    folder = finished[0] / "tensorboard" / "validation"
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    for name in ("confusion_matrix", "embeddings", "predictions"):
        steps = [event.step for event in events.Tensors(f"pictures/{name}")]
        assert len(steps) == 2 and steps[1] == 2 * steps[0], name
    rows = np.loadtxt(folder / "embeddings.tsv", delimiter="\t")
    labels = (folder / "embeddings_metadata.tsv").read_text().split()
    assert rows.shape == (len(labels), 3) and set(labels) == set("0123456789")
    assert 'tensor_path: "embeddings.tsv"' in (folder / "projector_config.pbtxt").read_text()
    assert Image.open(folder / "embeddings_sprite.png").size[0] % 32 == 0


def test_predictions_are_written_and_mostly_right(finished, digit_files, tmp_path, capsys):
    run.predict(finished[0], [digit_files], tmp_path)
    assert "(cos " in capsys.readouterr().out
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class_id", "label", "cosine"]
    assert sum(row["label"] == row["file"].split("/")[-1][0] for row in rows) >= 6
    content = json.loads((tmp_path / "predictions.json").read_text())
    entry = content["predictions"][0]
    assert max(entry["scores"]) == pytest.approx(entry["cosine"], abs=1e-6) and len(entry["embedding"]) == 3
    assert Image.open(tmp_path / "contact_sheet.png").width > 100


def test_a_process_with_tensorflow_alone_serves_what_predict_says(finished, digit_files, tmp_path):
    run.predict(finished[0], [digit_files], tmp_path)
    program = f"""
import json, pathlib, sys
sys.modules["tfdlcv"] = sys.modules["keras"] = None
import tensorflow as tf
model = tf.saved_model.load({str(finished[0] / "export" / "1")!r})
files = sorted(pathlib.Path({str(digit_files)!r}).iterdir())
outputs = model.signatures["serving_default"](image_bytes=tf.constant([f.read_bytes() for f in files]))
served = {{name: outputs[name].numpy().tolist() for name in ("scores", "embedding", "cosine", "class_id")}}
served["label"] = [label.decode() for label in outputs["label"].numpy()]
pathlib.Path({str(tmp_path / "served.json")!r}).write_text(json.dumps(served))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    served = json.loads((tmp_path / "served.json").read_text())
    predicted = json.loads((tmp_path / "predictions.json").read_text())["predictions"]
    for name, values in served.items():
        if name == "label":
            assert values == [row["label"] for row in predicted]
        else:
            np.testing.assert_allclose(values, [row[name] for row in predicted], atol=1e-5, err_msg=name)


def test_evaluation_is_that_of_the_checkpoint(finished):
    assert run.evaluate(finished[0]).scores["accuracy"] == pytest.approx(finished[1]["test"]["accuracy"], abs=1e-6)


def test_a_checkpoint_brings_its_prototypes(finished, digit_files, tmp_path):
    """Wherever others would come out of the optimiser: here, because dataset.json has other ones."""
    facts_file = finished[0] / "dataset.json"
    text = facts_file.read_text()
    facts = json.loads(text)
    run.predict(finished[0], [digit_files], tmp_path / "a")
    try:
        facts_file.write_text(json.dumps({**facts, "prototypes": facts["prototypes"][::-1]}))
        run.predict(finished[0], [digit_files], tmp_path / "b")
    finally:
        facts_file.write_text(text)
    first, second = ((tmp_path / name / "predictions.json").read_text() for name in "ab")
    assert first == second


@pytest.mark.parametrize(
    "loss",
    [
        "{name: one_hot}",
        "{name: softmax, label_smoothing: 0.1}",
        "{name: maximum_separation, scale: 1.0}",
        "{name: cosface, dimensions: 8, scale: 16.0, margin: 0.2}",
        "{name: arcface, dimensions: 8, scale: 16.0, margin: 0.2}",
    ],
)
def test_every_baseline_learns(tmp_path, loss):
    results = run.train(tiny_config("classifier", tmp_path / "run", f"loss={loss}", "trainer.epochs=4"))
    assert results["test"]["accuracy"] > 0.85
    probability = "softmax" in loss or "maximum" in loss
    assert ("expected_calibration_error" in results["test"]) == probability
    outputs = tf.saved_model.load(results["export"]).signatures["serving_default"].structured_outputs
    assert ("probability" in outputs) == probability and ("cosine" in outputs) != probability


@pytest.mark.parametrize("replicas, xla", [(1, "on"), (2, "off"), (2, "on")])
def test_same_history_on_one_device_and_two_replicas_with_and_without_xla(tmp_path, replicas, xla):
    options = ("trainer.epochs=2", "trainer.steps_per_epoch=5")
    reference = run.train(tiny_config("classifier", tmp_path / "a", *options))
    other = run.train(
        tiny_config("classifier", tmp_path / "b", *options, f"trainer.virtual_devices={replicas}", f"trainer.xla={xla}")
    )
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        assert other["validation"][name] == pytest.approx(reference["validation"][name], rel=1e-4), name


def test_half_precision(tmp_path):
    assert (
        run.train(tiny_config("classifier", tmp_path / "run", "trainer.precision=mixed_bfloat16"))["test"]["accuracy"]
        > 0.8
    )


def test_faults(tmp_path):
    with pytest.raises(ConfigError, match=r"loss.dimensions: must be an integer >= 1. Received: 0"):
        tiny_config("classifier", tmp_path, "loss.dimensions=0")
    with pytest.raises(ConfigError, match="model.batch_norm synchronized and trainer.xla on exclude each other"):
        tiny_config("classifier", tmp_path, "model={name: resnet, batch_norm: synchronized}", "trainer.xla=on")
    with pytest.raises(UserError, match="mixup_alpha and cutmix_alpha need soft labels"):
        run.train(tiny_config("classifier", tmp_path / "run", "data.augmentation={mixup_alpha: 1.0}"))
    with pytest.raises(UserError, match=r"loss.dimensions \(1\) and 10 classes: dimensions \(1\) must be at least 2"):
        run.train(tiny_config("classifier", tmp_path / "other", "loss.dimensions=1"))


def test_config_needs_no_tensorflow():
    program = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["scipy"] = None
from tfdlcv.config import load_config, system_module
for name in ("classifier", "regressor", "joint", "retrieval"):
    system_module(f"hyperspherical/{name}")
load_config("configs/hyperspherical/joint_omniart.yaml")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert classifier.__doc__.startswith("Hyperspherical classification: ")
