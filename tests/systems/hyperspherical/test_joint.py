import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.systems.hyperspherical.runs import tiny_config
from tfdlcv import losses
from tfdlcv.systems.hyperspherical import joint
from tfdlcv.training import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "joint"
    return run_dir, run.train(tiny_config("joint", run_dir, "trainer.tensorboard.pictures_every_epochs=16"))


def test_it_learns_both(finished):
    assert finished[1]["test"]["accuracy"] > 0.8
    assert finished[1]["test"]["mean_absolute_error"] < 14  # Degrees of 90; always saying 0 gives 22.5.


def test_both_losses_are_logged_and_add_up(finished):
    with open(finished[0] / "history.csv", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert {"classification_loss", "regression_loss", "val_accuracy", "val_mean_absolute_error"} <= set(row)


def test_pictures(finished):
    events = EventAccumulator(str(finished[0] / "tensorboard" / "validation")).Reload()
    assert {"pictures/embeddings", "pictures/predictions"} <= set(events.Tags()["tensors"])
    header = (finished[0] / "tensorboard" / "validation" / "embeddings_metadata.tsv").read_text().splitlines()[0]
    assert header == "class\tangle"


def batch_of(count, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "image": tf.constant(generator.integers(0, 256, (count, 8, 8, 1)).astype("uint8")),
        "label": tf.constant(generator.integers(0, 10, count).astype("int32")),
        "value": tf.constant(generator.uniform(-45, 45, count).astype("float32")),
        "valid": tf.ones(count, tf.bool),
    }


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_public_one(finished, weight):
    facts = json.loads((finished[0] / "dataset.json").read_text())
    config = tiny_config("joint", "unused", f"loss.weight={weight}")
    task = joint.build_task(config, facts)
    batch = batch_of(12)
    outputs = task.network(batch["image"])
    public = losses.HypersphericalJointLoss(facts["prototypes"], -45, 45, weight=weight)
    expected = losses.batch_mean(public.call(batch, outputs["embedding"]))
    parts = task.players[0].losses(batch, outputs)
    assert float(parts["classification"] + parts["regression"]) == pytest.approx(float(expected), rel=1e-5)


def test_predictions_have_class_and_value(finished, tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8), "uint8")).save(tmp_path / "blank.png")
    run.predict(finished[0], [tmp_path / "blank.png"], tmp_path / "out")
    assert "degrees" in capsys.readouterr().out
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        assert list(next(csv.DictReader(file))) == ["file", "class_id", "label", "cosine", "value", "unit"]


def test_the_export_says_class_cosine_and_value_with_its_unit(finished):
    signature = tf.saved_model.load(finished[1]["export"]).signatures["tensors"]
    image = batch_of(3)["image"]
    served = {name: value.numpy() for name, value in signature(image=image).items()}
    assert served.keys() == {"class_id", "label", "cosine", "scores", "value", "unit", "embedding"}
    facts = json.loads((finished[0] / "dataset.json").read_text())
    axis, rest = served["embedding"][:, 0], served["embedding"][:, 1:]
    cosines = rest @ np.array(facts["prototypes"]).T / np.linalg.norm(rest, axis=1, keepdims=True)
    np.testing.assert_allclose(served["cosine"], cosines.max(axis=1), atol=1e-5)
    assert served["class_id"].tolist() == cosines.argmax(axis=1).tolist()
    assert [text.decode() for text in served["label"]] == [facts["class_names"][i] for i in served["class_id"]]
    np.testing.assert_allclose(served["value"], 45 * axis / np.linalg.norm(served["embedding"], axis=1), atol=1e-3)
    assert served["unit"].tolist() == [b"degrees"] * 3


@pytest.mark.parametrize("target", ["position", "value"])
def test_the_baseline_learns_classes(tmp_path, target):
    results = run.train(tiny_config("joint", tmp_path / "run", f"loss={{name: multi_task, target: {target}}}"))
    # Squared degrees leave the classes no say.
    assert results["test"]["accuracy"] > (0.8 if target == "position" else 0.1)
    assert results["test"]["mean_absolute_error"] < 20


def test_two_replicas_with_xla(tmp_path):
    options = ("trainer.epochs=2", "trainer.steps_per_epoch=5")
    reference = run.train(tiny_config("joint", tmp_path / "a", *options))
    other = run.train(tiny_config("joint", tmp_path / "b", *options, "trainer.virtual_devices=2", "trainer.xla=on"))
    for name in ("loss", "val_loss", "val_accuracy", "val_mean_absolute_error"):
        assert other["validation"][name] == pytest.approx(reference["validation"][name], rel=1e-3), name
