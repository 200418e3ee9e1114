import json

import keras
import numpy as np
import pytest

from tfdlcv.metrics import CosineAccuracy, HypersphericalMeanAbsoluteError, MeanAngle

AXES = np.eye(2)
EMBEDDINGS = np.array([[2.0, 1.0], [0.1, 0.4], [-1.0, 0.0], [3.0, 3.0]], "float32")


def result(metric, *arguments, **keywords):
    metric.update_state(*arguments, **keywords)
    return float(metric.result())


def test_accuracy():
    assert result(CosineAccuracy(AXES), [0, 1, 0, 1], EMBEDDINGS) == 0.5  # (-1, 0) is nearer to axis 1; a tie is 0.
    assert result(CosineAccuracy(AXES), [[0], [1], [0], [1]], EMBEDDINGS, sample_weight=[1, 1, 0, 0]) == 1


def test_angle():
    expected = [np.degrees(np.arctan(0.5)), np.degrees(np.arctan(0.25)), 180, 45]
    assert result(MeanAngle(AXES), [0, 1, 0, 1], EMBEDDINGS) == pytest.approx(np.mean(expected), rel=1e-5)
    weights = [1, 0, 1, 0]
    assert result(MeanAngle(AXES), [0, 1, 0, 1], EMBEDDINGS, sample_weight=weights) == pytest.approx(
        (expected[0] + 180) / 2, rel=1e-5
    )


def test_mean_absolute_error_in_the_units_of_the_values():
    metric = HypersphericalMeanAbsoluteError([1, 0], 0, 180)
    # Cosines 2 / sqrt 5 and -1: values 170.5 and 0.
    expected = np.mean([90 + 90 * 2 / np.sqrt(5) - 100, 30])
    assert result(metric, [100.0, 30.0], EMBEDDINGS[[0, 2]]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "metric", [CosineAccuracy(AXES, name="a"), MeanAngle(AXES), HypersphericalMeanAbsoluteError([0, 1], -2, 5)]
)
def test_config_round_trip(metric):
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(metric))))
    assert type(copy) is type(metric) and copy.get_config() == metric.get_config()


def test_errors():
    with pytest.raises(ValueError, match="prototypes must have norm 1"):
        CosineAccuracy(2 * AXES)
    with pytest.raises(ValueError, match=r"lower \(5\) must be less than upper \(5\)"):
        HypersphericalMeanAbsoluteError([1, 0], 5, 5)
