"""Scores of masks from confusion matrices: the worked example, void, and the table of classes."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.metrics import (
    Accuracy,
    ConfusionMatrix,
    FrequencyWeightedIoU,
    MeanIoU,
    class_table,
    confusion_scores,
    frequency_weighted_iou,
    mask_metrics,
)

TRUTH = np.array([[[0, 0, 1, 1, 2, 2, 255]]])
GUESS = np.array([[[0, 1, 1, 1, 2, 0, 2]]])


def logits_of(labels, classes=3):
    return np.eye(classes, dtype="float32")[labels]


def test_the_worked_example():
    metrics = mask_metrics(3)
    results = {}
    for metric in [*metrics["always"], *metrics["evaluation"]]:
        metric.update_state(TRUTH, logits_of(GUESS))
        results[metric.name] = np.asarray(metric.result())
    scalars = {name: float(value) for name, value in results.items() if not value.ndim and name != "boundary_f1"}
    expected = {"accuracy": 2 / 3, "mean_class_accuracy": 2 / 3, "mean_iou": 0.5, "frequency_weighted_iou": 0.5}
    assert scalars == pytest.approx(expected)
    assert confusion_scores(results["confusion_matrix"]) == pytest.approx(expected)
    np.testing.assert_allclose(results["per_class_iou"], [1 / 3, 2 / 3, 1 / 2], rtol=1e-6)
    assert list(results)[:2] == ["accuracy", "mean_iou"] and "boundary_f1" in results


def test_frequencies_weigh():
    # IoU 3/5 of 4 pixels, 1/3 of 2, and a class that is nowhere.
    matrix = np.array([[3.0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert float(frequency_weighted_iou(matrix)) == pytest.approx((4 * 3 / 5 + 2 * 1 / 3) / 6)
    assert float(frequency_weighted_iou(np.zeros((3, 3)))) == 0.0


def test_weights_batches_and_xla():
    for metric, expected in ((Accuracy(3), 5 / 9), (FrequencyWeightedIoU(3), None), (MeanIoU(3), None)):

        @tf.function(jit_compile=True)
        def update(truth, logits, weights, metric=metric):
            metric.update_state(truth, logits, weights)

        update(tf.constant(TRUTH), tf.constant(logits_of(GUESS)), tf.constant([1.0]))
        update(tf.constant(TRUTH), tf.constant(logits_of(GUESS)), tf.constant([0.0]))
        update(tf.constant(TRUTH[..., 1::2]), tf.constant(logits_of(GUESS[..., 1::2] * 0)), tf.constant([1.0]))
        truth = np.concatenate([TRUTH[0, 0], TRUTH[0, 0, 1::2]])
        guess = np.concatenate([GUESS[0, 0], GUESS[0, 0, 1::2] * 0])
        if expected is None:
            matrix = ConfusionMatrix(3)
            matrix.update_state(truth, logits_of(guess))
            expected = confusion_scores(matrix.result())[metric.name]
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_without_any_pixel():
    for metric in (Accuracy(3), FrequencyWeightedIoU(3)):
        metric.update_state(np.full((1, 2, 2), 255), logits_of(np.zeros((1, 2, 2), int)))
        assert float(metric.result()) == 0.0
    assert all(np.isnan(score) for score in confusion_scores(np.zeros((2, 2))).values())


def test_the_table_of_classes():
    matrix = [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    lines = class_table(np.array(matrix), ("background", "disk", "ring")).splitlines()
    assert lines[0].split() == ["count", "accuracy", "precision", "IoU"]
    assert lines[1].split() == ["background", "4", "0.7500", "0.7500", "0.6000"]
    assert lines[2].split() == ["disk", "2", "0.5000", "0.5000", "0.3333"]
    assert lines[3].split() == ["ring", "0", "-", "-", "-"]
    assert lines[4].split() == ["mean", "6", "0.6250", "0.6250", "0.4667"]
    assert len({len(line) for line in lines}) == 1
    assert class_table(np.array(matrix)).splitlines()[2].split()[0] == "1"
    with pytest.raises(ValueError, match=r"class_names \(1\) must be as many as the classes \(3\)"):
        class_table(np.array(matrix), ("background",))
