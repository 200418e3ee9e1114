"""The system as its user meets it: training, pictures, prediction whole and in tiles, serving, bad input."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.systems.segmentation.runs import config_of
from tfdlcv.data.shapes import CLASS_NAMES, Shapes
from tfdlcv.errors import ConfigError, UserError
from tfdlcv.systems.segmentation import semantic
from tfdlcv.training import run

FACTS = {
    "image_shape": [32, 32, 3],
    "class_names": ["ground", "a"],
    "palette": [[0, 0, 0], [9, 9, 9]],
    "class_pixels": [3, 1],
    "class_image_pixels": [4, 4],
    "target": None,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "shapes"
    return run_dir, run.train(config_of(run_dir, "trainer.tensorboard.pictures_every_epochs=1"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two pictures, which are no multiples of any stride, and their masks."""
    folder = tmp_path_factory.mktemp("pictures")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for index in range(2):
        example = Shapes(7, size=(150, 117))[index]
        Image.fromarray(example.image).save(folder / "images" / f"{index}.png")
        Image.fromarray(example.mask).save(folder / "masks" / f"{index}.png")
    return folder


def labels_of(directory):
    return np.stack([np.asarray(Image.open(path)) for path in sorted((directory / "labels").iterdir())])


def predicted(run_dir, images, directory, *settings):
    run.predict(run_dir, [images / "images"], directory, overrides=settings)
    return labels_of(directory)


@pytest.fixture(scope="module")
def whole(finished, images, tmp_path_factory):
    return predicted(finished[0], images, tmp_path_factory.mktemp("whole"))


def test_it_is_scored_and_saved(finished):
    run_dir, results = finished
    scores = {"loss", "accuracy", "mean_iou", "mean_class_accuracy", "frequency_weighted_iou", "boundary_f1"}
    assert set(results["test"]) == scores
    assert len(results["test_tables"]["per_class_iou"]) == len(CLASS_NAMES)
    facts = json.loads((run_dir / "dataset.json").read_text())
    assert tuple(facts["class_names"]) == CLASS_NAMES and len(facts["palette"]) == len(CLASS_NAMES)


def test_tensorboard_shows_truth_and_prediction(finished):
    tags = set()
    for path in (finished[0] / "tensorboard").rglob("events*"):
        events = EventAccumulator(str(path.parent)).Reload()
        tags |= {*events.Tags()["images"], *events.Tags()["tensors"]}
    assert any("dense" in tag for tag in tags) and any("confusion_matrix" in tag for tag in tags)


def test_tiles_give_the_label_maps_of_whole_images(finished, images, whole, tmp_path):
    tiled = predicted(finished[0], images, tmp_path, "predict.tile=96")
    np.testing.assert_array_equal(tiled, whole)
    assert len(np.unique(whole)) > 1


