"""PSNR and SSIM against scikit-image, by hand, and with padding in the batch."""

import keras
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tfdlcv import metrics


def noisy_camera(sigma):
    truth = data.camera()[100:228, 150:300, None].astype("float32")
    return truth, np.clip(truth + np.random.default_rng(0).normal(scale=sigma, size=truth.shape), 0, 255)


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_a_grey_image_as_scikit_image_has_it(sigma):
    truth, noisy = noisy_camera(sigma)
    psnr = metrics.peak_signal_to_noise_ratio(truth[None], noisy[None].astype("float32"))
    assert float(psnr[0]) == pytest.approx(peak_signal_noise_ratio(truth, noisy, data_range=255), abs=1e-3)
    ssim = metrics.structural_similarity(truth[None], noisy[None].astype("float32"))
    # With the window of the paper; scikit-image counts the pixels whose windows lie inside, too.
    expected = structural_similarity(
        truth[..., 0].astype("float64"),
        noisy[..., 0],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim[0]) == pytest.approx(expected, abs=1e-4)


def test_a_colour_image_is_the_mean_of_its_channels():
    truth = data.astronaut()[:60, :70].astype("float32")
    noisy = truth + np.random.default_rng(0).normal(scale=20, size=truth.shape).astype("float32")
    ssim = float(metrics.structural_similarity(truth[None], noisy[None])[0])
    channels = [
        metrics.structural_similarity(truth[None, ..., c : c + 1], noisy[None, ..., c : c + 1]) for c in (0, 1, 2)
    ]
    assert ssim == pytest.approx(np.mean(channels), abs=1e-6)
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert ssim == pytest.approx(structural_similarity(truth, noisy, channel_axis=-1, **options), abs=1e-4)


def test_values_by_hand():
    """An error of 10 everywhere: 10 log10(255² / 100) = 28.1308 dB; and 20 log10(1 / 0.1) in units of 1."""
    truth = np.zeros((2, 12, 12, 1), "float32")
    restored = np.stack([truth[0] + 10, truth[1] - 10])
    np.testing.assert_allclose(metrics.peak_signal_to_noise_ratio(truth, restored), 28.1308, atol=1e-4)
    np.testing.assert_allclose(
        metrics.peak_signal_to_noise_ratio(truth, restored / 100, data_range=1.0), [20, 20], atol=1e-4
    )
    assert np.isposinf(np.asarray(metrics.peak_signal_to_noise_ratio(truth, truth))).all()
    np.testing.assert_allclose(metrics.structural_similarity(truth + 7, truth + 7), 1, atol=1e-6)
    # Flat images of 0 and 255: only the constant 0.01² is common to them.
    flat = metrics.structural_similarity(truth, truth + 255)
    np.testing.assert_allclose(flat, 0.01**2 / (1 + 0.01**2), rtol=1e-3)


def test_metrics_take_the_mean_over_images_and_leave_padding_out():
    truth = np.zeros((3, 12, 12, 1), "float32")
    restored = np.stack([truth[0] + 10, truth[1] + 100, truth[2]])
    psnr = metrics.PeakSignalToNoiseRatio()
    psnr.update_state(truth[:1], restored[:1], np.ones(1))
    psnr.update_state(truth[1:], restored[1:], np.array([1.0, 0.0]))  # The third, of infinite PSNR, is padding.
    assert float(psnr.result()) == pytest.approx((28.1308 + 8.1308) / 2, abs=1e-3)
    assert psnr.name == "psnr"
    ssim = metrics.StructuralSimilarity()
    ssim.update_state(truth + 9, truth + 9)
    assert float(ssim.result()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["PeakSignalToNoiseRatio", "StructuralSimilarity"])
def test_metrics_are_rebuilt_from_their_config(name):
    metric = getattr(metrics, name)(data_range=2.0, name="other")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.data_range == 2.0 and again.name == "other"
    truth = np.random.default_rng(0).uniform(size=(1, 16, 16, 1)).astype("float32")
    for each in (metric, again):
        each.update_state(truth, 0.9 * truth)
    assert float(again.result()) == float(metric.result())


def test_images_smaller_than_the_window():
    image = np.zeros((1, 8, 20, 1), "float32")
    with pytest.raises(ValueError, match=r"needs images of at least 11 x 11 pixels. Received: height=8, width=20"):
        metrics.structural_similarity(image, image)
