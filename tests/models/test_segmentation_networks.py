"""The segmentation networks: their papers' counts, crops and gaps, images of any size, and what they share."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.models import dilation

# Narrow forms that train a step here.
SMALL = {
    "unet": ("unet", {"width": 1 / 16, "normalization": "batch", "dropout": 0.2}),
    "segnet": ("segnet", {"width": 1 / 16}),
    "fcn32": ("fcn", {"width": 1 / 16, "stride": 32}),
    "fcn8": ("fcn", {"width": 1 / 16, "padding": "crop", "skip_scales": (0.5, 0.25), "dropout": 0.2}),
    "deeplab_v3": ("deeplab_v3", {"backbone": "resnet18", "width": 1 / 8, "output_stride": 8, "dropout": 0.2}),
}
COUNTS = [
    ("unet", {"input_shape": (572, 572, 1), "num_classes": 2, "padding": "valid"}, 31_030_658, 31_030_658),
    ("unet", {"num_classes": 21}, 31_033_045, 31_033_045),
    ("segnet", {"num_classes": 21}, 29_455_125, 29_470_997),
    ("fcn", {"num_classes": 21, "stride": 16}, 134_815_994, 134_815_994),
    # The transposed convolutions, 16 x 16 and twice 4 x 4 of 21 x 21 classes, are fixed.
    ("fcn", {"num_classes": 21, "upsampling": "fixed"}, 134_489_759 - (256 + 16 + 16) * 441, 134_489_759),
    # torchvision's deeplabv3_resnet50 has 39,638,869, with another 3 x 3 convolution of 256 channels and its norm.
    ("deeplab_v3", {"num_classes": 21}, 39_638_869 - (9 * 256 * 256 + 2 * 256), None),
]


@pytest.fixture
def zero_kernels(monkeypatch):
    """Random numbers for 130 million weights would take longer than all the rest."""
    monkeypatch.setattr(
        keras.initializers.HeNormal, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    )
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def clean_session():
    yield
    keras.backend.clear_session()


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.usefixtures("zero_kernels")
@pytest.mark.parametrize(("network", "arguments", "trainable", "total"), COUNTS)
def test_parameters(network, arguments, trainable, total):
    built = getattr(models, network)(**arguments)
    assert count(built.trainable_variables) == trainable
    assert total is None or built.count_params() == total
    assert built.input_shape[1:] == arguments.get("input_shape", (None, None, 3))
    assert built.output_shape[-1] == arguments["num_classes"] and built.output.dtype == "float32"


# -- U-Net ----------------------------------------------------------------------------------------------------------


def test_unet_s_valid_form_crops_as_the_paper_s_figure_1():
    built = models.unet((572, 572, 1), num_classes=2, width=1 / 64, padding="valid")
    assert built.output_shape == (None, 388, 388, 2)
    assert built.get_layer("down5_conv2").output.shape[1] == 28
    crops = [built.get_layer(f"up{level}_crop") for level in (4, 3, 2, 1)]
    assert [(crop.input[0].shape[1] - crop.output.shape[1]) // 2 for crop in crops] == [4, 16, 40, 88]


def test_unet_s_valid_form_sees_image_alone():
    """Tiles whose places differ by a multiple of 16 give exactly the logits of the whole image."""
    keras.utils.set_random_seed(0)
    built = models.unet((None, None, 1), num_classes=2, width=1 / 32, padding="valid")
    image = images(1, 204, 220, 1)
    whole, tile = built(image), built(image[:, 16:, 32:])
    assert whole.shape == (1, 20, 36, 2) and tile.shape == (1, 4, 4, 2)
    np.testing.assert_allclose(tile, whole[:, 16:, 32:], rtol=0, atol=1e-5)


# -- FCN ------------------------------------------------------------------------------------------------------------


def pass_the_first_channel_on(built):
    for layer in built.layers:
        if isinstance(layer, keras.layers.Conv2D) and not isinstance(layer, keras.layers.Conv2DTranspose):
            kernel = np.zeros(layer.kernel.shape, "float32")
            kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, 0] = 1
            layer.kernel.assign(kernel)


@pytest.mark.parametrize("padding", ["same", "crop"])
@pytest.mark.parametrize(("stride", "maps"), [(32, 1), (16, 2), (8, 3)])
def test_fcn_s_scores_lie_over_the_pixels_that_they_come_from(stride, maps, padding):
    """Of a ramp the pools keep each window's last column: 15.5, 7.5 and 3.5 pixels behind the middle of 32, 16, 8."""
    built = models.fcn((256, 320, 1), num_classes=1, stride=stride, width=1 / 64, padding=padding)
    pass_the_first_channel_on(built)
    ramp = np.broadcast_to(np.arange(320, dtype="float32")[:, None], (1, 256, 320, 1))
    expected = sum(ramp + behind for behind in (15.5, 7.5, 3.5)[:maps])
    inside = (slice(None), slice(96, -96), slice(96, -96))
    np.testing.assert_allclose(built(ramp)[inside], expected[inside], rtol=1e-5)
    # Down the image it is the same.
    turned = models.fcn((320, 256, 1), num_classes=1, stride=stride, width=1 / 64, padding=padding)
    turned.set_weights(built.get_weights())
    swapped = turned(np.swapaxes(ramp, 1, 2))
    np.testing.assert_allclose(swapped, np.swapaxes(built(ramp), 1, 2), rtol=1e-5, atol=1e-3)


