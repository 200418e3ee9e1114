import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.systems.hyperspherical.runs import tiny_config
from tfdlcv.errors import ConfigError
from tfdlcv.metrics import mean_average_precision, recall_at_k
from tfdlcv.systems.hyperspherical import retrieval
from tfdlcv.training import run

LOSSES = {
    "batch_all": "{name: triplet, dimensions: 3, mining: batch_all}",
    "hard": "{name: triplet, dimensions: 8, mining: hard, distance: euclidean, normalize: false, margin: 1.0}",
    "contrastive": "{name: contrastive, dimensions: 3}",
    "n_pair": "{name: n_pair, dimensions: 3, length_weight: 0.001}",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "digits"
    options = ("trainer.tensorboard.pictures_every_epochs=8", "trainer.epochs=8")
    return run_dir, run.train(tiny_config("retrieval", run_dir, *options))


def test_it_learns(finished):
    """Of mean average precision, chance is 0.1, and the cosine of pixels reaches 0.64."""
    assert finished[1]["test"]["recall_at_1"] > 0.85
    assert finished[1]["test"]["mean_average_precision"] > 0.75
    with open(finished[0] / "history.csv", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert {"loss", "val_loss", "val_recall_at_1", "val_recall_at_8", "val_mean_average_precision"} <= set(row)


def test_metrics_are_those_of_the_exported_embeddings(finished):
    config = tiny_config("retrieval", finished[0])
    test = retrieval.build_datasets(config).test
    batch = test.fetch(tf.range(test.num_examples, dtype=tf.int64))
    served = tf.saved_model.load(finished[1]["export"])
    embeddings = served.signatures["tensors"](image=batch["image"])["embedding"].numpy()
    labels = batch["label"].numpy()
    reported = finished[1]["test"]
    assert reported["recall_at_2"] == pytest.approx(recall_at_k(embeddings, labels, [2])[2], abs=3e-3)
    assert reported["mean_average_precision"] == pytest.approx(mean_average_precision(embeddings, labels), abs=1e-3)


def test_pictures_and_projector(finished):
    folder = finished[0] / "tensorboard" / "validation"
    events = EventAccumulator(str(folder)).Reload()
    assert {"pictures/embeddings", "pictures/neighbors"} <= set(events.Tags()["tensors"])
    assert set((folder / "embeddings_metadata.tsv").read_text().split()) == set("0123456789")


def test_predict_finds_the_nearest_file(finished, tmp_path, capsys):
    digits = load_digits()
    (tmp_path / "files").mkdir()
    for index in range(30):
        image = np.round(digits.images[index] * 255 / 16).astype("uint8")
        Image.fromarray(image).save(tmp_path / "files" / f"{digits.target[index]}_{index:02}.png")
    run.predict(finished[0], [tmp_path / "files"], tmp_path / "out")
    assert "nearest: " in capsys.readouterr().out
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "nearest", "nearest_cosine"]
    assert all(row["file"] != row["nearest"] for row in rows)
    digit = {name: row[name].split("/")[-1][0] for row in rows for name in ("file", "nearest")}
    assert set(digit) == {"file", "nearest"}
    same = [row["file"].split("/")[-1][0] == row["nearest"].split("/")[-1][0] for row in rows]
    assert np.mean(same) > 0.7
    embeddings = [
        row["embedding"] for row in json.loads((tmp_path / "out/predictions.json").read_text())["predictions"]
    ]
    assert np.shape(embeddings) == (30, 3)
    run.predict(finished[0], [tmp_path / "files" / "0_00.png"], tmp_path / "alone")
    assert (tmp_path / "alone" / "predictions.csv").read_text().splitlines()[0] == "file"


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_loss_learns(tmp_path, loss):
    results = run.train(tiny_config("retrieval", tmp_path / "run", f"loss={loss}", "trainer.epochs=5"))
    assert results["test"]["recall_at_1"] > 0.8
    assert results["test"]["mean_average_precision"] > 0.66


def test_options_reach_the_loss():
    from tfdlcv.systems import pair_losses

    built = pair_losses.build_pair_loss(
        pair_losses.TripletConfig(
            name="triplet", dimensions=2, mining="hard", margin=0.7, distance="euclidean", normalize=False
        )
    )
    assert (built.mining, built.margin, built.distance, built.normalize) == ("hard", 0.7, "euclidean", False)
    built = pair_losses.build_pair_loss(
        pair_losses.ContrastiveConfig(name="contrastive", dimensions=2, margin=0.4, distance="cosine", normalize=False)
    )
    assert (built.margin, built.distance, built.normalize) == (0.4, "cosine", False)
    built = pair_losses.build_pair_loss(pair_losses.NPairConfig(name="n_pair", dimensions=2, length_weight=0.3))
    assert built.length_weight == 0.3


def test_large_sets_are_thinned_out_evenly():
    kept = retrieval._metrics(4, 5794)
    assert {(metric.capacity, metric.stride) for metric in kept} == {(1932, 3)}
    assert {(metric.capacity, metric.stride) for metric in retrieval._metrics(4, 400)} == {(400, 1)}


def test_two_replicas(tmp_path):
    """The pairs are formed inside a replica, so that losses differ; what is evaluated is one set on any number."""
    run.train(tiny_config("retrieval", tmp_path / "run", "trainer.epochs=1", "trainer.steps_per_epoch=5"))
    one = run.evaluate(tmp_path / "run").scores
    two = run.evaluate(tmp_path / "run", overrides=["trainer.virtual_devices=2"]).scores
    for name in ("recall_at_1", "recall_at_8", "mean_average_precision"):
        assert two[name] == pytest.approx(one[name], abs=1e-5), name


def test_faults(tmp_path):
    with pytest.raises(ConfigError, match=r"loss.margin"):
        tiny_config("retrieval", tmp_path, "loss.margin=-1.0")
    with pytest.raises(ConfigError, match=r"loss.mining"):
        tiny_config("retrieval", tmp_path, "loss.mining=easy")
