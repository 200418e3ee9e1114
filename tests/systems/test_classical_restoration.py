"""Non-local means in tiles and with and without a known sigma; principal components against scikit-learn."""

import numpy as np
import pytest
from skimage import data
from skimage.restoration import denoise_nl_means
from sklearn.decomposition import PCA

from tfdlcv.systems import classical_restoration
from tfdlcv.systems.classical_restoration import PrincipalComponents, non_local_means


def noisy(truth, sigma):
    return truth + np.random.default_rng(0).normal(scale=sigma, size=truth.shape).astype("float32")


def error(truth, image):
    return float(np.mean((truth.astype("float32") - image) ** 2))


def test_non_local_means_are_scikit_images():
    truth = data.camera()[150:250, 200:300, None]
    image = noisy(truth, 25)
    restored = non_local_means(image, 25, strength=0.7)
    expected = 255 * denoise_nl_means(
        image[..., 0] / 255, patch_size=5, patch_distance=11, h=0.7 * 25 / 255, sigma=25 / 255, fast_mode=True
    )
    assert restored.dtype == np.float32 and restored.shape == truth.shape
    np.testing.assert_allclose(restored[..., 0], expected, atol=0.05)
    assert error(truth, restored) < 0.3 * error(truth, image)
    slow = non_local_means(image[:40, :40], 25, fast=False)
    assert error(truth[:40, :40], slow) < 0.5 * 625 and not np.allclose(slow, non_local_means(image[:40, :40], 25))


def test_the_noise_is_estimated_where_it_is_not_known():
    truth = data.astronaut()[:64, :64]
    for sigma in (10, 20, 50):
        assert classical_restoration.estimated_sigma(noisy(truth, sigma)) == pytest.approx(sigma, rel=0.1)
    image = noisy(truth, 20)
    known, estimated = non_local_means(image, 20), non_local_means(image)
    assert known.shape == truth.shape
    assert error(known, estimated) < 0.1 * error(truth, image)
    flat = np.full((16, 16, 1), 9, "uint8")
    np.testing.assert_allclose(non_local_means(flat), flat, atol=1e-4)  # Estimated at zero.


def test_tiles_leave_no_seams(monkeypatch):
    image = noisy(data.camera()[200:290, 200:310, None], 25)
    whole = non_local_means(image, 25)
    monkeypatch.setattr(classical_restoration, "_TILE", 40)
    np.testing.assert_allclose(non_local_means(image, 25), whole, atol=0.1)


def test_principal_components_are_scikit_learns():
    images = np.random.default_rng(0).uniform(size=(40, 5, 4, 1)) * np.arange(20).reshape(5, 4, 1)
    components = PrincipalComponents.fit(images, 6)
    np.testing.assert_allclose(components.directions @ components.directions.T, np.eye(6), atol=1e-9)
    expected = PCA(6).fit(images.reshape(40, 20))
    expected = expected.inverse_transform(expected.transform(images.reshape(40, 20))).reshape(images.shape)
    np.testing.assert_allclose(components.restore(images), expected, atol=1e-4)
    # As many components as pixels lose nothing.
    np.testing.assert_allclose(PrincipalComponents.fit(images, 20).restore(images), images, atol=1e-4)
    with pytest.raises(
        ValueError, match=r"code_size \(21\) must be at most the images and the pixels of one \(40, 20\)"
    ):
        PrincipalComponents.fit(images, 21)