def test_a_mirror_image_gives_the_mirrored_labels(finished, images, tmp_path):
    flip = ("predict.flip=true", "predict.scales=[0.5,1.0]")
    labels = predicted(finished[0], images, tmp_path / "out", *flip)
    (tmp_path / "images").mkdir()
    for path in (images / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(tmp_path / "images" / path.name)
    mirrored = predicted(finished[0], tmp_path, tmp_path / "mirrored", *flip)
    # Where two classes are alike to the last digit, either may win.
    assert (mirrored[:, :, ::-1] == labels).mean() > 0.999


def test_the_truth_and_clusters(finished, images, tmp_path):
    truth = f"predict.truth={images / 'masks'}"
    clusters = predicted(finished[0], images, tmp_path, truth, "predict.method={name: kmeans, clusters: 4, starts: 1}")
    assert len(np.unique(clusters)) == 4
    assert (tmp_path / "per_class.csv").is_file() and (tmp_path / "overlays" / "1.png").is_file()


@pytest.mark.parametrize(("values", "void_value"), [((0, 255), 11), ((0, 1), 11)])
def test_the_truth_is_saved_as_the_masks_of_the_data(values, void_value, tmp_path):
    image, mask = np.zeros((12, 12, 3), np.uint8), np.full((12, 12), values[0], np.uint8)
    image[:, 8:], mask[:, 8:], mask[0] = 250, values[1], void_value
    for folder, suffix, content in (("images", "", image), ("truth", "_mask", mask)):
        (tmp_path / folder).mkdir()
        Image.fromarray(content).save(tmp_path / folder / f"a{suffix}.png")
    data = f"folder: x, image_size: [32, 32], class_names: [ground, a], values: {[*values]}, void_value: {void_value}"
    config = config_of(
        tmp_path / "run",
        f"data={{name: image_mask_folder, mask_suffix: _mask, {data}}}",
        "predict.method={name: kmeans, clusters: 2}",
        f"predict.truth={tmp_path / 'truth'}",
    )
    semantic.predict(config, FACTS, None, [tmp_path / "images"], tmp_path / "out", "stop")
    lines = (tmp_path / "out" / "per_class.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [["ground", "88", "1.0"], ["a", "44", "1.0"]]


def test_the_export_serves_any_size(finished, images, whole):
    served = tf.saved_model.load(finished[1]["export"]).signatures
    files = [path.read_bytes() for path in sorted((images / "images").iterdir())]
    outputs = served["serving_default"](image_bytes=tf.constant(files))
    np.testing.assert_array_equal(outputs["class_id"], whole)
    np.testing.assert_allclose(outputs["confidence"], outputs["probabilities"].numpy().max(axis=-1))
    np.testing.assert_allclose(outputs["probabilities"].numpy().sum(axis=-1), 1, rtol=1e-5)
    encoded = served["png"](image_bytes=tf.constant(files))["class_id_png"].numpy()
    np.testing.assert_array_equal([np.asarray(Image.open(io.BytesIO(content))) for content in encoded], whole)


def test_images_below_the_stride_are_refused_by_name(finished, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (15, 40)).save(tmp_path / "images" / "small.png")
    with pytest.raises(UserError, match=r"small.png: the image of 40 x 15 pixels is smaller than the 16 x 16 that"):
        predicted(finished[0], tmp_path, tmp_path / "out")
    served = tf.saved_model.load(finished[1]["export"]).signatures["tensors"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="images must have at least 16 x 16 pixels"):
        served(image=tf.zeros((1, 15, 40, 3), tf.uint8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("data.image_size=[15,32]",), r"data.image_size \(15 x 32\) is smaller than the 16 x 16 pixels"),
        (
            ("model.padding=valid", "data.image_size=[200,188]"),
            r"data.image_size \(200 x 188\): the network takes heights and widths of 188 plus a multiple of 16",
        ),
        (
            ("data.augmentation.scale_crop={size: [8, 8]}", "data.image_size=[32,32]"),
            r"data.augmentation.scale_crop.size \(8 x 8\) is smaller",
        ),
    ],
)
def test_training_images_must_suit_the_network(settings, message, tmp_path):
    config = config_of(tmp_path, *(each for each in settings if "[15,32]" not in each))
    size = next(json.loads(each.partition("=")[2]) for each in settings if "image_size" in each)
    with pytest.raises(UserError, match=message):
        semantic.build_task(config, {**FACTS, "image_shape": [*size, 3]})


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        (("loss={name: depth}",), "shapes", "loss depth is for depth, but data shapes has classes"),
        (("loss={name: normals}",), "depth", "loss normals is for normals, but data scenes has depth"),
        (("loss={name: dice}",), "depth", "loss dice is for classes, but data scenes has depth"),
        (("predict.scales=[1.0,2.0]",), "depth", "predict.scales and predict.method are for classes"),
        (("model.batch_norm=synchronized",), "shapes", "batch_norm synchronized needs normalization batch"),
        (
            ("model={name: segnet, batch_norm: synchronized}", "trainer.xla=on"),
            "shapes",
            "model.batch_norm synchronized and trainer.xla on exclude each other",
        ),
    ],
)
def test_sections_that_do_not_fit(settings, data, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, *settings, data=data)


