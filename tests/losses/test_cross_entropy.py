"""Cross-entropy against hand-computed values, at its edges, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses.cross_entropy import balanced_class_weights, binary_cross_entropy, cross_entropy

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], "float32"))


def test_hand_computed_mean():
    assert float(cross_entropy(LOGITS, [0, 1])) == pytest.approx(-(np.log(0.7) + np.log(0.3)) / 2, rel=1e-6)


def test_padding_does_not_count_and_padding_alone_gives_zero():
    assert float(cross_entropy(LOGITS, [0, -1], valid=[True, False])) == pytest.approx(-np.log(0.7), rel=1e-6)
    assert float(cross_entropy(LOGITS, [0, 1], valid=[False, False])) == 0.0


def test_label_smoothing_spreads_over_all_classes():
    expected = -(0.8 * np.log(0.7) + 0.2 / 3 * np.log([0.7, 0.2, 0.1]).sum())
    assert float(cross_entropy(LOGITS[:1], [0], label_smoothing=0.2)) == pytest.approx(expected, rel=1e-6)


def test_soft_labels_replace_labels():
    soft = np.array([[0.5, 0.5, 0.0]], "float32")
    expected = -0.5 * (np.log(0.7) + np.log(0.2))
    assert float(cross_entropy(LOGITS[:1], [2], soft_labels=soft)) == pytest.approx(expected, rel=1e-6)


def test_class_weights_scale_the_terms_of_their_class():
    expected = (-2.0 * np.log(0.7) - 0.5 * np.log(0.3)) / 2
    assert float(cross_entropy(LOGITS, [0, 1], class_weights=[2.0, 0.5, 9.0])) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=r"class_weights \(2\) must be as many as the classes \(3\)"):
        cross_entropy(LOGITS, [0, 1], class_weights=[1.0, 2.0])


def test_gradient_is_probabilities_minus_targets():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(logits, [0, 1])
    expected = (np.exp(LOGITS) - np.eye(3)[[0, 1]]) / 2
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


def test_half_precision_logits_are_computed_in_float32():
    """In float16 the exponential of 20 overflows."""
    logits = tf.constant([[20.0, 0.0, -20.0]], tf.float16)
    loss = cross_entropy(logits, [2])
    assert loss.dtype == tf.float32 and float(loss) == pytest.approx(40.0, rel=1e-5)


def test_balanced_weights_average_one_over_the_examples():
    weights = balanced_class_weights([30, 10])
    assert weights == pytest.approx((40 / 60, 2.0))
    assert 30 * weights[0] + 10 * weights[1] == pytest.approx(40)
    with pytest.raises(ValueError, match="every class needs an example"):
        balanced_class_weights([3, 0])


def test_binary_hand_computed():
    """Probabilities 0.8, 0.5 and 0.1 of the three classes."""
    logits = np.log(np.array([[0.8 / 0.2, 1.0, 0.1 / 0.9]], "float32"))
    expected = -(np.log(0.8) + np.log(0.5) + np.log(0.9))
    assert float(binary_cross_entropy(logits, [0])) == pytest.approx(expected, rel=1e-6)
    two = np.repeat(logits, 2, axis=0)
    assert float(binary_cross_entropy(two, [0, 2], valid=[True, False])) == pytest.approx(expected, rel=1e-6)


def test_binary_soft_labels_and_their_threshold():
    logits = np.log(np.array([[4.0, 1 / 3, 1 / 9]], "float32"))  # Probabilities 0.8, 0.25 and 0.1.
    soft = np.array([[0.7, 0.3, 0.0]], "float32")
    as_they_are = -sum(t * np.log(p) + (1 - t) * np.log(1 - p) for t, p in ((0.7, 0.8), (0.3, 0.25), (0.0, 0.1)))
    assert float(binary_cross_entropy(logits, [0], soft_labels=soft)) == pytest.approx(as_they_are, rel=1e-6)
    both = -(np.log(0.8) + np.log(0.25) + np.log(0.9))
    thresholded = binary_cross_entropy(logits, [0], soft_labels=soft, target_threshold=0.2)
    assert float(thresholded) == pytest.approx(both, rel=1e-6)
    one = -(np.log(0.8) + np.log(0.75) + np.log(0.9))
    assert float(binary_cross_entropy(logits, [0], soft_labels=soft, target_threshold=0.5)) == pytest.approx(one)


def test_binary_label_smoothing():
    """Targets 0.8 + 0.2 / 2 and 0.2 / 2 of two classes."""
    logits = np.zeros((1, 2), "float32")
    logits[0, 0] = np.log(3.0)  # Probability 3 / 4.
    expected = -(0.9 * np.log(0.75) + 0.1 * np.log(0.25) + np.log(0.5))
    assert float(binary_cross_entropy(logits, [0], label_smoothing=0.2)) == pytest.approx(expected, rel=1e-6)


def test_binary_extreme_logits_stay_finite_and_gradients_are_probabilities_minus_targets():
    logits = tf.constant([[200.0, -200.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(logits, [1])
    assert float(loss) == pytest.approx(400 + np.log(2), rel=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[1.0, -1.0, 0.5]], atol=1e-6)
