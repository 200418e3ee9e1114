import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tfdlcv.metrics import MeanAveragePrecision


def random_points(count=3000, classes=4, seed=0):
    random = np.random.default_rng(seed)
    labels = random.choice(classes - 1, count, p=[0.7, 0.2, 0.1])
    logits = random.normal(size=(count, classes)) * 2 + 2 * np.eye(classes)[labels]
    return labels, logits.astype("float32")


def test_against_scikit_learn():
    labels, logits = random_points()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [average_precision_score(labels == k, probabilities[:, k]) for k in range(3)]
    metric = MeanAveragePrecision(4)
    for part in np.array_split(np.arange(3000), 3):
        metric.update_state(labels[part][None], logits[part][None])
    np.testing.assert_allclose(metric.per_class(), [*expected, np.nan], atol=2e-3)
    assert float(metric.result()) == pytest.approx(np.mean(expected), abs=2e-3)


def test_perfect_and_hopeless():
    labels = np.array([0, 0, 1, 1])
    metric = MeanAveragePrecision(2)
    metric.update_state(labels, 30 * np.eye(2, dtype="float32")[labels])
    assert float(metric.result()) == pytest.approx(1)
    # All tied: precision is the class's share.
    metric = MeanAveragePrecision(2)
    metric.update_state(np.array([0, 1, 1, 1]), np.zeros((4, 2), "float32"))
    np.testing.assert_allclose(metric.per_class(), [0.25, 0.75])
    assert float(MeanAveragePrecision(2).result()) == 0


def test_points_that_do_not_count():
    labels, logits = random_points()
    whole, part = MeanAveragePrecision(4), MeanAveragePrecision(4)
    whole.update_state(labels[:1000], logits[:1000])
    marked = np.where(np.arange(3000) < 2000, labels, -1)
    part.update_state(marked, logits, np.arange(3000) < 1000)
    assert float(part.result()) == pytest.approx(float(whole.result()), rel=1e-6)


def test_arguments():
    copy = MeanAveragePrecision.from_config(MeanAveragePrecision(3, thresholds=50).get_config())
    assert copy.positives.shape == (3, 50)
    with pytest.raises(ValueError, match="thresholds must be at least 2. Received: thresholds=1"):
        MeanAveragePrecision(3, thresholds=1)
    with pytest.raises(ValueError, match="num_classes must be at least 2. Received: num_classes=1"):
        MeanAveragePrecision(1)
