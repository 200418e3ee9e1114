import numpy as np
import pytest

from tfdlcv.metrics.dense_regression import (
    MeanAngularError,
    RootMeanSquaredError,
    ShareWithinFactor,
    depth_metrics,
    normal_metrics,
)

NAN = float("nan")
TRUTH = np.array([[[[1.0], [NAN]], [[4.0], [2.0]]]], "float32")
DEPTH = np.array([[[[1.2], [9.0]], [[3.0], [2.0]]]], "float32")


def result(metric, *arguments, **keywords):
    metric.update_state(*arguments, **keywords)
    return float(metric.result())


def test_root_mean_squared_error():
    assert result(RootMeanSquaredError(), TRUTH, DEPTH) == pytest.approx(np.sqrt((0.04 + 1) / 3))


def test_share_within_a_factor():
    assert result(ShareWithinFactor(), TRUTH, DEPTH) == pytest.approx(2 / 3)  # 4 / 3 is beyond 1.25.
    assert result(ShareWithinFactor(1.5), TRUTH, DEPTH) == 1
    assert result(ShareWithinFactor(), TRUTH, -DEPTH) == 0
    with pytest.raises(ValueError, match="factor must be above 1. Received: factor=1"):
        ShareWithinFactor(1)


def test_mean_angle():
    truth = np.array([[[[0, 0, 1], [0, 1, 0], [NAN, 0, 0]]]], "float32")
    found = np.array([[[[0, 0, 2], [3, 3, 0], [1, 0, 0]]]], "float32")
    assert result(MeanAngularError(), truth, found) == pytest.approx(22.5, rel=1e-4)


def test_batches_add_up_over_pixels_and_padding_does_not_count():
    metric = RootMeanSquaredError()
    both = np.concatenate([TRUTH, TRUTH]), np.concatenate([DEPTH, DEPTH + 7])
    metric.update_state(*both, sample_weight=[1.0, 0.0])
    metric.update_state(np.ones((1, 1, 1, 1), "float32"), np.full((1, 1, 1, 1), 3, "float32"))
    assert float(metric.result()) == pytest.approx(np.sqrt((0.04 + 1 + 4) / 4))


@pytest.mark.parametrize("metric", [RootMeanSquaredError(), ShareWithinFactor(1.5, name="a"), MeanAngularError()])
def test_nothing_known_is_zero_and_configs_are_whole(metric):
    assert result(metric, np.full((1, 2, 2, 3), NAN, "float32"), np.ones((1, 2, 2, 3), "float32")) == 0
    again = type(metric).from_config(metric.get_config())
    assert again.get_config() == metric.get_config()


def test_names_of_columns():
    assert [m.name for part in depth_metrics().values() for m in part] == ["rmse", "within_1.25"]
    assert [m.name for part in normal_metrics().values() for m in part] == ["angle_degrees"]
