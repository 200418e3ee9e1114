import numpy as np
import pytest

from tfdlcv.metrics import mean_average_precision, recall_at_k, retrieval

# On the circle, in degrees; lengths do not matter.
ANGLES = np.radians([0, 10, 25, 100, 118])
EMBEDDINGS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1) * np.array([[1], [5], [0.1], [2], [3]])
LABELS = np.array([0, 1, 0, 1, 2])
# Ranking of each query (the fifth is alone in its class, and is none):
#   0 (class 0): 1 2 3 4, of its class: 2             -> first hit at rank 2, average precision 1/2
#   1 (class 1): 0 2 3 4, of its class: 3             -> rank 3, 1/3
#   2 (class 0): 1 0 3 4, of its class: 0             -> rank 2, 1/2
#   3 (class 1): 4 2 1 0, of its class: 1             -> rank 3, 1/3


def test_recall_by_hand():
    assert recall_at_k(EMBEDDINGS, LABELS, ks=(1, 2, 3, 100)) == {1: 0, 2: 0.5, 3: 1, 100: 1}


def test_mean_average_precision_by_hand():
    assert mean_average_precision(EMBEDDINGS, LABELS) == pytest.approx((1 / 2 + 1 / 3) / 2)
    # Two of a class at ranks 1 and 3: (1 + 2/3) / 2 for the query at 0.
    angles = np.radians([0, 1, 20, 30])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # Queries 0, 1 and 3 of class 7: (1 + 2/3) / 2; (1 + 2/3) / 2; (1/2 + 2/3) / 2.
    expected = (2 * (1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 3
    assert mean_average_precision(points, [7, 7, 5, 7]) == pytest.approx(expected)


def test_against_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    embeddings, labels = generator.standard_normal((40, 5)), generator.integers(0, 4, 40)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit @ unit.T
    expected = []
    for i in range(40):
        others = np.arange(40) != i
        expected.append(sklearn_metrics.average_precision_score(labels[others] == labels[i], cosines[i, others]))
    assert mean_average_precision(embeddings, labels) == pytest.approx(np.mean(expected), rel=1e-5)


def test_blocks_do_not_change_the_result(monkeypatch):
    generator = np.random.default_rng(1)
    embeddings, labels = generator.standard_normal((23, 4)), generator.integers(0, 3, 23)
    whole = recall_at_k(embeddings, labels), mean_average_precision(embeddings, labels)
    monkeypatch.setattr(retrieval, "_BLOCK_ELEMENTS", 50)
    assert (recall_at_k(embeddings, labels), mean_average_precision(embeddings, labels)) == whole


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.ones((3, 2)), [0, 1]), r"embeddings.shape=\(3, 2\), labels.shape=\(2,\)"),
        ((np.ones((3, 2)), [0, 1, 2]), "labels must hold some class twice"),
        ((np.ones((3, 2)), [0, 1, 1], (0, 1)), r"ks must be at least 1. Received: ks=\[0, 1\]"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        recall_at_k(*arguments)
