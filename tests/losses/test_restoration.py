"""The losses of restored images, by hand."""

import numpy as np
import pytest
from keras import ops

from tfdlcv.losses import absolute_error, batch_mean, half_squared_error

TRUTH = np.zeros((2, 2, 1, 2), "float32")
RESTORED = np.array([1, -1, 2, 0, 3, 3, 3, -3], "float32").reshape(2, 2, 1, 2)


def test_values_by_hand():
    np.testing.assert_allclose(half_squared_error(TRUTH, RESTORED), [6 / 8, 36 / 8])
    np.testing.assert_allclose(absolute_error(TRUTH, RESTORED), [1, 3])
    assert float(batch_mean(absolute_error(TRUTH, RESTORED), [True, False])) == 1


@pytest.mark.parametrize("loss", [half_squared_error, absolute_error])
def test_losses_are_symmetric_zero_for_equal_images_and_float32(loss):
    np.testing.assert_array_equal(loss(TRUTH, RESTORED), loss(RESTORED, TRUTH))
    np.testing.assert_array_equal(loss(RESTORED, RESTORED), [0, 0])
    assert loss(ops.cast(TRUTH, "bfloat16"), RESTORED).dtype == "float32"