def test_fcn_begins_as_the_network_of_stride_32_enlarged():
    """Scores of the skips are 0 at first, whatever the pools see."""
    keras.utils.set_random_seed(0)
    built = models.fcn((64, 64, 3), num_classes=2, width=1 / 32)
    lower = keras.Model(built.input, built.get_layer("upscore16").output)
    added = keras.Model(built.input, built.get_layer("add_pool4").output)
    x = images(1, 64, 64, 3)
    assert np.abs(lower(x)).max() > 0
    np.testing.assert_array_equal(added(x), lower(x))


def test_fcn_s_scaled_skips():
    plain = models.fcn((32, 32, 1), num_classes=1, width=1 / 64)
    scaled = models.fcn((32, 32, 1), num_classes=1, width=1 / 64, skip_scales=(0.01, 0.0001))
    for built in (plain, scaled):
        pass_the_first_channel_on(built)
        built.get_layer("score").kernel.assign(np.zeros((1, 1, 64, 1)))
    ones = np.ones((1, 32, 32, 1), "float32")
    assert float(plain(ones)[0, 16, 16, 0]) == pytest.approx(2)
    # Of four by four scores of pool 3 the middle is enlarged of itself alone; pool 4's two by two lose at the border.
    assert float(scaled(ones)[0, 16, 16, 0]) == pytest.approx(0.01 + 0.0001)


# -- SegNet ---------------------------------------------------------------------------------------------------------


def test_segnet_puts_values_where_the_encoder_s_maxima_were():
    keras.utils.set_random_seed(0)
    built = models.segnet((35, 45, 3), num_classes=2, width=1 / 16)
    x = images(1, 35, 45, 3)
    sizes = {1: (35, 45), 2: (18, 23), 3: (9, 12), 4: (5, 6), 5: (3, 3)}
    pairs = {b: (built.get_layer(f"block{b}_pool").input, built.get_layer(f"up{b}_unpool").output) for b in sizes}
    for block, (before, unpooled) in keras.Model(built.input, pairs)(x).items():
        before, unpooled = before.numpy(), unpooled.numpy()
        assert unpooled.shape[1:3] == sizes[block] and unpooled.shape == before.shape
        for i, j, c in np.argwhere(unpooled[0] != 0):
            top, left = i // 2 * 2, j // 2 * 2
            assert before[0, i, j, c] == before[0, top : top + 2, left : left + 2, c].max()
    filters = {b: built.get_layer(f"up{b}_conv{c}").filters for b, c in ((5, 1), (4, 1), (3, 1), (2, 1), (1, 2))}
    assert filters == {5: 32, 4: 16, 3: 8, 2: 4, 1: 4}


# -- DeepLabV3 ------------------------------------------------------------------------------------------------------


