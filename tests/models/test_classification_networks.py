"""What the networks of the lectures have in common, and the maps that each makes of an image."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.layers import BatchNormalization

# Maps of 224 x 224 images behind the layers that the papers' tables list.
MAPS = [
    ("alexnet", {}, {"conv1": (55, 96), "pool1": (27, 96), "conv2": (27, 256), "pool2": (13, 256), "pool5": (6, 256)}),
    ("zfnet", {}, {"conv1": (110, 96), "pool1": (55, 96), "conv2": (26, 256), "pool2": (13, 256), "pool5": (6, 256)}),
    (
        "vgg",
        {},
        {f"block{b}_pool": (224 // 2**b, c) for b, c in zip(range(1, 6), (64, 128, 256, 512, 512), strict=True)},
    ),
    (
        "googlenet",
        {"auxiliary_heads": True},
        {
            "pool1": (56, 64),
            "pool2": (28, 192),
            **{
                f"inception_{module}_concatenate": (size, filters)
                for module, size, filters in zip(
                    ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"),
                    (28, 28, 14, 14, 14, 14, 14, 7, 7),
                    (256, 480, 512, 512, 512, 528, 832, 832, 1024),
                    strict=True,
                )
            },
            "auxiliary_4a_pool": (4, 512),
            "auxiliary_4d_pool": (4, 528),
        },
    ),
    (
        "resnet",
        {"depth": 18},
        {"stem_conv": (112, 64), "stem_pool": (56, 64)}
        | {f"stage{s}_unit2_add": (112 // 2**s, 32 * 2**s) for s in range(1, 5)},
    ),
    ("resnet", {}, {"stem_pool": (56, 64)} | {f"stage{s}_unit3_add": (112 // 2**s, 128 * 2**s) for s in range(1, 5)}),
    (
        "resnext",
        {},
        {"stage1_unit1_conv2": (56, 128), "stage4_unit1_conv2": (7, 1024), "stage4_unit3_add": (7, 2048)},
    ),
    ("wide_resnet", {}, {"stage1_unit1_conv2": (56, 128), "stage4_unit3_conv2": (7, 1024), "final": None}),
    (
        "densenet",
        {},
        {"stem_pool": (56, 64), "block1_layer6_concatenate": (56, 256), "transition1_pool": (28, 128)}
        | {"transition2_pool": (14, 256), "transition3_pool": (7, 512), "final_relu": (7, 1024)},
    ),
    (
        "mobilenet",
        {},
        {"stem_conv": (112, 32), "pair1_pointwise_conv": (112, 64), "pair6_pointwise_conv": (14, 512)}
        | {"pair12_depthwise_conv": (7, 512), "pair13_pointwise_conv": (7, 1024)},
    ),
    ("resnext_cifar", {"depth": 11, "cardinality": 2, "group_width": 16}, {"stage3_unit1_add": (8, 1024)}),
    ("wide_resnet_cifar", {"depth": 10, "width": 2}, {"stage1_unit1_add": (32, 32), "stage3_unit1_add": (8, 128)}),
]

# Forms of every family that are small enough to train a step here.
SMALL = {
    "alexnet": {"input_shape": (63, 63, 3), "dropout": 0.5},
    "zfnet": {"input_shape": (53, 53, 1)},
    "vgg": {"input_shape": (32, 32, 3)},
    "googlenet": {"input_shape": (32, 40, 3)},
    "resnet": {"input_shape": (32, 33, 3), "depth": 18, "stochastic_depth": 0.2},
    "resnet_cifar": {"input_shape": (8, 8, 3), "depth": 11, "unit": "bottleneck", "block_order": "full_preact"},
    "wide_resnet_cifar": {"input_shape": (8, 8, 3), "depth": 10, "width": 2, "dropout": 0.3},
    "resnext_cifar": {"input_shape": (8, 8, 3), "depth": 11, "cardinality": 4, "group_width": 4},
    "densenet": {"input_shape": (8, 8, 3), "stem": "3x3"},
    "densenet_cifar": {"input_shape": (8, 8, 3), "depth": 10, "variant": "bottleneck_compression", "dropout": 0.2},
    "mobilenet": {"input_shape": (32, 32, 3), "width": 0.25, "padding": "same"},
}


@pytest.fixture
def zero_kernels(monkeypatch):
    """Random numbers for a hundred million weights would take longer than all the rest."""
    monkeypatch.setattr(
        keras.initializers.HeNormal, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    )


@pytest.fixture(autouse=True)
def clean_session():
    yield
    keras.backend.clear_session()


@pytest.mark.usefixtures("zero_kernels")
@pytest.mark.parametrize(("network", "arguments", "maps"), MAPS, ids=[row[0] for row in MAPS])
def test_maps(network, arguments, maps):
    built = getattr(models, network)(**arguments)
    for name, size_and_filters in maps.items():
        if size_and_filters is None:
            assert not any(layer.name.startswith(name) for layer in built.layers)
            continue
        size, filters = size_and_filters
        assert built.get_layer(name).output.shape == (None, size, size, filters), name


@pytest.mark.parametrize("network", SMALL)
def test_every_weight_learns_and_the_model_reloads(network, tmp_path):
    keras.utils.set_random_seed(0)
    built = getattr(models, network)(**SMALL[network], num_classes=4)
    x = np.random.default_rng(0).normal(size=(8, *built.input_shape[1:])).astype("float32")
    with tf.GradientTape() as tape:
        logits = built(x, training=True)
        loss = keras.ops.mean(keras.ops.sparse_categorical_crossentropy(np.arange(8) % 4, logits, from_logits=True))
    gradients = tape.gradient(loss, built.trainable_weights)
    for variable, gradient in zip(built.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path
    if built.count_params() > 1e7:
        return  # Files of 100 MB, with no layer that other networks lack.
    built.save(tmp_path / "network.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "network.keras")(x), built(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", [name for name in SMALL if name not in ("alexnet", "zfnet", "vgg")])
def test_no_bias_before_batch_normalization(network):
    built = getattr(models, network)(**SMALL[network])
    norms = [layer for layer in built.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(type(layer) is BatchNormalization for layer in norms)
    for layer in built.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            assert layer.use_bias == (network == "googlenet"), layer.name


@pytest.mark.parametrize("network", ["resnet", "wide_resnet_cifar", "resnext_cifar", "densenet_cifar", "mobilenet"])
def test_batch_norm_arguments_and_mixed_precision(network):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        built = getattr(models, network)(
            **SMALL[network],
            num_classes=3,
            batch_norm_momentum=0.5,
            batch_norm_epsilon=1e-4,
            synchronized_batch_norm=True,
            name="small",
        )
    finally:
        keras.config.set_dtype_policy(before)
    norms = [layer for layer in built.layers if isinstance(layer, BatchNormalization)]
    assert {(layer.momentum, layer.epsilon, layer.synchronized) for layer in norms} == {(0.5, 1e-4, True)}
    assert built.name == "small"
    logits = built(np.zeros((2, *built.input_shape[1:]), "float32"))
    assert logits.dtype == "float32" and built.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_dense_layers_add_the_growth_rate():
    built = models.densenet_cifar(depth=22, growth_rate=12, variant="plain")
    for index in range(1, 7):
        assert built.get_layer(f"block1_layer{index}_concatenate").output.shape[-1] == 16 + 12 * index
    assert built.get_layer("transition1_conv").filters == 16 + 12 * 6
    compressed = models.densenet_cifar(depth=22, growth_rate=12)
    assert compressed.get_layer("transition1_conv").filters == (24 + 12 * 3) // 2
    assert compressed.get_layer("block2_layer1_conv1").filters == 48


def test_dense_layer_keeps_what_came_before():
    built = models.densenet_cifar((8, 8, 3), depth=7, growth_rate=4, variant="plain")
    layer = built.get_layer("block2_layer1_concatenate")
    before, after = keras.Model(built.inputs, [layer.input[0], layer.output])(np.ones((1, 8, 8, 3), "float32"))
    np.testing.assert_array_equal(after[..., :-4], before)


def test_auxiliary_heads_share_the_body_and_differ():
    keras.utils.set_random_seed(0)
    built = models.googlenet((65, 65, 3), num_classes=5, auxiliary_heads=True, variant="batch_norm")
    x = np.random.default_rng(0).normal(size=(2, 65, 65, 3)).astype("float32")
    outputs = built(x)
    assert sorted(outputs) == ["auxiliary_4a", "auxiliary_4d", "logits"]
    assert all(logits.shape == (2, 5) and logits.dtype == "float32" for logits in outputs.values())
    for first, second in itertools.combinations(outputs.values(), 2):
        assert np.abs(first - second).max() > 1e-3
    alone = keras.Model(built.inputs, built.output["logits"])
    np.testing.assert_allclose(alone(x), outputs["logits"], rtol=1e-5, atol=1e-5)
    assert not any(layer.name.startswith("auxiliary") for layer in alone.layers)


def test_grouped_alexnet_is_two_towers():
    """The second convolution of one half of the filters does not see the other half's maps."""
    keras.utils.set_random_seed(0)
    built = models.alexnet((63, 63, 3))
    middle = keras.Model(built.get_layer("pool1").output, built.get_layer("conv2").output)
    x = np.random.default_rng(0).normal(size=(1, 7, 7, 96)).astype("float32")
    other = x.copy()
    other[..., 48:] += 1
    difference = np.abs(middle(other) - middle(x)).max(axis=(0, 1, 2))
    assert (difference[:128] == 0).all() and (difference[128:] > 0).all()


