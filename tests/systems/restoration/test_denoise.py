"""Denoising as its user meets it: training, prediction with and without the truth, serving, and what is refused."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import data

from tfdlcv.config import load_text
from tfdlcv.errors import ConfigError, UserError
from tfdlcv.systems import restoration_networks
from tfdlcv.systems.image_restoration import scores
from tfdlcv.systems.restoration import denoise
from tfdlcv.training import resuming, run

TINY = """
system: restoration/denoise
model: {name: dncnn, depth: 4, width: 0.25}
data: {name: photographs, stride: 60, evaluation_size: 72, noise: {sigma: 25}}
optimizer: {name: adam, learning_rate: {name: cosine, peak: 0.01}}
trainer: {epochs: 2, run_dir: RUN_DIR, batch_size: 16, steps_per_epoch: 40, tensorboard: {pictures_every_epochs: 0}}
"""
DIGITS = (
    "model={name: autoencoder, form: dense, hidden_units: [32], code_size: 8}",
    "data={name: noisy_digits, source: digits8x8}",
    "baselines=[principal_components]",
)


def tiny_config(run_dir, *overrides):
    return load_text(TINY.replace("RUN_DIR", str(run_dir)), overrides)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on grey photographs, and what it printed of itself."""
    run_dir = tmp_path_factory.mktemp("runs") / "photographs"
    return run_dir, run.train(tiny_config(run_dir, "baselines=[non_local_means]"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """`noisy` and `clean` folders of a part of the camera man, who is held out; and one without the truth."""
    folder = tmp_path_factory.mktemp("pairs")
    truth = data.camera()[100:180, 180:280]
    noisy = np.clip(truth + np.random.default_rng(0).normal(scale=25, size=truth.shape), 0, 255).astype("uint8")
    for name, image in {"noisy/1.png": noisy, "clean/1.png": truth, "noisy/2.png": noisy[:50]}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def test_a_short_training_removes_most_of_the_noise(finished):
    results = finished[1]
    before = 20 * np.log10(255 / 25)
    assert results["test"]["psnr"] > before + 3
    assert 0.3 < results["test"]["ssim"] < 1
    # Half the squared error, of pixels in 0..1, and the mean over images of its logarithm: Jensen.
    assert -10 * np.log10(2 * results["test"]["loss"]) < results["test"]["psnr"] + 0.5


def test_prediction_writes_files_a_table_and_a_sheet(finished, pairs, tmp_path, capsys):
    written = run.predict(finished[0], [pairs / "noisy"], tmp_path)
    with open(written["predictions.csv"], newline="") as file:
        rows = {(row["file"][-5:], row["method"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4
    truth = np.asarray(Image.open(pairs / "clean" / "1.png"))[..., None]
    for method in ("restored", "non_local_means"):
        row = rows["1.png", method]
        restored = np.asarray(Image.open(row["restored"]))[..., None]
        assert restored.shape == truth.shape and row["restored"] == str(tmp_path / method / "1.png")
        assert float(row["psnr"]) == pytest.approx(scores(truth, restored)["psnr"])
        assert float(row["psnr"]) > float(row["psnr_before"]) + 3 and float(row["ssim"]) > float(row["ssim_before"])
        assert rows["2.png", method]["psnr"] == ""
    content = json.loads(written["predictions.json"].read_text())["predictions"]
    assert content[0]["psnr"] == float(rows["1.png", "restored"]["psnr"]) and "psnr" not in content[2]
    assert Image.open(written["contact_sheet.png"]).width > 5 * 256
    assert "dB before" in capsys.readouterr().out


def test_large_photographs_are_restored_in_tiles_as_if_whole(finished, monkeypatch):
    _, config, _, task, facts = resuming.load_run(finished[0])
    image = data.camera()[:90, :130, None].astype("float32")
    whole = np.asarray(task.network(image[None]))[0]
    assert restoration_networks.tile_and_halo(config.model) == (512, 4)
    monkeypatch.setattr(restoration_networks, "tile_and_halo", lambda model: (32, 4))
    np.testing.assert_allclose(denoise.network_restorer(config, facts, task)(image), whole, atol=2e-3)
    monkeypatch.setattr(restoration_networks, "tile_and_halo", lambda model: (32, 2))
    assert np.abs(denoise.network_restorer(config, facts, task)(image) - whole).max() > 0.1


def test_a_process_with_tensorflow_alone_serves_what_predict_writes(finished, pairs, tmp_path):
    written = run.predict(finished[0], [pairs / "noisy" / "1.png"], tmp_path)
    program = f"""
import pathlib, sys
sys.modules["tfdlcv"] = sys.modules["keras"] = None
import tensorflow as tf
model = tf.saved_model.load({str(finished[0] / "export" / "1")!r})
content = pathlib.Path({str(pairs / "noisy" / "1.png")!r}).read_bytes()
outputs = model.signatures["serving_default"](image_bytes=tf.constant([content]))
pathlib.Path({str(tmp_path / "served.png")!r}).write_bytes(outputs["restored_png"].numpy()[0])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    row = json.loads(written["predictions.json"].read_text())["predictions"][0]
    served, predicted = (
        np.asarray(Image.open(path)).astype(int) for path in (tmp_path / "served.png", row["restored"])
    )
    assert abs(served - predicted).max() <= 1 and (served == predicted).mean() > 0.99


def test_files_that_cannot_be_restored(finished, pairs, tmp_path, capsys):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "clean").mkdir()
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"no picture")
    color = tmp_path / "color.png"
    Image.fromarray(data.chelsea()[:20, :20]).save(color)
    other_size = tmp_path / "noisy" / "3.png"
    Image.fromarray(np.zeros((20, 30), "uint8")).save(other_size)
    Image.fromarray(np.zeros((20, 31), "uint8")).save(tmp_path / "clean" / "3.png")
    for path, message in {
        bad: r"notes\.png is not a readable image",
        color: r"color\.png is in colour; this network restores grey images \(data.channels: 1\)",
        other_size: r"noisy/3\.png \(20 x 30\) and .*clean/3\.png \(20 x 31\) must be of one size",
    }.items():
        with pytest.raises(UserError, match=message):
            run.predict(finished[0], [path], tmp_path / "out")
    run.predict(finished[0], [bad, color, pairs / "noisy" / "2.png"], tmp_path / "out", on_error="skip")
    assert "2 of 3 files were skipped" in capsys.readouterr().out
    with pytest.raises(UserError, match="there is no image to restore"):
        run.predict(finished[0], [bad], tmp_path / "out", on_error="skip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image files"):
        run.predict(finished[0], [tmp_path / "empty"], tmp_path / "out")


def test_files_of_one_name_are_kept_apart(finished, pairs, tmp_path):
    Image.fromarray(np.full((16, 16), 7, "uint8")).save(tmp_path / "2.png")
    written = run.predict(finished[0], [pairs / "noisy" / "2.png", tmp_path / "2.png"], tmp_path / "out")
    rows = json.loads(written["predictions.json"].read_text())["predictions"]
    assert [row["restored"].split("/")[-1] for row in rows if row["method"] == "restored"] == ["2.png", "2_2.png"]


def test_the_pictures_of_tensorboard(finished):
    _, config, _, task, facts = resuming.load_run(finished[0])
    (picture,) = denoise.pictures(config, facts, task, denoise.build_datasets(config)).values()
    drawn = picture.draw(picture.read())
    assert drawn.dtype == np.uint8 and drawn.shape[1] > 4 * 256 and drawn.std() > 1


def test_an_autoencoder_and_principal_components_restore_digits(tmp_path):
    config = tiny_config(tmp_path / "run", *DIGITS)
    results = run.train(config)
    assert "ssim" not in results["test"]  # Of 8 x 8 pixels.
    image = denoise.build_datasets(config).test.fetch(tf.constant([0], tf.int64))["image"][0].numpy()
    Image.fromarray(image[..., 0].astype("uint8")).save(tmp_path / "digit.png")
    rows = json.loads(run.predict(tmp_path / "run", [tmp_path / "digit.png"], tmp_path)["predictions.json"].read_text())
    assert [row["method"] for row in rows["predictions"]] == ["restored", "principal_components"]
    components = np.asarray(Image.open(tmp_path / "principal_components" / "digit.png"))
    # Eight numbers of sixty-four are not all of it, and yet most.
    assert 0 < np.mean((components - image[..., 0]) ** 2) < 0.5 * image.var()
    Image.fromarray(np.zeros((9, 8), "uint8")).save(tmp_path / "high.png")
    with pytest.raises(UserError, match=r"high.png has 9 x 8 pixels; this network restores images of 8 x 8"):
        run.predict(tmp_path / "run", [tmp_path / "high.png"], tmp_path)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model={name: denoising_autoencoder, width: 0.125, skips: add}", "loss={name: absolute_error}"),
        ("model={name: autoencoder, width: 0.0625, code_size: 4}", "data.noise={sigma: [0, 55], pixels: uint8}"),
        ("trainer.virtual_devices=2", "model.batch_norm=synchronized", "data={name: photographs, channels: 3}"),
        ("trainer.xla=on", "trainer.precision=mixed_bfloat16", "model.depth=3"),
    ],
)
def test_every_network_loss_and_way_to_train(tmp_path, overrides):
    short = ("trainer.epochs=1", "trainer.steps_per_epoch=2", "data.stride=60", "data.evaluation_size=72")
    results = run.train(tiny_config(tmp_path / "run", *overrides, *short))
    assert np.isfinite([results["test"]["loss"], results["test"]["psnr"], results["test"]["ssim"]]).all()


def test_the_losses_by_hand(tmp_path):
    facts = {"image_shape": [4, 4, 1]}
    target = tf.zeros((2, 4, 4, 1))
    restored = tf.stack([target[0] + 51, target[1] - 255])  # 0.2 and 1 in units of 255.
    batch = {"target": target, "valid": tf.constant([True, False])}
    for loss, expected in {"squared_error": 0.02, "absolute_error": 0.2}.items():
        task = denoise.build_task(tiny_config(tmp_path, f"loss={{name: {loss}}}"), facts)
        values = task.players[0].losses(batch, restored)
        assert {name: float(value) for name, value in values.items()} == {loss: pytest.approx(expected, rel=1e-5)}


@pytest.mark.parametrize(
    "override, message",
    [
        ("data.noise.sigma=300", r"data.*noise.*sigma"),
        (
            "model={name: autoencoder, form: dense}",
            "model.form dense takes images of one size: data must be noisy_digits",
        ),
        ("model={name: autoencoder, form: dense, levels: 2}", r"form dense has no levels \(2\)"),
        ("model={name: autoencoder, hidden_units: [3]}", r"form convolutional has no hidden_units \(\(3,\)\)"),
        ("baselines=[principal_components]", "needs model autoencoder of form dense, whose code it has"),
        ("data={name: noisy_digits, source: mnist}", r"folder \(None\) belongs to source mnist alone"),
        ("data={name: noisy_digits, augmentation: {mixup_alpha: 1.0}}", "they blend labels, and there are none"),
        ("model.depth=2", "model.*depth"),
        ("loss={name: cross_entropy}", "loss"),
    ],
)
def test_configs_that_do_not_fit(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        tiny_config(tmp_path, override)


def test_synchronized_batch_norm_and_baselines_without_noise_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="model.batch_norm synchronized and trainer.xla on exclude each other"):
        tiny_config(tmp_path, "model.batch_norm=synchronized", "trainer.xla=on")
    with pytest.raises(ConfigError, match="baselines non_local_means needs data.noise"):
        tiny_config(tmp_path, "data={name: noisy_digits}", "baselines=[non_local_means]")
