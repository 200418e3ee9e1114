"""The filter demonstration of lecture 1, on a part of the photograph."""

import numpy as np
import pytest

from examples import flexconv_filters as demonstration
from examples.flexconv_filters import OPTIMA


def test_filtered_is_cross_correlation():
    image = np.arange(16.0).reshape(4, 4) ** 2
    # By hand: (0 + 16 + 64) - (4 + 36 + 100) at the first place.
    assert demonstration.filtered(image, demonstration.FILTERS["Prewitt"])[0, 0] == -60
    np.testing.assert_allclose(
        demonstration.filtered(image, np.eye(3)), image[:2, :2] + image[1:3, 1:3] + image[2:, 2:]
    )


def test_whitened_keeps_the_phases_and_makes_every_frequency_as_strong():
    photograph = demonstration.photograph_of("flower.jpg")[:64, :64]
    spectrum = np.fft.fft2(demonstration.whitened(photograph))
    np.testing.assert_allclose(np.abs(spectrum), 64, rtol=1e-9)
    difference = np.angle(spectrum) - np.angle(np.fft.fft2(photograph))
    np.testing.assert_allclose(np.cos(difference), 1, atol=1e-9)


@pytest.mark.parametrize("name", demonstration.FILTERS)
def test_learns_the_analytic_parameters(name):
    image, kernel = demonstration.whitened(demonstration.photograph_of("china.jpg")), demonstration.FILTERS[name]
    learned = demonstration.learn(image, kernel, steps=25)
    np.testing.assert_allclose(learned, demonstration.least_squares(image, kernel), atol=1e-5)
    np.testing.assert_allclose(learned, OPTIMA[name], atol=1e-3)


def test_what_a_plane_leaves_of_a_filter():
    """Prewitt is a plane; of Sobel a third is left, of blur the root of 0.0295 / 0.1406."""
    left = {name: demonstration.residual(np.array(best), demonstration.FILTERS[name]) for name, best in OPTIMA.items()}
    assert left == pytest.approx({"Prewitt": 0, "blur": 0.4581, "Sobel": 1 / 3}, abs=1e-4)


def test_table_and_picture():
    photograph = demonstration.photograph_of("china.jpg")[:30, :40]
    learned = {name: np.array(values, float) for name, values in OPTIMA.items()}
    lines = demonstration.table(photograph, learned).splitlines()
    assert len(lines) == 10
    assert lines[4].split() == ["blur,", "learned", "0.0000", "0.0000", "0.1111", "0.4581"]
    picture = demonstration.draw(photograph, learned)
    assert picture.shape == (680, 900, 3)
    changed = demonstration.draw(photograph, learned | {"blur": np.array([1.0, 0.0, 0.0])})
    different = (picture != changed).any(axis=-1)
    assert different[240:450, 610:].any(), "the learned result of the second row"
    assert not different[:220].any()
