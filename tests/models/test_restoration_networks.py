"""DnCNN and the autoencoders: counts of the papers, what an output depends on, any size, and what the code keeps."""

import itertools

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA

from tfdlcv import models
from tfdlcv.ops.tiling import tiled


@pytest.fixture(autouse=True)
def fresh_names():
    yield
    keras.backend.clear_session()


def trainable(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def conv(inputs, outputs, kernel=3, bias=True):
    return kernel * kernel * inputs * outputs + bias * outputs


@pytest.mark.parametrize("channels, expected", [(1, 558_017), (3, 560_323)])
def test_dncnn_has_the_papers_size(channels, expected):
    network = models.dncnn((None, None, channels))
    middle = 15 * (conv(64, 64, bias=False) + 2 * 64)
    assert trainable(network) == conv(channels, 64) + middle + conv(64, channels)
    assert network.count_params() == trainable(network) + 15 * 2 * 64 == expected


def test_the_dense_autoencoder_has_the_sizes_of_hinton_and_salakhutdinov():
    network = models.autoencoder((28, 28, 1), form="dense")
    sizes = (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
    assert trainable(network) == sum((a + 1) * b for a, b in itertools.pairwise(sizes)) == 2_837_314
    assert [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)] == list(sizes[1:])


def test_the_convolutional_autoencoders_layer_by_layer():
    filters, expected = (64, 128, 256), conv(3, 64)
    for above, below in itertools.pairwise(filters):
        expected += conv(above, below) + conv(below, below) + conv(below, above, kernel=4) + conv(above, above)
    expected += conv(64, 3)
    for skips in ("none", "add"):
        assert trainable(models.denoising_autoencoder(skips=skips)) == expected
    plain = models.autoencoder(levels=2, code_size=5)
    through_code = conv(256, 5, kernel=1) + conv(5, 128, kernel=4) - conv(256, 128, kernel=4)
    assert trainable(plain) == expected + through_code
    assert plain.get_layer("code").output.shape == (None, None, None, 5)
    # The default: 64 x 64 x 3 pixels to 8 x 8 x 16 numbers.
    assert models.autoencoder((64, 64, 3), width=0.125).get_layer("code").output.shape == (None, 8, 8, 16)


def test_dncnn_begins_with_the_image_and_subtracts_what_it_finds():
    network = models.dncnn((None, None, 1), depth=3, width=0.125)
    image = np.random.default_rng(0).uniform(size=(2, 9, 7, 1)).astype("float32")
    np.testing.assert_array_equal(network(image), image)
    network.get_layer("noise").bias.assign([0.25])
    np.testing.assert_allclose(network(image), image - 0.25, atol=1e-6)


def test_skips_take_the_image_past_the_lowest_level():
    image = np.random.default_rng(0).uniform(size=(2, 9, 7, 1)).astype("float32")
    network = models.denoising_autoencoder((None, None, 1), width=0.125, skips="add")
    np.testing.assert_array_equal(network(image), image)
    network.get_layer("change").bias.assign([0.25])
    np.testing.assert_allclose(network(image), image + 0.25, atol=1e-6)
    # With the lowest level cut off, the upper ones still see the image.
    lowest = network.get_layer("decoder1_up")
    lowest.set_weights([0 * weight for weight in lowest.get_weights()])
    network.get_layer("change").set_weights([np.ones((3, 3, 8, 1)), np.zeros(1)])
    assert np.std(network(image) - image) > 0.01


def test_no_precision_of_the_image_is_lost_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = models.dncnn((None, None, 1), depth=3, width=0.125)
    finally:
        keras.config.set_dtype_policy("float32")
    image = np.linspace(0.5, 0.51, 64, dtype="float32").reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(network(image), image)


NETWORKS = {
    "dncnn": (lambda: models.dncnn((None, None, 2), depth=5, width=0.125), 5, 5),
    "one level": (lambda: models.denoising_autoencoder((None, None, 2), levels=1, width=0.125), 8, 8),
    "two levels": (lambda: models.denoising_autoencoder((None, None, 2), width=0.125, skips="add"), 20, 20),
    "three levels, code": (lambda: models.autoencoder((None, None, 2), width=0.0625), 48, 44),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_are_as_good_as_the_whole_image(name):
    """Of odd size. With a halo as wide as the network sees, nothing changes; a smaller one shows."""
    build, halo, _ = NETWORKS[name]
    keras.utils.set_random_seed(1)
    network = build()
    for variable in network.trainable_variables:  # Of dncnn's last layer, too, which begins at zero.
        variable.assign(np.random.default_rng(len(variable.path)).normal(size=variable.shape, scale=0.2))
    if "level" in name:
        assert halo == models.autoencoder_radius({"one": 1, "two": 2, "three": 3}[name.split()[0]])
    image = np.random.default_rng(0).uniform(size=(93, 71, 2)).astype("float32")
    whole = np.asarray(network(image[None]))[0]
    assert whole.shape == image.shape
    scale = np.abs(whole).max()
    result = tiled(network, image, tile=32, halo=halo)
    np.testing.assert_allclose(result / scale, whole / scale, atol=1e-5)
    small = tiled(network, image, tile=32, halo=0)
    assert np.abs(small - whole).max() > 1e-3 * scale


@pytest.mark.parametrize("name", NETWORKS)
def test_an_output_depends_on_pixels_up_to_the_radius(name):
    build, radius, reach = NETWORKS[name]
    network = build()
    for variable in network.trainable_variables:
        variable.assign(np.full(variable.shape, 0.5 / np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 0.1))
    # A changed row at each place between two pixels of the lowest level; columns are left to the other test.
    images = np.zeros((8, 160, 8, 2), "float32")
    places = np.arange(72, 80)
    images[np.arange(8), places] = 1e4
    seen = (np.asarray(network(images)) != np.asarray(network(0 * images[:1]))).any(axis=(2, 3))  # (8, 160)
    measured = max(max(abs(np.flatnonzero(rows) - place)) for rows, place in zip(seen, places, strict=True))
    assert reach == measured <= radius


def test_principal_components_are_weights_of_the_linear_autoencoder():
    """Without hidden layers, directions and mean of PCA give its reconstruction: the best that such a network can."""
    images = np.random.default_rng(0).normal(size=(50, 4, 3, 1)) * np.arange(1, 13).reshape(4, 3, 1)
    rows = images.reshape(50, 12)
    found = PCA(5).fit(rows)
    network = models.autoencoder((4, 3, 1), form="dense", hidden_units=(), code_size=5)
    encode, decode = network.get_layer("code"), network.get_layer("pixels")
    encode.set_weights([found.components_.T, -found.mean_ @ found.components_.T])
    decode.set_weights([found.components_, found.mean_])
    expected = found.inverse_transform(found.transform(rows)).reshape(images.shape)
    np.testing.assert_allclose(network(images.astype("float32")), expected, atol=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.dncnn(depth=2), "depth must be at least 3. Received: depth=2"),
        (lambda: models.dncnn(width=0.01), "width must leave one of 64 filters. Received: width=0.01"),
        (lambda: models.dncnn((None, None)), r"input_shape must be \(height, width, channels\)"),
        (lambda: models.denoising_autoencoder(levels=0), "levels must be an integer of at least 1. Received: levels=0"),
        (lambda: models.denoising_autoencoder(skips="concat"), r"skips must be one of 'none', 'add'"),
        (lambda: models.autoencoder(form="linear"), "form must be one of 'convolutional', 'dense'"),
        (lambda: models.autoencoder(form="dense"), r"a dense autoencoder needs the size of its images"),
        (lambda: models.autoencoder(code_size=0), "code_size must be an integer of at least 1. Received: code_size=0"),
    ],
)
def test_what_cannot_be_built(call, message):
    with pytest.raises(ValueError, match=message):
        call()
