import numpy as np
import pytest

from tests.visualization.networks import images, linear, pooled
from tfdlcv.visualization.occlusion import occlusion

WEIGHTS = np.arange(1, 17, dtype="float32").reshape(4, 4, 1, 1) * np.array([1.0, -1.0])


def test_the_fall_of_a_linear_networks_score_is_the_hidden_part_of_it():
    network = linear(WEIGHTS)
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    part = (x * WEIGHTS[..., 0])[0, ..., 0]
    expected = part.reshape(2, 2, 2, 2).sum(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    found = occlusion(network, x, [0], patch=2, stride=2, fill=0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(occlusion(network, x, [1], patch=2, stride=2, fill=0)[0], -expected, rtol=1e-5)


def test_where_places_overlap_a_pixel_has_their_mean():
    weights = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    # Two rows of the same, so that a patch of 2 x 2 fits: the falls are 22 and 220.
    network = linear(np.concatenate([weights, weights]) * np.array([1.0, 0.0]))
    found = occlusion(network, np.ones((1, 2, 3, 1)), [0], patch=2, stride=1, fill=0)
    np.testing.assert_allclose(found[0], [[22, 121, 220]] * 2, rtol=1e-5)


def test_the_last_place_touches_the_border():
    network = linear(np.ones((5, 5, 1, 2)))
    found = occlusion(network, np.ones((1, 5, 5, 1)), [0], patch=3, stride=3, fill=0)
    np.testing.assert_allclose(found, 9, rtol=1e-5)  # Starts at 0 and 2, so that every pixel is hidden by 9.


def test_the_mean_color_is_the_default():
    network = linear(WEIGHTS)
    flat = np.full((1, 4, 4, 1), 7.0)
    np.testing.assert_allclose(occlusion(network, flat, [0], patch=2, stride=2), 0, atol=1e-3)
    x = images(network, 1)
    mean = float(x.mean())
    np.testing.assert_allclose(
        occlusion(network, x, patch=2, stride=1), occlusion(network, x, patch=2, stride=1, fill=mean), atol=1e-4
    )


def test_more_places_than_a_batch():
    network = linear(np.random.default_rng(0).normal(size=(10, 10, 1, 2)))
    x = images(network, 2)
    weights = network.get_weights()[0].reshape(10, 10, 2)
    found = occlusion(network, x, [1, 0], patch=1, stride=1, fill=0)
    np.testing.assert_allclose(found[0], x[0, ..., 0] * weights[..., 1], atol=1e-5)
    np.testing.assert_allclose(found[1], x[1, ..., 0] * weights[..., 0], atol=1e-5)


def test_other_weights_give_other_maps():
    x = images(pooled())
    maps = [occlusion(pooled(seed=seed), x, [0, 1, 2], patch=2, stride=2).ravel() for seed in (0, 1)]
    assert np.corrcoef(*maps)[0, 1] < 0.9


def test_patches_and_strides_that_do_not_fit():
    network = linear(WEIGHTS)
    x = images(network, 1)
    with pytest.raises(ValueError, match=r"patch \(5\) must be in \[1, 4\], within images of 4 x 4"):
        occlusion(network, x, patch=5, stride=1)
    with pytest.raises(ValueError, match=r"stride \(3\) must be in \[1, 2\]"):
        occlusion(network, x, patch=2, stride=3)