def test_weights_of_borders_have_those_of_the_classes(tmp_path):
    weights = "class_weights: [0.5, 1.0, 1.0, 1.0, 1.0, 4.0]"
    config = config_of(tmp_path, f"loss={{name: cross_entropy, border_weight: 10.0, {weights}}}")
    mask = np.full((1, 8, 8), 5, np.int32)
    mask[:, :4] = 0
    batch = semantic.build_datasets(config).augment({"mask": tf.constant(mask)}, (0, 0))
    np.testing.assert_array_equal(batch["pixel_weight"], np.where(mask == 5, 4.0, 0.5))


def test_the_valid_form_is_scored_within_its_margin(tmp_path):
    config = config_of(tmp_path, "model.padding=valid", "model.width=0.03125", "data.image_size=[188,204]")
    facts = {**FACTS, "image_shape": [188, 204, 3]}
    task = semantic.build_task(config, facts)
    mask = np.full((1, 188, 204), 255, np.int32)
    mask[:, 92:96, 92:112] = 1
    batch = {"mask": mask, "valid": np.array([True])}
    outputs = np.zeros((1, 4, 20, 2), np.float32)
    truth, _, _ = task.metric_inputs(batch, outputs)
    np.testing.assert_array_equal(truth, np.ones((1, 4, 20)))
    (player,) = task.players
    assert float(player.losses(batch, outputs)["cross_entropy"]) == pytest.approx(np.log(2))


# SegNet's normalisations of maps of down to one pixel make a difference of rounding a hundred times larger with every
# step: there the first step alone is compared, with its gradients.
@pytest.mark.parametrize(("network", "way", "steps"), [("unet", "virtual_devices=2", 2), ("segnet", "xla=on", 1)])
def test_replicas_and_xla_train_the_same(network, way, steps, tmp_path):
    model = f"model={{name: {network}, width: 0.0625}}"
    short = ("trainer.epochs=1", f"trainer.steps_per_epoch={steps}")
    plain, other = (
        run.train(config_of(tmp_path / str(index), model, *short, *ways))["validation"]
        for index, ways in enumerate([(), (f"trainer.{way}",)])
    )
    assert other["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert other["gradient_norm"] == pytest.approx(plain["gradient_norm"], rel=1e-3)


def test_mixed_precision_keeps_the_scores_in_float32(tmp_path):
    results = run.train(config_of(tmp_path, "model={name: segnet, width: 0.0625}", "trainer.precision=mixed_bfloat16"))
    assert np.isfinite([results["validation"]["loss"], results["test"]["loss"], results["test"]["mean_iou"]]).all()
    served = tf.saved_model.load(results["export"]).signatures["tensors"]
    assert served(image=tf.zeros((1, 32, 32, 3), tf.uint8))["probabilities"].dtype == tf.float32


def test_stages_of_a_network_share_layers(tmp_path):
    """FCN-16s begins with what FCN-32s has, but for the last enlargement, which has another stride."""
    fcn = "model={name: fcn, stride: STRIDE, width: 0.015625"
    facts = {**FACTS, "class_names": list(CLASS_NAMES), "palette": [[0, 0, 0]] * len(CLASS_NAMES)}
    coarse = semantic.build_task(config_of(tmp_path, fcn.replace("STRIDE", "32") + "}"), facts)
    (tmp_path / "checkpoints").mkdir()
    values = {name: variable.numpy() for name, variable in coarse.state().items()}
    np.savez(tmp_path / "checkpoints" / "best.npz", __meta__=np.array(0), **values)
    shared = f", pretrained: {tmp_path}, pretrained_part: shared}}"
    fine = semantic.build_task(config_of(tmp_path, fcn.replace("STRIDE", "16") + shared), facts)
    fine.begin()
    expected = {variable.path: variable.numpy() for variable in coarse.network.weights}
    same = {v.path for v in fine.network.weights if np.array_equal(v.numpy(), expected.get(v.path))}
    layers = [f"block{b}_conv{c}" for b, count in enumerate((2, 2, 3, 3, 3), 1) for c in range(1, count + 1)]
    for layer in (*layers, "fc6", "fc7", "score"):
        assert {f"{layer}/kernel", f"{layer}/bias"} <= same
    assert "upscore/kernel" not in same
