import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.metrics import (
    ConfusionMatrix,
    ExpectedCalibrationError,
    MeanClassAccuracy,
    PerClassAccuracy,
    per_class_accuracy,
)

LABELS = np.array([0, 0, 1, 1, 2, 2])
# Predictions: 0, 1, 1, 1, 0, 2.
LOGITS = np.array([[2, 1, 0], [0, 3, 1], [0, 1, 0], [-1, 5, 2], [9, 0, 1], [0, 0, 1]], "float32")
EXPECTED = [[1, 1, 0], [0, 2, 0], [1, 0, 1]]


def updated(metric, *args, **kwargs):
    metric.update_state(*args, **kwargs)
    return keras.ops.convert_to_numpy(metric.result())


def test_rows_are_true_classes_and_batches_add_up():
    metric = ConfusionMatrix(3)
    np.testing.assert_array_equal(updated(metric, LABELS, LOGITS), EXPECTED)
    np.testing.assert_array_equal(
        updated(metric, LABELS[:1], LOGITS[:1]), np.add(EXPECTED, [[1, 0, 0], [0] * 3, [0] * 3])
    )
    metric.reset_state()
    np.testing.assert_array_equal(metric.result(), np.zeros((3, 3)))


def test_labels_with_a_last_axis_of_one_count_alike():
    np.testing.assert_array_equal(updated(ConfusionMatrix(3), LABELS[:, None], LOGITS), EXPECTED)


@pytest.mark.parametrize("dtype", ["bool", "float32", "int32"])
def test_weight_zero_takes_an_example_out_even_if_it_is_nan(dtype):
    weights = np.array([1, 1, 1, 1, 1, 0], dtype)
    logits = LOGITS.copy()
    logits[5] = np.nan
    np.testing.assert_array_equal(
        updated(ConfusionMatrix(3), LABELS, logits, sample_weight=weights), [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    )


def test_fractional_weights_are_summed():
    matrix = updated(ConfusionMatrix(3), LABELS, LOGITS, sample_weight=[0.5, 2.0, 0.25, 0.5, 0.0, 4.0])
    np.testing.assert_allclose(matrix, [[0.5, 2, 0], [0, 0.75, 0], [0, 0, 4]])


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_labels_outside_the_classes_are_padding(label):
    labels = np.where(np.arange(6) == 4, label, LABELS)
    np.testing.assert_array_equal(updated(ConfusionMatrix(3), labels, LOGITS), [[1, 1, 0], [0, 2, 0], [0, 0, 1]])


def test_pixels_count_one_by_one_and_weights_of_examples_reach_their_pixels():
    labels, logits = LABELS.reshape(2, 3), LOGITS.reshape(2, 3, 3)
    np.testing.assert_array_equal(updated(ConfusionMatrix(3), labels, logits), EXPECTED)
    matrix = updated(ConfusionMatrix(3), labels, logits, sample_weight=np.array([True, False]))
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_an_empty_batch_changes_nothing():
    assert updated(ConfusionMatrix(3), LABELS[:0], LOGITS[:0]).sum() == 0


def test_compiles_under_xla_with_the_same_counts():
    metric = ConfusionMatrix(3)

    @tf.function(jit_compile=True)
    def update(state, labels, logits, valid):
        return metric.stateless_update_state(state, labels, logits, sample_weight=valid)

    (counts,) = update([tf.zeros((3, 3))], LABELS, LOGITS, np.ones(6, bool))
    np.testing.assert_array_equal(counts, EXPECTED)


def test_replicas_are_summed():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        matrix, error = ConfusionMatrix(2), ExpectedCalibrationError(from_logits=False)
    labels = tf.constant([[0, 1], [1, 1]])  # Of each replica.
    probabilities = tf.constant([[[0.75, 0.25], [0.25, 0.75]], [[0.75, 0.25], [0.25, 0.75]]])

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        matrix.update_state(labels[replica], probabilities[replica])
        error.update_state(labels[replica], probabilities[replica])

    strategy.run(update)
    np.testing.assert_array_equal(matrix.result(), [[1, 0], [1, 2]])
    # Three of four are right, each at confidence 3/4. Each replica alone is wrong by 1/4.
    np.testing.assert_allclose(error.result(), 0.0, atol=1e-6)


def test_per_class_accuracy_by_hand():
    np.testing.assert_allclose(per_class_accuracy(np.array(EXPECTED)), [0.5, 1.0, 0.5])
    np.testing.assert_allclose(updated(PerClassAccuracy(3), LABELS, LOGITS), [0.5, 1.0, 0.5])


def test_a_class_without_examples_is_nan_and_left_out_of_the_mean():
    np.testing.assert_allclose(updated(PerClassAccuracy(3), LABELS[:4], LOGITS[:4]), [0.5, 1.0, np.nan])
    assert updated(MeanClassAccuracy(3), LABELS[:4], LOGITS[:4]) == pytest.approx(0.75)
    # Five examples of class 0 must not outweigh the one of class 1.
    labels = np.array([0, 0, 0, 0, 0, 1])
    logits = np.tile(np.array([[1.0, 0.0, 0.0]]), (6, 1))
    assert updated(MeanClassAccuracy(3), labels, logits) == pytest.approx(0.5)
    assert float(MeanClassAccuracy(3).result()) == 0.0


def test_wrong_arguments_name_their_values():
    with pytest.raises(ValueError, match=r"num_classes must be at least 2\. Received: num_classes=1"):
        ConfusionMatrix(1)
    with pytest.raises(ValueError, match=r"num_classes \(4\) values in its last axis. Received: y_pred.shape=\(6, 3\)"):
        ConfusionMatrix(4).update_state(LABELS, LOGITS)
    with pytest.raises(ValueError, match=r"shape \(6,\). Received: y_true.shape=\(5,\), y_pred.shape=\(6, 3\)"):
        ConfusionMatrix(3).update_state(LABELS[:5], LOGITS)
    with pytest.raises(ValueError, match=r"at most 1 axes.*Received: sample_weight.shape=\(6, 3\)"):
        ConfusionMatrix(3).update_state(LABELS, LOGITS, sample_weight=np.ones((6, 3)))
    with pytest.raises(ValueError, match=r"square.*Received: shape=\(2, 3\)"):
        per_class_accuracy(np.ones((2, 3)))


@pytest.mark.parametrize("metric_class", [ConfusionMatrix, PerClassAccuracy, MeanClassAccuracy])
def test_config_round_trip(metric_class):
    metric = metric_class(7, name="other")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(copy) is metric_class
    assert copy.get_config() == metric.get_config()
    assert (copy.num_classes, copy.name) == (7, "other")
