"""Weights from elsewhere make the network the one they come from: the same logits."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tests.models.torch_networks import GOLDEN, NUM_CLASSES, seeded_tensor
from tfdlcv import models
from tfdlcv.models import weights
from tfdlcv.models.weights import WeightsError

TORCH = {
    "resnet18": ("resnet", {"depth": 18}),
    "resnet50": ("resnet", {}),
    "resnext50_32x4d": ("resnext", {}),
    "resnetv2_50": ("resnet", {"block_order": "full_preact"}),
    "densenet121": ("densenet", {}),
    "googlenet": ("googlenet", {"variant": "batch_norm"}),
    "mobilenetv1_100": ("mobilenet", {"batch_norm_epsilon": 1e-5}),
    "vgg16": ("vgg", {}),
    "alexnet": ("alexnet", {"variant": "one_weird_trick"}),
}
KERAS = {
    "ResNet50": ("resnet", {"stride_on": "1x1", "batch_norm_epsilon": 1.001e-5}, {}),
    "VGG16": ("vgg", {}, {}),
    "DenseNet121": ("densenet", {"batch_norm_epsilon": 1.001e-5}, {}),
    "MobileNet": ("mobilenet", {"width": 0.5, "padding": "same"}, {"alpha": 0.5}),
}


@pytest.fixture(autouse=True)
def clean_session():
    yield
    keras.backend.clear_session()


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


def network(name, size=64, num_classes=NUM_CLASSES):
    function, arguments = TORCH[name]
    return getattr(models, function)((size, size, 3), num_classes=num_classes, **arguments)


def randomize(model):
    random = np.random.default_rng(0)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 1.0, shape))
        elif len(shape) == 1:
            variable.assign(random.normal(0, 0.1, shape))


@pytest.mark.parametrize("name", TORCH)
def test_torch_logits(name, golden):
    entry = golden[name]
    state = {key: seeded_tensor(key, shape) for key, shape in entry["shapes"].items()}
    built = network(name, entry["size"])
    weights.load_state_dict(built, state)
    image = seeded_tensor("image", (2, 3, entry["size"], entry["size"])).transpose((0, 2, 3, 1))
    np.testing.assert_allclose(built(image), entry["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", KERAS)
def test_keras_logits(name):
    function, arguments, peer_arguments = KERAS[name]
    peer = getattr(keras.applications, name)(
        weights=None, classifier_activation=None, input_shape=(32, 32, 3), classes=6, **peer_arguments
    )
    randomize(peer)
    built = getattr(models, function)((32, 32, 3), num_classes=6, **arguments)
    weights.load_keras(built, peer)
    image = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(built(image), peer(image), rtol=1e-4, atol=1e-4)


def small():
    return models.resnet((32, 32, 3), num_classes=4, depth=18)


def state_of(golden, name="resnet18"):
    return {key: seeded_tensor(key, shape) for key, shape in golden[name]["shapes"].items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files(suffix, golden, tmp_path):
    state = state_of(golden)
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else np.savez(path, **state)
    built = network("resnet18")
    loaded = weights.load_pretrained(built, path)
    assert loaded[0] == "stem_conv" and loaded[-1] == "logits"
    np.testing.assert_array_equal(built.get_layer("logits").kernel, state["fc.weight"].T)


def test_keras_files_and_networks_of_this_package(tmp_path):
    built, other = small(), small()
    randomize(built)
    built.save(tmp_path / "network.keras")
    weights.load_pretrained(other, tmp_path / "network.keras")
    for one, two in zip(built.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_number_of_classes_names_layers_and_shapes_or_leaves_the_head_out(golden):
    built = small()
    before = [np.array(w) for w in built.weights]
    with pytest.raises(WeightsError) as error:
        weights.load_state_dict(built, state_of(golden))
    assert "kernel (512, 4) of logits and kernel (512, 5) of fc differ in shape" in str(error.value)
    assert "model.pretrained_head: leave_out" in str(error.value)
    for old, new in zip(before, built.weights, strict=True):
        np.testing.assert_array_equal(old, new)  # Nothing was loaded.
    head = np.array(built.get_layer("logits").kernel)
    assert "logits" not in weights.load_state_dict(built, state_of(golden), head="leave_out")
    np.testing.assert_array_equal(built.get_layer("logits").kernel, head)
    np.testing.assert_array_equal(built.get_layer("stem_norm").gamma, state_of(golden)["bn1.weight"])


def test_every_tensor_that_does_not_fit_is_named(golden):
    state = state_of(golden)
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    state["layer2.0.bn1.running_mean"] = np.zeros(3, "float32")
    del state["layer1.1.bn2.bias"]
    with pytest.raises(WeightsError) as error:
        weights.load_state_dict(small(), state, head="leave_out")
    for part in (
        "kernel (7, 7, 3, 64) of stem_conv and kernel (7, 7, 1, 64) of conv1 differ in shape",
        "moving_mean (128,) of stage2_unit1_norm1 and moving_mean (3,) of layer2.0.bn1 differ in shape",
        "beta (64,) of stage1_unit2_norm2 is missing in layer1.1.bn2",
    ):
        assert part in str(error.value)


def test_another_depth_names_the_layers(golden):
    with pytest.raises(WeightsError, match=r"lacks: .*stage1_unit1_conv3 \(layer1.0.conv3\), .* and \d+ more"):
        weights.load_state_dict(network("resnet50"), state_of(golden))
    with pytest.raises(WeightsError, match="that the network lacks: .*layer1.2.conv1"):
        weights.load_state_dict(
            models.resnet((32, 32, 3), depth=18), state_of(golden, "resnet50") | state_of(golden), head="leave_out"
        )


def test_an_unknown_layout():
    with pytest.raises(WeightsError, match=r"known layouts \(torchvision/timm ResNet, .*It has: encoder.0"):
        weights.load_state_dict(small(), {"encoder.0.weight": np.zeros((2, 2))})


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_pickles_are_refused(suffix, tmp_path):
    with pytest.raises(WeightsError, match="is a pickle, .* safetensors.torch.save_file"):
        weights.load_pretrained(small(), tmp_path / f"weights{suffix}")


def test_objects_in_npz_files_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", **{"conv1.weight": np.array([{}], object)})
    with pytest.raises(WeightsError, match=r"bad.npz cannot be read: Object arrays cannot be loaded"):
        weights.load_pretrained(small(), tmp_path / "bad.npz")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(WeightsError, match="none.safetensors: no such file"):
        weights.load_pretrained(small(), tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="bad.safetensors cannot be read"):
        weights.load_pretrained(small(), tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match="neither a weights file .* nor a checkpoint"):
        weights.load_pretrained(small(), tmp_path / "ckpt-7")


def garden_checkpoint(path, built, num_classes):
    """A checkpoint with the object graph of official.vision's ResNet classifier and the weights of `built`."""

    def module(**children):
        node = tf.train.Checkpoint()
        for name, child in children.items():
            setattr(node, name, child)
        return node

    def layer(name):
        return module(**{v.name: tf.Variable(np.asarray(v)) for v in built.get_layer(name).weights})

    backbone = {"layer_with_weights-0": layer("stem_conv"), "layer_with_weights-1": layer("stem_norm")}
    units = [match[1] for each in built.layers if (match := re.fullmatch(r"(stage\d_unit\d+)_conv1", each.name))]
    names = {each.name for each in built.layers}
    for place, unit in enumerate(units, start=2):
        parts = {f"_{kind}{i}": f"{unit}_{kind}{i}" for kind in ("conv", "norm") for i in (1, 2, 3)}
        parts |= {"_shortcut": f"{unit}_shortcut_conv", "_norm0": f"{unit}_shortcut_norm"}
        children = {attribute: layer(name) for attribute, name in parts.items() if name in names}
        backbone[f"layer_with_weights-{place}"] = module(**children)
    head = module(
        kernel=tf.Variable(np.ones((2048, num_classes), "float32")), bias=tf.Variable(np.zeros(num_classes, "float32"))
    )
    model = module(**{"layer_with_weights-0": module(**backbone), "layer_with_weights-1": head})
    return tf.train.Checkpoint(model=model, global_step=tf.Variable(3)).write(str(path))


def test_model_garden_checkpoints(tmp_path):
    source = models.resnet((32, 32, 3), num_classes=3)
    randomize(source)
    source.get_layer("logits").set_weights([np.ones((2048, 3)), np.zeros(3)])
    prefix = garden_checkpoint(tmp_path / "ckpt-3", source, 3)
    image = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    built = models.resnet((32, 32, 3), num_classes=3)
    weights.load_pretrained(built, prefix)
    np.testing.assert_allclose(built(image), source(image), rtol=1e-5, atol=1e-5)
    other = models.resnet((32, 32, 3), num_classes=7)
    with pytest.raises(
        WeightsError, match=r"kernel \(2048, 7\) of logits and kernel \(2048, 3\) of .*layer_with_weights-1"
    ):
        weights.load_pretrained(other, f"{prefix}.index")
    assert "logits" not in weights.load_pretrained(other, prefix, head="leave_out")
    np.testing.assert_array_equal(other.get_layer("stem_conv").kernel, source.get_layer("stem_conv").kernel)
