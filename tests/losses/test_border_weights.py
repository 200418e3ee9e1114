"""U-Net's weights by its equation 2, pixel by pixel."""

import numpy as np
import pytest

from tfdlcv.losses import border_weights

INSTANCES = np.zeros((9, 12), "int32")
INSTANCES[1:4, 1:4] = 1
INSTANCES[2:7, 6:9] = 2
INSTANCES[7:, :2] = 5


def test_by_the_definition():
    weights = border_weights(INSTANCES, border_weight=8.0, border_sigma=2.0, class_weights=(0.5, 3.0))
    assert weights.dtype == "float32"
    for row in range(9):
        for column in range(12):
            if INSTANCES[row, column]:
                assert weights[row, column] == 3.0
                continue
            distances = sorted(
                min(np.hypot(row - i, column - j) for i, j in np.argwhere(instance == INSTANCES))
                for instance in (1, 2, 5)
            )
            expected = 0.5 + 8 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * 2.0**2))
            assert weights[row, column] == pytest.approx(expected, rel=1e-5)


def test_largest_between_two_objects():
    weights = border_weights(INSTANCES, border_sigma=2.0)
    assert weights.max() == weights[3, 4:6].max() > 4
    assert weights[0, 11] < 1.01


@pytest.mark.parametrize("objects", [0, 1])
def test_fewer_than_two_objects_have_no_border_between_them(objects):
    np.testing.assert_array_equal(border_weights((INSTANCES == 1).astype("uint8") * objects), 1)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"instances must be \(H, W\) integers. Received: shape=\(3,\), dtype=int64"):
        border_weights(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="dtype=float64"):
        border_weights(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="border_sigma must be above 0. Received: border_sigma=0"):
        border_weights(INSTANCES, border_sigma=0)
