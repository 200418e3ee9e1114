import csv

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.data.published_layouts import write_omniart
from tests.systems.hyperspherical.runs import tiny_config
from tfdlcv.config import load_text
from tfdlcv.data import rotated_digits
from tfdlcv.errors import UserError
from tfdlcv.training import run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "angles"
    return run_dir, run.train(tiny_config("regressor", run_dir, "trainer.tensorboard.pictures_every_epochs=16"))


def test_it_learns(finished):
    assert finished[1]["test"]["mean_absolute_error"] < 25  # Degrees of 180; always saying 90 gives 45.


def test_pictures(finished):
    events = EventAccumulator(str(finished[0] / "tensorboard" / "validation")).Reload()
    assert {"pictures/embeddings", "pictures/predictions"} <= set(events.Tags()["tensors"])
    angles = np.loadtxt(finished[0] / "tensorboard" / "validation" / "embeddings_metadata.tsv")
    assert angles.min() >= 0 and angles.max() <= 180


def test_predictions_have_a_unit(finished, tmp_path, capsys):
    from sklearn.datasets import load_digits

    digits = load_digits()
    image = np.round(digits.images[:4, :, :, None] * 255 / 16).astype("uint8")
    angles = [10.0, 60.0, 120.0, 170.0]
    for turned, angle in zip(
        rotated_digits.rotate(tf.constant(image), tf.constant(angles)).numpy(), angles, strict=True
    ):
        Image.fromarray(turned[..., 0]).save(tmp_path / f"{angle:03.0f}.png")
    run.predict(finished[0], [tmp_path], tmp_path / "out")
    assert "degrees" in capsys.readouterr().out
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "value", "unit"] and {row["unit"] for row in rows} == {"degrees"}
    assert all(0 <= float(row["value"]) <= 180 for row in rows)
    signature = tf.saved_model.load(finished[1]["export"]).signatures["serving_default"]
    outputs = signature(image_bytes=tf.constant([(tmp_path / "060.png").read_bytes()]))
    assert outputs["unit"].numpy().tolist() == [b"degrees"]
    assert float(outputs["value"][0]) == pytest.approx(float(rows[1]["value"]), abs=1e-3)


@pytest.mark.parametrize("target", ["position", "value"])
def test_the_baseline_learns(tmp_path, target):
    loss = f"loss={{name: squared_error, dimensions: 2, target: {target}}}"
    results = run.train(tiny_config("regressor", tmp_path / "run", loss))
    assert results["test"]["mean_absolute_error"] < 35
    # In the units of the loss: positions of a span of 2, or degrees of 180.
    assert (results["test"]["loss"] > 10) == (target == "value")


def test_two_replicas_with_xla(tmp_path):
    options = ("trainer.epochs=2", "trainer.steps_per_epoch=5")
    reference = run.train(tiny_config("regressor", tmp_path / "a", *options))
    other = run.train(tiny_config("regressor", tmp_path / "b", *options, "trainer.virtual_devices=2", "trainer.xla=on"))
    for name in ("loss", "val_loss", "val_mean_absolute_error"):
        assert other["validation"][name] == pytest.approx(reference["validation"][name], rel=1e-3), name


def table_config(folder, run_dir, **data):
    write_omniart(folder)
    columns = {"file_column": "omni_id", "file_ending": ".jpg", "train_images": "train", "test_images": "test", **data}
    text = "".join(f"  {name}: {value}\n" for name, value in columns.items())
    return load_text(
        f"""
system: hyperspherical/regressor
model: {{name: mlp, hidden_units: [8]}}
data:
  name: image_table
  folder: "{folder}"
  train_table: train_complete.csv
  test_table: test_complete.csv
  image_size: [16, 16]
  cache_folder: "{folder}/cache"
{text}
loss: {{name: poles, dimensions: 3}}
optimizer: {{name: adam, learning_rate: 0.01}}
trainer: {{epochs: 1, run_dir: "{run_dir}", batch_size: 8, tensorboard: {{pictures_every_epochs: 1}}}}
"""
    )


def test_a_table_without_classes(tmp_path):
    config = table_config(tmp_path, tmp_path / "run", value_column="creation_year", value_range="[1000, 1932]")
    results = run.train(config)
    assert 0 < results["test"]["mean_absolute_error"] < 932


def test_a_table_without_values_is_refused(tmp_path):
    with pytest.raises(UserError, match="data.value_column is absent: this system needs values"):
        run.train(table_config(tmp_path, tmp_path / "run", label_column="school"))
