import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.metrics import ExpectedCalibrationError

# Two classes. Confidences .95 .85 .92 .65 .55; right: yes no yes yes no. With five bins of 0.2:
#   (.4, .6]: one example,   accuracy 0,   confidence .55
#   (.6, .8]: one example,   accuracy 1,   confidence .65
#   (.8, 1]:  three,         accuracy 2/3, confidence (.95 + .85 + .92) / 3
PROBABILITIES = np.array([[0.95, 0.05], [0.85, 0.15], [0.08, 0.92], [0.65, 0.35], [0.45, 0.55]], "float32")
LABELS = np.array([0, 1, 1, 0, 0])
EXPECTED = (0.55 + (1 - 0.65) + abs(2 - (0.95 + 0.85 + 0.92))) / 5


def error(labels, predictions, *, num_bins=5, from_logits=False, **kwargs):
    metric = ExpectedCalibrationError(num_bins, from_logits=from_logits)
    metric.update_state(labels, predictions, **kwargs)
    return float(metric.result())


def test_by_hand():
    assert error(LABELS, PROBABILITIES) == pytest.approx(EXPECTED, rel=1e-6)


def test_logits_and_their_shift_give_the_same():
    logits = np.log(PROBABILITIES) + 7
    assert error(LABELS, logits, from_logits=True) == pytest.approx(EXPECTED, rel=1e-5)
    assert error(LABELS, logits.astype("float16"), from_logits=True) == pytest.approx(EXPECTED, abs=5e-3)


def test_it_is_that_of_the_data_set_not_the_mean_over_batches():
    metric = ExpectedCalibrationError(5, from_logits=False)
    for i in range(5):
        metric.update_state(LABELS[i : i + 1], PROBABILITIES[i : i + 1])
    assert float(metric.result()) == pytest.approx(EXPECTED, rel=1e-6)
    assert np.mean([error(LABELS[i : i + 1], PROBABILITIES[i : i + 1]) for i in range(5)]) > EXPECTED + 0.05


def test_a_bin_holds_its_upper_edge_and_not_its_lower_one():
    # Confidence 0.75 of four bins belongs to (0.5, 0.75], beside 0.625: their gaps 0.25 and -0.625 add up with signs.
    probabilities = np.array([[0.75, 0.25], [0.625, 0.375]], "float32")
    assert error([0, 1], probabilities, num_bins=4) == pytest.approx(abs(1 - 1.375) / 2)
    # 0.76 lies in the bin above, so that the gaps no longer cancel.
    probabilities[0] = [0.76, 0.24]
    assert error([0, 1], probabilities, num_bins=4) == pytest.approx((0.24 + 0.625) / 2, rel=1e-5)


def test_certain_and_right_is_zero_and_certain_and_wrong_is_one():
    logits = 200 * np.eye(3, dtype="float32")
    assert error([0, 1, 2], logits, from_logits=True) == pytest.approx(0.0, abs=1e-6)
    assert error([1, 2, 0], logits, from_logits=True) == pytest.approx(1.0, abs=1e-6)


def test_one_bin_is_the_difference_of_the_means():
    assert error(LABELS, PROBABILITIES, num_bins=1) == pytest.approx(abs(3 - PROBABILITIES.max(1).sum()) / 5, rel=1e-6)


def test_padding_does_not_count_even_if_it_is_nan():
    padded = np.concatenate([PROBABILITIES, np.full((2, 2), np.nan, "float32")])
    valid = np.arange(7) < 5
    assert error(np.append(LABELS, [0, 1]), padded, sample_weight=valid) == pytest.approx(EXPECTED, rel=1e-6)
    assert error(np.append(LABELS, [-1, -1]), padded) == pytest.approx(EXPECTED, rel=1e-6)


def test_an_integer_weight_repeats_an_example():
    weights = np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    repeats = np.repeat(np.arange(5), weights.astype(int))
    expected = error(LABELS[repeats], PROBABILITIES[repeats])
    assert error(LABELS, PROBABILITIES, sample_weight=weights) == pytest.approx(expected, rel=1e-6)


def test_no_example_is_zero():
    assert float(ExpectedCalibrationError().result()) == 0.0
    assert error(LABELS[:0], PROBABILITIES[:0]) == 0.0


def test_compiles_under_xla_with_the_same_result():
    metric = ExpectedCalibrationError(5, from_logits=False)

    @tf.function(jit_compile=True)
    def run(state, labels, probabilities):
        return metric.stateless_result(metric.stateless_update_state(state, labels, probabilities))

    assert float(run([tf.zeros(5)] * 3, LABELS, PROBABILITIES)) == pytest.approx(EXPECTED, rel=1e-6)


def test_config_round_trip_and_errors():
    metric = ExpectedCalibrationError(7, from_logits=False, name="other")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert (copy.num_bins, copy.from_logits, copy.name) == (7, False, "other")
    with pytest.raises(ValueError, match=r"num_bins must be at least 1\. Received: num_bins=0"):
        ExpectedCalibrationError(0)
