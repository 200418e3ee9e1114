"""Losses of steps by hand, with steps and sequences that do not count."""

import numpy as np
import pytest

from tfdlcv.losses import sequence


def test_cross_entropy_of_steps():
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]], "float32"))
    losses = sequence.step_cross_entropy(logits, np.array([[1, 2]]))
    np.testing.assert_allclose(losses, -np.log([[0.25, 0.8]]), rtol=1e-5)


def test_binary_cross_entropy_of_steps_overflows_nowhere():
    logits = np.array([[[0.0, 2.0, 500.0, -500.0]]], "float32")
    sigmoid = 1 / (1 + np.exp(-2.0))
    right = sequence.step_binary_cross_entropy(logits, np.array([[[1, 0, 1, 0]]]))
    np.testing.assert_allclose(right, [[np.log(2) - np.log(1 - sigmoid)]], rtol=1e-5)
    wrong = sequence.step_binary_cross_entropy(logits, np.array([[[1, 0, 0, 1]]]))
    np.testing.assert_allclose(wrong, [[1000 + np.log(2) - np.log(1 - sigmoid)]], rtol=1e-5)


def test_only_counted_steps_of_valid_sequences_count():
    losses = np.arange(6, dtype="float32").reshape(2, 3)
    counted = np.array([[True, False, True], [True, True, True]])
    assert float(sequence.mean_over_steps(losses)) == pytest.approx(2.5)
    assert float(sequence.mean_over_steps(losses, counted=counted)) == pytest.approx((0 + 2 + 3 + 4 + 5) / 5)
    first = np.array([True, False])
    assert float(sequence.mean_over_steps(losses, counted=counted, valid=first)) == pytest.approx(1.0)
    assert float(sequence.mean_over_steps(losses, valid=np.array([False, False]))) == 0.0
