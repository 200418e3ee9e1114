"""Features of image files: what a layer gives, by name, and nothing else."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.training.runs import tiny_config
from tfdlcv.errors import UserError
from tfdlcv.systems import image_features
from tfdlcv.systems.networks import body_of
from tfdlcv.training import resuming, run

CONVOLUTIONAL = ("model={name: lenet5}", "data={name: mnist5k, train_limit: 100}", "trainer.batch_size=20")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "lenet5"
    run.train(tiny_config(run_dir, *CONVOLUTIONAL, "trainer.epochs=1", "trainer.steps_per_epoch=2"))
    return run_dir


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """More files than a batch, of noise, as `03.png`."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (image_features._BATCH + 3, 28, 28), "uint8")
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return folder, pixels


def test_features_are_the_layers_outputs_in_the_order_of_the_files(finished, images, tmp_path):
    folder, pixels = images
    path = run.features(finished, [folder], "s4", tmp_path / "here" / "s4")
    assert path == tmp_path / "here" / "s4"
    with np.load(path, allow_pickle=False) as file:
        features, names = file["features"], file["files"]
    assert [*names] == sorted(str(path) for path in folder.iterdir())
    body = body_of(resuming.load_run(finished)[3].network)
    x = (pixels[..., None] / 255 - 0.5) / 0.5
    for name in ("pad", "c1", "s2", "c3", "s4"):
        x = body.get_layer(name)(x)
    assert features.shape == (67, 5, 5, 16) and features.dtype == np.float32
    np.testing.assert_allclose(features, x, rtol=1e-4, atol=1e-5)


def test_features_of_the_last_layer_are_the_logits_that_are_served(finished, images):
    path = run.features(finished, [images[0] / "00.png"], "logits")
    assert path == finished / "features" / "logits.npz"
    logits = np.load(path)["features"][0]
    run.predict(finished, [images[0] / "00.png"])
    predicted = json.loads((finished / "predictions" / "predictions.json").read_text())["predictions"][0]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), predicted["probabilities"], rtol=1e-4)


def test_an_unknown_layer_lists_near_ones(finished, images):
    with pytest.raises(UserError, match=r"--layer: 'c4' names no layer of lenet5. Near: (c\d, )*s4"):
        run.features(finished, [images[0]], "c4")


def test_files_that_are_no_images(finished, images, tmp_path, capsys):
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"notes\.png is not a readable image"):
        run.features(finished, [bad], "f6", tmp_path / "f6.npz")
    path = run.features(finished, [bad, images[0] / "01.png"], "f6", tmp_path / "f6.npz", on_error="skip")
    assert "1 of 2 files were skipped" in capsys.readouterr().out
    assert [*np.load(path)["files"]] == [str(images[0] / "01.png")]
    with pytest.raises(UserError, match="there is no image to take features of"):
        run.features(finished, [bad], "f6", tmp_path / "none.npz", on_error="skip")
    assert not (tmp_path / "none.npz").exists()
