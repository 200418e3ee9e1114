"""The boundary score against one that walks over the pixels, and where it has no boundary to judge."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.metrics import BoundaryF1


def logits_of(labels, classes):
    return np.eye(classes, dtype="float32")[labels]


def boundary(labels, k):
    """Pixels (row, column) of class k beside one of another class that is not void."""
    height, width = labels.shape
    found = []
    for i, j in np.argwhere(labels == k):
        around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        others = [labels[a, b] for a, b in around if 0 <= a < height and 0 <= b < width]
        if any(other not in (k, 255) for other in others):
            found.append((i, j))
    return found


def by_hand(truths, guesses, classes, tolerance):
    means = []
    for k in range(classes):
        scores = []
        for truth, guess in zip(truths, guesses, strict=True):
            true, predicted = boundary(truth, k), boundary(np.where(truth == 255, 255, guess), k)
            if not true and not predicted:
                continue

            def near(point, points):
                return any(np.hypot(point[0] - a, point[1] - b) <= tolerance for a, b in points)

            precision = np.mean([near(p, true) for p in predicted]) if predicted else 0
            recall = np.mean([near(p, predicted) for p in true]) if true else 0
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
        if scores:
            means.append(np.mean(scores))
    return np.mean(means)


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2.3])
def test_against_a_walk_over_the_pixels(tolerance):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 3, (3, 3, 4))
    truths = np.kron(coarse, np.ones((1, 3, 3), int))
    guesses = np.roll(truths, 1, axis=2)
    guesses[0, 4:6, 4:6] = 2
    truths[1, 2:5, 3:7] = 255
    metric = BoundaryF1(4, tolerance=tolerance)
    metric.update_state(truths[:2], logits_of(guesses[:2], 4))
    metric.update_state(truths[2:], logits_of(guesses[2:], 4))
    assert float(metric.result()) == pytest.approx(by_hand(truths, guesses, 4, tolerance), rel=1e-5)


def test_a_shift_within_the_tolerance_is_none():
    truth = np.zeros((1, 12, 12), int)
    truth[:, 3:8, 3:8] = 1
    guess = np.roll(truth, 2, axis=1)
    scores = []
    for tolerance in (0, 2):
        metric = BoundaryF1(2, tolerance=tolerance)
        metric.update_state(truth, logits_of(guess, 2))
        scores.append(float(metric.result()))
    assert scores[0] < 0.5 and scores[1] == pytest.approx(1, abs=1e-6)


def test_nothing_to_judge_weights_and_xla():
    metric = BoundaryF1(2)
    plain = np.zeros((1, 4, 4), int)
    metric.update_state(plain, logits_of(plain, 2))
    metric.update_state(np.full((1, 4, 4), 255), logits_of(np.eye(4, dtype=int)[None], 2))
    assert float(metric.result()) == 0.0
    assert np.asarray(metric.images).tolist() == [0, 0]
    truth = np.stack([np.tri(4, dtype=int), np.tri(4, dtype=int)])
    guess = np.stack([np.tri(4, dtype=int), np.zeros((4, 4), int)])

    @tf.function(jit_compile=True)
    def update(truth, logits, weights):
        metric.update_state(truth, logits, weights)

    update(tf.constant(truth), tf.constant(logits_of(guess, 2)), tf.constant([True, False]))
    assert float(metric.result()) == pytest.approx(1, abs=1e-6)
    update(tf.constant(truth), tf.constant(logits_of(guess, 2)), tf.constant([True, True]))
    assert float(metric.result()) == pytest.approx(2 / 3, abs=1e-6)


def test_config_round_trip_and_errors():
    metric = BoundaryF1(3, tolerance=1.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (copy.num_classes, copy.tolerance, copy.name) == (3, 1.5, "boundary_f1")
    with pytest.raises(ValueError, match="num_classes must be at least 2. Received: num_classes=1"):
        BoundaryF1(1)
    with pytest.raises(ValueError, match="tolerance must be at least 0. Received: tolerance=-1"):
        BoundaryF1(2, tolerance=-1)
    with pytest.raises(ValueError, match=r"y_pred must be \(B, H, W, 3\). Received: y_pred.shape=\(1, 4, 3\)"):
        metric.update_state(np.zeros((1, 4)), np.zeros((1, 4, 3)))