def gaps(backbone):
    layers = [layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    return {layer.name: layer.dilation_rate[0] for layer in layers if layer.kernel_size[0] == 3}


def test_gaps_are_the_paper_s_and_without_multigrid_torchvision_s():
    classifier = models.resnet((64, 64, 3), num_classes=2, width=1 / 64)
    stage4 = [f"stage4_unit{unit}_conv2" for unit in (1, 2, 3)]
    at16 = gaps(dilation.backbone(classifier, output_stride=16, multigrid=(1, 2, 4)))
    assert [at16[name] for name in stage4] == [2, 4, 8]  # Section 3.2 of the paper.
    assert {gap for name, gap in at16.items() if name not in stage4} == {1}
    at8 = gaps(dilation.backbone(classifier, output_stride=8))
    assert [at8[f"stage3_unit{unit}_conv2"] for unit in range(1, 7)] == [1, 2, 2, 2, 2, 2]
    assert [at8[name] for name in stage4] == [2, 4, 4]


@pytest.mark.parametrize(("output_stride", "rates"), [(16, (6, 12, 18)), (8, (12, 24, 36))])
def test_deeplab_s_pyramid_reaches_as_far_at_every_output_stride(output_stride, rates):
    built = models.deeplab_v3(num_classes=2, backbone="resnet18", width=1 / 32, output_stride=output_stride)
    assert built.get_layer("aspp").rates == rates
    found = gaps(built.get_layer("backbone"))
    skipped = 32 // output_stride
    assert [found[f"stage4_unit{unit}_conv2"] for unit in (1, 2)] == [skipped, 2 * skipped]


def test_deeplab_s_logits_are_enlarged_with_half_pixel_centres():
    keras.utils.set_random_seed(0)
    built = models.deeplab_v3(num_classes=2, backbone="resnet18", width=1 / 16)
    x = images(1, 48, 40, 3)
    coarse = keras.Model(built.input, built.get_layer("logits").output)(x)
    assert coarse.shape == (1, 3, 3, 2)
    np.testing.assert_allclose(built(x), tf.image.resize(coarse, (48, 40)), rtol=1e-5, atol=1e-6)


def test_deeplab_of_a_classifier():
    classifier = models.densenet_cifar((32, 32, 3), depth=10, growth_rate=4, num_classes=2)
    built = models.deeplab_v3(num_classes=3, backbone=classifier, output_stride=4, multigrid=None, rates=(1,))
    assert built(images(1, 33, 48, 3)).shape == (1, 33, 48, 3)


# -- All of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_any_size_every_weight_learns_and_the_model_reloads(name, tmp_path):
    keras.utils.set_random_seed(0)
    network, arguments = SMALL[name]
    built = getattr(models, network)(num_classes=3, **arguments)
    # Of a whole image in the maps of stride 32, batch normalisation over two values hides what they were.
    x, labels = images(2, 65, 70, 3), np.random.default_rng(0).integers(0, 3, (2, 65, 70))
    with tf.GradientTape() as tape:
        logits = built(x, training=True)
        loss = keras.ops.mean(keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    assert logits.shape == (2, 65, 70, 3)
    useless = [f"{layer.name}/bias" for layer in built.layers if network == "segnet" and "conv" in layer.name]
    for variable, gradient in zip(built.trainable_weights, tape.gradient(loss, built.trainable_weights), strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), variable.path
        if not variable.path.endswith(tuple(useless)):
            assert np.abs(gradient).max() > 0, variable.path
    if name == "unet":
        return  # No layer that the others lack.
    built.save(tmp_path / "network.keras")
    x = images(1, 32, 41, 3)
    logits = built(x)
    assert logits.shape == (1, 32, 41, 3)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "network.keras")(x), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["segnet", "fcn8", "deeplab_v3"])
def test_logits_are_float32_under_mixed_precision(name):
    network, arguments = SMALL[name]
    x = images(1, 33, 40, 3)
    keras.utils.set_random_seed(0)
    built = getattr(models, network)(num_classes=3, **arguments)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = getattr(models, network)(num_classes=3, **arguments)
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in mixed.layers if "conv1" in layer.name} <= {"bfloat16"}
    mixed.set_weights(built.get_weights())
    logits = mixed(x)
    assert logits.dtype == "float32"
    assert np.abs(logits - built(x)).max() < 0.1 * np.abs(built(x)).max() + 0.05


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        ("unet", {"input_shape": (15, 16, 3)}, r"at least 16. Received: input_shape=\(15, 16, 3\)"),
        ("unet", {"input_shape": (187, 188, 3), "padding": "valid"}, "at least 188"),
        (
            "unet",
            {"input_shape": (570, 572, 3), "padding": "valid"},
            "188 plus a multiple of 16.*height=570, width=572",
        ),
        ("unet", {"padding": "reflect"}, "padding must be one of 'same', 'valid'. Received: padding='reflect'"),
        ("unet", {"normalization": "layer"}, "normalization must be one of 'none', 'batch'"),
        ("unet", {"width": 0.01}, "width must leave one of 64 filters. Received: width=0.01"),
        ("unet", {"dropout": 1}, r"dropout must be in \[0, 1\)"),
        ("segnet", {"input_shape": (31, 64, 3)}, "at least 32"),
        ("segnet", {"num_classes": 0}, "num_classes must be at least 1. Received: num_classes=0"),
        ("fcn", {"stride": 4}, "stride must be one of 32, 16, 8. Received: stride=4"),
        ("fcn", {"padding": "valid"}, "padding must be one of 'same', 'crop'"),
        ("fcn", {"upsampling": "nearest"}, "upsampling must be one of 'learned', 'fixed'"),
        ("fcn", {"skip_scales": (1.0,)}, r"skip_scales must be one of pool 4 and one of pool 3. Received: \(1.0,\)"),
        ("deeplab_v3", {"backbone": "resnet20"}, "backbone must be one of 'resnet10'.* Received: backbone='resnet20'"),
        ("deeplab_v3", {"backbone": "densenet121", "width": 0.5}, "backbone 'densenet121' has one width"),
        ("deeplab_v3", {"input_shape": (31, 64, 3)}, "at least 32"),
        ("resnet", {"width": 0.01, "num_classes": 2}, "width must leave one of 64 filters. Received: width=0.01"),
    ],
)
def test_wrong_arguments(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(models, network)(**{"num_classes": 2, **arguments})


@pytest.mark.parametrize("name", ["unet", "fcn32"])
def test_an_image_that_is_too_small_when_it_comes(name):
    network, arguments = SMALL[name]
    built = getattr(models, network)(num_classes=2, **arguments)
    with pytest.raises(ValueError, match="the image is too small: height and width must be at least .* width=15"):
        built(images(1, 64, 15, 3))
