"""Classifiers' weights in the encoders of segmentation networks: the same features."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfdlcv import models
from tfdlcv.models import encoder_weights, weights
from tfdlcv.models.weights import WeightsError
from tfdlcv.training import task

WIDTH = 1 / 32
FILTERS, CONVOLUTIONS, UNITS = (2, 4, 8, 16, 16), (2, 2, 3, 3, 3), 128


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """A narrow VGG-16 of 10 classes with the names and layouts of torchvision."""
    random, state, channels, place = np.random.default_rng(0), {}, 3, 0

    def add(name, *shape):
        state[f"{name}.weight"] = random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype("float32")
        state[f"{name}.bias"] = random.normal(0, 0.1, shape[0]).astype("float32")

    for filters, count in zip(FILTERS, CONVOLUTIONS, strict=True):
        for _ in range(count):
            add(f"features.{place}", filters, channels, 3, 3)
            channels, place = filters, place + 2
        place += 1
    add("classifier.0", UNITS, channels * 7 * 7)
    add("classifier.3", UNITS, UNITS)
    add("classifier.6", 10, UNITS)
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(state, path)
    return path, state


def test_fcn_s_fc6_is_torchvision_s_dense_layer_over_the_last_maps(vgg_file):
    path, state = vgg_file
    built = models.fcn(num_classes=3, width=WIDTH, padding="crop")
    before = np.array(built.get_layer("score").kernel)
    names = encoder_weights.load_encoder(built, path)
    assert names[0] == "block1_conv1" and names[-2:] == ["fc6", "fc7"] and len(names) == 15
    maps = np.random.default_rng(1).normal(size=(1, 7, 7, 16)).astype("float32")
    dense = state["classifier.0.weight"] @ maps[0].transpose((2, 0, 1)).reshape(-1) + state["classifier.0.bias"]
    np.testing.assert_allclose(np.ravel(built.get_layer("fc6")(maps)), dense, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(built.get_layer("score").kernel, before)


def test_segnet_takes_the_convolutions_alone(vgg_file):
    path, state = vgg_file
    built = models.segnet(num_classes=3, width=WIDTH)
    names = encoder_weights.load_encoder(built, path)
    assert len(names) == 13 and not any(name.startswith("up") for name in names)
    kernel = state["features.28.weight"].transpose((2, 3, 1, 0))
    np.testing.assert_array_equal(built.get_layer("block5_conv3").kernel, kernel)
    np.testing.assert_array_equal(built.get_layer("block5_conv3").bias, state["features.28.bias"])


def test_deeplab_s_backbone_from_a_saved_classifier(tmp_path):
    classifier = models.resnet((64, 64, 3), num_classes=7, depth=18, width=1 / 16)
    for variable in classifier.weights:
        if variable.name == "moving_mean":
            variable.assign(np.random.default_rng(0).normal(0, 0.1, variable.shape))
    classifier.save(tmp_path / "resnet18.keras")
    built = models.deeplab_v3(num_classes=3, backbone="resnet18", width=1 / 16, multigrid=None)
    assert "stage4_unit2_conv2" in encoder_weights.load_encoder(built, tmp_path / "resnet18.keras")
    x = np.random.default_rng(1).normal(size=(1, 64, 64, 3)).astype("float32")
    features = keras.Model(classifier.input, classifier.get_layer("pool").input)(x)
    maps = built.get_layer("backbone")(x)
    assert np.abs(features).max() > 0.1
    np.testing.assert_allclose(maps[:, ::2, ::2], features, rtol=1e-4, atol=1e-4)


def small_deeplab(seed):
    keras.utils.set_random_seed(seed)
    return models.deeplab_v3(num_classes=3, backbone="mobilenet", width=1 / 8, output_stride=32)


@pytest.mark.parametrize("kind", ["keras", "run"])
def test_layers_with_layers_inside_come_from_a_whole_network_s_weights(kind, tmp_path):
    """The pyramid's convolutions have kernels of one shape, which must not be taken for each other."""
    trained, built = small_deeplab(0), small_deeplab(1)
    path = tmp_path / "trained.keras"
    if kind == "keras":
        trained.save(path)
    else:
        path = tmp_path / "checkpoints" / "best.npz"
        path.parent.mkdir()
        state = {}
        task._add_named(state, "network", trained.variables)
        np.savez(path, __meta__="{}", **{key: np.asarray(variable) for key, variable in state.items()})
        path = tmp_path
    x = np.random.default_rng(1).normal(size=(1, 64, 64, 3)).astype("float32")
    assert np.abs(trained(x) - built(x)).max() > 1e-3
    assert "aspp" in weights.load_pretrained(built, path)
    np.testing.assert_array_equal(built(x), trained(x))


def test_what_does_not_fit(vgg_file):
    path, _ = vgg_file
    with pytest.raises(WeightsError, match="unet has no encoder with the layers of a classifier"):
        encoder_weights.load_encoder(models.unet(num_classes=2, width=1 / 64), path)
    wide = models.segnet(num_classes=3, width=1 / 16)
    with pytest.raises(WeightsError, match=r"\(3, 3, 3, 4\) of block1_conv1 and kernel \(3, 3, 3, 2\) of features.0"):
        encoder_weights.load_encoder(wide, path)
