import numpy as np
import pytest

from tfdlcv.data import digit_clouds
from tfdlcv.data.digit_clouds import DigitCloudsConfig


@pytest.fixture(scope="module")
def data():
    return digit_clouds.build(DigitCloudsConfig(name="digit_clouds", source="digits8x8", points=400, noise=0.0))


def test_points_lie_in_the_ink(data):
    cloud = data.test.load(3)
    image = data.test.images[3]
    column = np.floor((cloud.positions[:, 0] + 1) * 4).astype(int).clip(0, 7)
    row = np.floor((1 - cloud.positions[:, 1]) * 4).astype(int).clip(0, 7)
    assert (image[row, column] > 0).all()
    drawn = np.zeros((8, 8))
    np.add.at(drawn, (row, column), 1 / 400)
    np.testing.assert_allclose(drawn, image / image.sum(), atol=0.04)
    assert np.abs(cloud.positions[:, 2]).max() <= 0.15 and cloud.label == data.test.labels[3]


def test_parts_are_those_of_the_images(data):
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert data.class_names == tuple("0123456789") and data.up_axis == 1
    np.testing.assert_array_equal(data.train.load(5).positions, data.train.load(5).positions)
    assert data.test.describe(0).startswith("digits8x8 example ")
