"""`tfdlcv explain` and `tfdlcv landscape` on small runs, as a user meets them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.training.runs import tiny_config
from tfdlcv import cli
from tfdlcv.config import load_text
from tfdlcv.data.pipeline import Split
from tfdlcv.errors import UserError
from tfdlcv.systems import image_explanations, networks
from tfdlcv.systems.image_explanations import METHODS, Request
from tfdlcv.training import resuming, run, seeing
from tfdlcv.visualization import gradients, network_graph

RESIDUAL = (
    "model={name: wide_resnet_cifar, depth: 10, width: 1}",
    "data={name: digits8x8}",
    "optimizer={name: adam, learning_rate: 0.01}",
    "trainer.epochs=1",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A residual network that has learned a little, with auxiliary matters such as an average of its weights."""
    run_dir = tmp_path_factory.mktemp("runs") / "residual"
    run.train(tiny_config(run_dir, *RESIDUAL, "trainer.ema_momentum=0.9", "trainer.precision=mixed_bfloat16"))
    return run_dir


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "perceptron"
    quick = ("trainer.epochs=1", "optimizer={name: sgd, learning_rate: 0.01}")
    run.train(tiny_config(run_dir, *quick, "model={name: perceptron}"))
    return run_dir


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for index in range(12):
        image = np.round(digits.images[index] * 255 / 16).astype("uint8")
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return folder


def explain(run_dir, directory, *paths, **options):
    return seeing.explain(run_dir, Request(tuple(paths), directory, **options))


def test_without_images_the_runs_own_are_explained(finished, tmp_path, capsys):
    written = explain(finished, tmp_path, examples=3)
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "Left out: deconvnet, since it draws the same for every image where a network has no max pool"
    ]
    names = ["explanations", "numbers", "filters", "feature maps", "strongest responses", "embeddings", "projector"]
    assert list(written) == names and all(path.exists() for path in written.values())
    with np.load(written["numbers"]) as numbers:
        assert numbers["image"].shape == (3, 8, 8, 1)
        for name in ("saliency", "grad_cam", "occlusion"):
            assert numbers[name].shape == (3, 8, 8) and numbers[name].any()
        assert numbers["guided_backpropagation"].shape == (3, 8, 8, 1)
        assert [str(name)[:18] for name in numbers["name"]] == ["digits8x8 example "] * 3
    assert len(list((tmp_path / "feature_maps").glob("*.png"))) == 3
    rows = (tmp_path / "projector" / "embeddings_metadata.tsv").read_text().splitlines()
    assert rows[0] == "image\tpredicted\tclass" and len(rows) == 1 + 359


