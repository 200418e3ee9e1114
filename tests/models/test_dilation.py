"""Backbones of classifiers: at every output stride they hold what the classifier computes."""

import keras
import numpy as np
import pytest

from tfdlcv import models
from tfdlcv.models import dilation
from tfdlcv.models.vgg import feature_maps

# Classifiers that halve images to a 4th or 32nd, and output strides below that.
FAMILIES = {
    "resnet": ("resnet", {"depth": 18, "width": 1 / 8}, 32, (16, 1)),
    "resnet_identity": ("resnet_cifar", {"depth": 8, "shortcut": "identity"}, 4, (2, 1)),
    "resnet_preact": ("resnet_cifar", {"depth": 8, "block_order": "full_preact"}, 4, (1,)),
    "resnext": ("resnext_cifar", {"depth": 11, "cardinality": 2, "group_width": 8}, 4, (2,)),
    "densenet": ("densenet_cifar", {"depth": 10, "growth_rate": 4}, 4, (1,)),
    "mobilenet": ("mobilenet", {"width": 1 / 8}, 32, (4,)),
}


@pytest.fixture(autouse=True, scope="module")
def clean_session():
    yield
    keras.backend.clear_session()


def randomize(model):
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(random.normal(0, 0.1, variable.shape))


def share(source, target):
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        layer.set_weights(layers[layer.name].get_weights() if layer.weights else [])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_output_stride_th_pixel_is_the_classifier_s(family):
    network, arguments, own_stride, output_strides = FAMILIES[family]
    keras.utils.set_random_seed(0)
    size = (64, 96) if own_stride == 32 else (16, 24)
    classifier = getattr(models, network)((*size, 3), num_classes=2, **arguments)
    randomize(classifier)
    x = np.random.default_rng(1).normal(size=(1, *size, 3)).astype("float32")
    features = keras.Model(classifier.input, classifier.get_layer("pool").input)(x).numpy()
    for output_stride in output_strides:
        backbone = dilation.backbone(classifier, input_shape=(None, None, 3), output_stride=output_stride)
        share(classifier, backbone)
        maps = backbone(x).numpy()
        assert maps.shape[1:3] == tuple(length // output_stride for length in size)
        step = own_stride // output_stride
        scale = np.abs(features).max()
        np.testing.assert_allclose(
            maps[:, ::step, ::step][:, : features.shape[1], : features.shape[2]] / scale,
            features / scale,
            rtol=0,
            atol=1e-5,
        )


def test_pools_of_vgg_skip_pixels_too():
    image = keras.Input((64, 64, 3), name="image")
    maps = feature_maps(image, depth=16, width=1 / 32)[-1]
    classifier = keras.Model(image, keras.layers.Flatten(name="flatten")(maps), name="small_vgg")
    x = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype("float32")
    features = keras.Model(image, maps)(x)
    for output_stride in (32, 4):
        backbone = dilation.backbone(classifier, output_stride=output_stride)
        share(classifier, backbone)
        every = 32 // output_stride
        np.testing.assert_allclose(backbone(x)[:, ::every, ::every], features, rtol=1e-4, atol=1e-5)
    names = [layer.name for layer in backbone.layers if layer.weights]
    assert names == [layer.name for layer in classifier.layers if layer.weights]


def test_pools_that_keras_pads():
    """GoogLeNet's: of stride 2 and of stride 1."""
    image = x = keras.Input((16, 24, 2), name="image")
    for strides in (2, 1, 2, 1):
        x = keras.layers.MaxPooling2D(3, strides, padding="same")(x)
    classifier = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pool")(x))
    values = np.random.default_rng(1).normal(size=(2, 16, 24, 2)).astype("float32")
    backbone = dilation.backbone(classifier, output_stride=1)
    np.testing.assert_array_equal(backbone(values)[:, ::4, ::4], keras.Model(image, x)(values))


def test_multigrid_begins_anew_and_leaves_other_stages_alone():
    classifier = models.resnet_cifar((32, 32, 3), depth=20)  # Three units a stage.
    backbone = dilation.backbone(classifier, output_stride=2, multigrid=(1, 3))
    gaps = [[backbone.get_layer(f"stage{s}_unit{u}_conv2").dilation_rate[0] for u in range(1, 4)] for s in (1, 2, 3)]
    assert gaps == [[1] * 3, [1] * 3, [2, 6, 2]]
    assert backbone.get_layer("stage3_unit2_conv1").dilation_rate == (6, 6)
    assert classifier.get_layer("stage3_unit2_conv1").dilation_rate == (1, 1)


OF_ERRORS = {"lenet5": {"variant": "original"}, "resnet_cifar": {"depth": 8}, "densenet_cifar": {"depth": 10}}


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        ("resnet_cifar", {"output_stride": 3}, "output_stride must be a power of 2. Received: output_stride=3"),
        ("resnet_cifar", {"output_stride": 8}, r"output_stride \(8\) must be at most that of resnet8 \(4\)"),
        ("resnet_cifar", {"output_stride": 2, "multigrid": ()}, "multigrid must be factors of at least 1"),
        (
            "resnet_cifar",
            {"output_stride": 4, "multigrid": (2,)},
            r"has strides \(2\), and cannot skip pixels too \(2\)",
        ),
        ("densenet_cifar", {"output_stride": 2, "multigrid": (1,)}, "multigrid needs residual units"),
        ("mlp", {"output_stride": 1}, "mlp has no features in front of a layer 'pool' or"),
        ("lenet5", {"output_stride": 1}, r"\(TrainedSubsampling2D\) cannot skip pixels"),
    ],
)
def test_wrong_arguments(network, arguments, message):
    built = getattr(models, network)(**OF_ERRORS.get(network, {}))
    with pytest.raises(ValueError, match=message):
        dilation.backbone(built, **arguments)