def test_width_scales_every_layer_of_mobilenet():
    full, half = (models.mobilenet((32, 32, 3), width=width) for width in (1.0, 0.5))
    for name in ("stem_conv", "pair1_pointwise_conv", "pair13_pointwise_conv"):
        assert half.get_layer(name).filters * 2 == full.get_layer(name).filters
    assert {layer.max_value for layer in full.layers if isinstance(layer, keras.layers.ReLU)} == {6.0}


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        ("alexnet", {"variant": "caffe"}, "variant must be one of 'grouped', 'one_tower', .*Received: variant='caffe'"),
        ("alexnet", {"input_shape": (62, 63, 3)}, r"at least 63. Received: input_shape=\(62, 63, 3\)"),
        ("alexnet", {"input_shape": (None, None, 3)}, "alexnet needs the size of its images"),
        ("alexnet", {"dropout": 1.0}, r"dropout must be in \[0, 1\). Received: dropout=1.0"),
        ("zfnet", {"input_shape": (52, 60, 3)}, "at least 53"),
        ("zfnet", {"variant": "big"}, "variant must be one of 'original', 'wide'"),
        ("vgg", {"depth": 17}, "depth must be one of 16, 19. Received: depth=17"),
        ("vgg", {"input_shape": (31, 32, 3)}, "at least 32"),
        ("googlenet", {"input_shape": (64, 64, 3), "auxiliary_heads": True}, "at least 65"),
        ("googlenet", {"input_shape": (None, None, 3), "auxiliary_heads": True}, "needs the size of its images"),
        ("googlenet", {"variant": "v2"}, "variant must be one of"),
        ("resnet", {"depth": 20}, "depth must be one of 10, 18, 34, 50, 101, 152. Received: depth=20"),
        ("resnet", {"depth": 18, "stride_on": "1x1"}, "stride_on '1x1' needs the bottlenecks .* Received: depth=18"),
        ("resnet", {"stride_on": "2x2"}, "stride_on must be one of '1x1', '3x3'"),
        ("resnet", {"block_order": "v3"}, "block_order must be one of"),
        ("resnet", {"stochastic_depth": 1.0}, r"stochastic_depth must be in \[0, 1\)"),
        ("resnet", {"input_shape": (224, 224, None)}, "channels of input_shape must be at least 1"),
        ("resnet_cifar", {"depth": 20, "unit": "bottleneck", "shortcut": "c"}, "shortcut must be one of"),
        ("resnet_cifar", {"depth": 32, "unit": "bottleneck"}, r"depth must be 9n \+ 2 .*: 11, 20, .*depth=32"),
        ("wide_resnet", {"depth": 28}, "depth must be one of 50, 101"),
        ("wide_resnet", {"width": 0}, "width must be at least 1. Received: width=0"),
        ("wide_resnet_cifar", {"depth": 29}, r"depth must be 6n \+ 4 .* Received: depth=29"),
        ("resnext", {"cardinality": 0}, r"cardinality \(0\) and group_width \(4\) must be at least 1"),
        ("resnext_cifar", {"depth": 28}, r"depth must be 9n \+ 2 .* Received: depth=28"),
        ("densenet", {"depth": 100}, "depth must be one of 121, 169, 201"),
        ("densenet", {"stem": "5x5"}, "stem must be one of '7x7', '3x3'"),
        ("densenet_cifar", {"depth": 41}, r"depth must be 6n \+ 4 .* Received: depth=41"),
        ("densenet_cifar", {"growth_rate": 0}, "growth_rate must be at least 1"),
        ("mobilenet", {"width": 0.01}, "width must leave the first layer one of its 32 filters. Received: width=0.01"),
        ("mobilenet", {"padding": "valid"}, "padding must be one of"),
        ("perceptron", {"num_classes": 1}, "num_classes must be at least 2"),
        ("perceptron", {"input_shape": (None, 2, 1)}, "a perceptron needs the size of its images"),
    ],
)
def test_wrong_arguments(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(models, network)(**arguments)