def test_the_maps_are_those_of_the_runs_weights(finished, tmp_path):
    """Computed once more from the run's network, whose averaged weights count."""
    with np.load(explain(finished, tmp_path, examples=2, methods=("saliency",))["numbers"]) as numbers:
        images, found, class_ids = numbers["image"], numbers["saliency"], numbers["class_id"]
    _, _, _, task, _ = resuming.load_run(finished)
    flat = network_graph.flat_copy(task.network)
    np.testing.assert_array_equal(class_ids, gradients.predicted_classes(flat, images))
    expected = np.abs(gradients.input_gradients(flat, images, class_ids)).max(axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def test_files_and_a_class_are_explained(finished, digit_files, tmp_path):
    written = explain(finished, tmp_path, digit_files, methods=("grad_cam", "embeddings"), class_name="7")
    assert set(written) == {"explanations", "numbers", "embeddings", "projector"}
    with np.load(written["numbers"]) as numbers:
        assert set(numbers) == {"image", "name", "class_id", "grad_cam"}
        assert numbers["class_id"].tolist() == [7] * 12 and numbers["name"][0] == "00.png"
    rows = (tmp_path / "projector" / "embeddings_metadata.tsv").read_text().splitlines()
    assert rows[0] == "image\tpredicted" and len(rows) == 13


def test_another_layer_gives_another_map(finished, digit_files, tmp_path):
    maps = []
    for layer in (None, "stage1_unit1_relu2"):
        written = explain(finished, tmp_path, digit_files / "00.png", methods=("grad_cam",), layer=layer)
        with np.load(written["numbers"]) as numbers:
            maps.append(numbers["grad_cam"])
    assert not np.allclose(*maps)


def test_a_network_without_maps_and_relu_shows_what_it_can(perceptron, digit_files, tmp_path, capsys):
    written = explain(perceptron, tmp_path, *sorted(digit_files.iterdir())[:2])
    assert set(written) == {"explanations", "numbers", "filters"}
    left_out = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    expected = ("deconvnet", "guided backpropagation", "grad cam", "guided grad cam")
    assert left_out == [f"Left out: {name}" for name in (*expected, "feature maps", "responses", "embeddings")]
    with np.load(written["numbers"]) as numbers:
        assert set(numbers) == {"image", "name", "class_id", "saliency", "occlusion"}
    with pytest.raises(UserError, match="perceptron has no ReLU that the rule 'guided' could change"):
        explain(perceptron, tmp_path, digit_files / "00.png", methods=("guided_backpropagation",))
    with pytest.raises(UserError, match="2 images make no map: 10 or more do"):
        explain(perceptron, tmp_path, *sorted(digit_files.iterdir())[:2], methods=("embeddings",))


def test_wrong_choices_name_the_near_ones(finished, digit_files, tmp_path):
    for options, message in (
        ({"layer": "stage1_unit1_rel"}, "wide_resnet10_1 has no layer 'stage1_unit1_rel'. Near: stage1_unit1_relu"),
        ({"layer": "logits"}, r"layer 'logits' of wide_resnet10_1 gives \(None, 10\), not maps"),
        ({"class_name": "seven"}, "no class 'seven' among the 10 of the run. Near: 0, 1"),
        ({"methods": ("salience",)}, "no method 'salience': choose of saliency, "),
    ):
        with pytest.raises(UserError, match=message):
            explain(finished, tmp_path, digit_files, **options)
    assert not list(tmp_path.iterdir())


def test_hyperspherical_classes_are_explained_by_their_cosines(tmp_path, digit_files):
    text = """
system: hyperspherical/classifier
model: {name: wide_resnet_cifar, depth: 10, width: 1}
data: {name: digits8x8}
loss: {name: prototypes, dimensions: 9}
optimizer: {name: sgd, learning_rate: 0.01}
trainer: {epochs: 1, run_dir: RUN_DIR, batch_size: 64, steps_per_epoch: 3, tensorboard: {pictures_every_epochs: 0}}
"""
    run.train(load_text(text.replace("RUN_DIR", str(tmp_path / "run"))))
    written = explain(tmp_path / "run", tmp_path / "out", digit_files / "00.png", methods=("saliency", "grad_cam"))
    with np.load(written["numbers"]) as numbers:
        assert numbers["saliency"].any() and numbers["class_id"].shape == (1,)


def test_examples_that_are_fetched_one_by_one_are_spread_over_the_split():
    split = Split(
        num_examples=21,
        fetch=lambda index: {"image": tf.fill((2, 2, 1), tf.cast(index, tf.uint8)), "label": tf.cast(index, tf.int32)},
        describe=lambda index: f"folder/{index}.jpg",
        fetch_per_example=True,
    )
    found = image_explanations._examples(split, 3)
    assert found.names == ["0.jpg", "10.jpg", "20.jpg"] and found.labels.tolist() == [0, 10, 20]
    assert found.images[:, 0, 0, 0].tolist() == [0, 10, 20] and found.images.dtype == np.uint8


def test_a_network_with_auxiliary_heads_is_explained_by_the_main_one():
    config = tiny_config("unused", "model={name: googlenet, auxiliary_heads: true}").model
    network = networks.build_image_network(config, image_shape=(65, 65, 1), outputs=3)
    alone = networks.without_auxiliary_heads(network)
    flat = network_graph.flat_copy(alone)
    assert network_graph.map_layer(flat).name == "inception_5b_concatenate"
    image = np.random.default_rng(0).uniform(0, 255, (1, 65, 65, 1)).astype("float32")
    scores = network(image, training=False)["logits"]
    np.testing.assert_allclose(flat(image, training=False), scores, rtol=1e-4, atol=1e-5)


def test_other_systems_say_that_they_classify_no_images(tmp_path, monkeypatch):
    class Other:
        pass

    config = tiny_config(tmp_path)
    monkeypatch.setattr(resuming, "load_run", lambda *_: (None, config, Other, None, None))
    with pytest.raises(UserError, match="whose networks do not classify images"):
        explain(tmp_path, tmp_path)


def test_the_landscape_has_the_runs_loss_in_the_middle(finished, tmp_path, capsys):
    options = ["--points", "3", "--examples", "100", "--radius", "0.5", "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        cli.main(["landscape", str(finished), *options])
    assert not caught.value.code
    assert capsys.readouterr().out.split() == [
        *("landscape", str(tmp_path / "landscape.png")),
        *("numbers", str(tmp_path / "landscape.npz")),
    ]
    with np.load(tmp_path / "landscape.npz") as file:
        losses = file["losses"]
        assert file["num_examples"] == 100
    assert losses.shape == (3, 3) and losses.argmin() == 4
    overrides = ["trainer.precision=float32"]
    _, config, system, task, _ = resuming.load_run(finished, overrides)
    train = system.build_datasets(config).train
    spread = np.linspace(0, train.num_examples - 1, 100).astype(int)
    batch = train.fetch(spread)
    logits = task.network(np.asarray(batch["image"], "float32"), training=False)
    expected = keras.losses.sparse_categorical_crossentropy(batch["label"], logits, from_logits=True)
    assert losses[1, 1] == pytest.approx(float(np.mean(expected)), rel=1e-4)


def test_the_command_hands_over_what_it_is_given(finished, digit_files, tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(seeing, "explain", lambda *arguments: seen.append(arguments) or {"numbers": tmp_path / "a"})
    command = ["explain", str(finished), str(digit_files), "--method", "saliency", "--method", "occlusion"]
    for options in ([], ["--layer", "x", "--class", "3", "--output", str(tmp_path), "--on-error", "skip"]):
        with pytest.raises(SystemExit):
            cli.main([*command, *options])
    methods = ("saliency", "occlusion")
    assert seen[0] == (finished, Request((digit_files,), finished / "explanations", methods=methods))
    expected = Request((digit_files,), tmp_path, methods=methods, layer="x", class_name="3", on_error="skip")
    assert seen[1] == (finished, expected)
    assert f"numbers  {tmp_path / 'a'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["landscape", "RUN", "--points", "4"], "--points (4) must be odd, so that the middle is the network itself"),
        (["landscape", "RUN", "--radius", "0"], "--radius (0.0) must be above 0"),
        (["landscape", "absent"], "absent: no such run folder"),
        (["explain", "absent"], "absent: no such run folder"),
        (["explain", "RUN", "absent.png"], "absent.png: no such file"),
    ],
)
def test_what_cannot_start_says_why(finished, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(finished) if argument == "RUN" else argument for argument in arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_commands_methods_are_all_there_are():
    assert tuple(method.value for method in cli.Method) == METHODS


def test_without_a_run_the_optimizers_are_drawn(tmp_path, monkeypatch, capsys):
    from tfdlcv.visualization import optimizer_paths

    title, surface = next(iter(optimizer_paths.SURFACES.items()))
    short = {"function": surface.function, "start": surface.start, "limits": surface.limits, "minimum": None}
    small = {title: optimizer_paths.Surface(**short, learning_rates={"SGD": 0.01, "Adam": 0.1}, steps=3)}
    monkeypatch.setattr(optimizer_paths, "SURFACES", small)
    with pytest.raises(SystemExit) as caught:
        cli.main(["landscape", "--output", str(tmp_path / "new")])
    assert not caught.value.code
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["optimizer_paths.gif", "optimizer_paths.png"]
    assert json.dumps(str(tmp_path / "new"))[1:-1] in capsys.readouterr().out
