import numpy as np
import pytest

from tfdlcv.metrics import classification_metrics


def names(num_classes):
    return {key: [metric.name for metric in metrics] for key, metrics in classification_metrics(num_classes).items()}


def test_top5_is_left_out_where_it_could_only_be_one():
    assert names(10)["always"] == ["accuracy", "top5_accuracy"]
    assert names(6)["always"] == ["accuracy", "top5_accuracy"]
    assert names(5)["always"] == ["accuracy"]
    assert names(3)["always"] == ["accuracy"]


@pytest.mark.parametrize("num_classes", [3, 10])
def test_all_take_the_padding_mask(num_classes):
    labels = np.array([0, 1, 2, 0])
    logits = np.zeros((4, num_classes), "float32")
    logits[np.arange(4), [0, 1, 1, 2]] = np.arange(1, 5)  # Right, right, wrong, and padding that is wrong.
    valid = np.array([True, True, True, False])
    results = {}
    metrics = classification_metrics(num_classes)
    for metric in metrics["always"] + metrics["evaluation"]:
        metric.update_state(labels, logits, sample_weight=valid)
        results[metric.name] = np.asarray(metric.result())
    assert results["accuracy"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(results["per_class_accuracy"][:3], [1, 1, 0])
    assert np.isnan(results["per_class_accuracy"][3:]).all()
    assert results["confusion_matrix"].shape == (num_classes, num_classes)
    assert results["confusion_matrix"].sum() == 3
    assert results["confusion_matrix"][2, 1] == 1
    confidences = np.exp([1, 2, 3]) / (np.exp([1, 2, 3]) + num_classes - 1)
    gaps = np.array([1, 1, 0]) - confidences  # Each in a bin of its own.
    assert results["expected_calibration_error"] == pytest.approx(np.abs(gaps).sum() / 3, rel=1e-5)


def test_top5_accuracy_by_hand():
    (_, top5) = classification_metrics(7)["always"]
    logits = np.arange(7, dtype="float32")[None]  # The five best are classes 2 to 6.
    for label in range(7):
        top5.update_state([label], logits)
    assert float(top5.result()) == pytest.approx(5 / 7)
