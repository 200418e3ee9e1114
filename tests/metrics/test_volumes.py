import keras
import numpy as np
import pytest

from tfdlcv.metrics import DistanceError, InsideIoU


def volumes(*inside):
    """(B, 2, 2, 2, 1): -0.5 in the given voxels of each, 0.5 elsewhere."""
    made = np.full((len(inside), 8), 0.5, "float32")
    for row, voxels in zip(made, inside, strict=True):
        row[list(voxels)] = -0.5
    return made.reshape(-1, 2, 2, 2, 1)


def score(metric, *arguments):
    metric.update_state(*arguments)
    return float(metric.result())


def test_overlap_by_hand():
    truth, guess = volumes([0, 1, 2], [], [5]), volumes([1, 2, 3], [], [])
    assert score(InsideIoU(), truth, guess) == pytest.approx((2 / 4 + 1 + 0) / 3)
    assert score(InsideIoU(), truth, guess, np.array([1.0, 0.0, 0.0])) == pytest.approx(0.5)
    assert score(InsideIoU(), np.zeros_like(truth), volumes(range(8), range(8), range(8))) == 1  # 0 is inside.


def test_error_by_hand():
    truth, guess = volumes([0, 1, 2, 3], []), volumes([0, 1], [])
    metric = DistanceError()
    assert score(metric, truth, guess) == pytest.approx((2 / 8 + 0) / 2)
    assert score(metric, truth, truth) == pytest.approx(2 / 8 / 4)  # The mean over all updates.
    metric.reset_state()
    assert float(metric.result()) == 0


def test_the_average_is_the_second_channel():
    truth, average, guess = volumes([0, 1]), volumes([1]), volumes([7])
    both = np.concatenate([truth, average], axis=-1)
    assert score(InsideIoU(of="average"), both, guess) == pytest.approx(1 / 2)
    assert score(InsideIoU(), both, guess) == 0
    assert score(DistanceError(of="average"), both, guess) == pytest.approx(1 / 8)


def test_wrong_arguments_and_round_trip():
    with pytest.raises(ValueError, match="of must be 'prediction' or 'average'. Received: of='mean'"):
        InsideIoU(of="mean")
    with pytest.raises(ValueError, match="y_true must have the average as its second channel"):
        InsideIoU(of="average").update_state(volumes([0]), volumes([0]))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(DistanceError(of="average")))
    assert copy.of == "average" and copy.name == "distance_error"
