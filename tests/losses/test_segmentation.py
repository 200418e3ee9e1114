"""Losses of masks: values by hand, void, weights, extremes, gradients, and the definitions of their papers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses import (
    cross_entropy,
    dice_loss,
    focal_loss,
    jaccard_loss,
    lovasz_softmax_loss,
    mask_cross_entropy,
    median_frequency_weights,
)

LOSSES = (mask_cross_entropy, focal_loss, dice_loss, jaccard_loss, lovasz_softmax_loss)
# One row of three pixels with two classes, the last one void.
PROBABILITIES = np.array([[[[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]]], "float32")
LOGITS = np.log(PROBABILITIES)
MASK = np.array([[[0, 1, 255]]], "int32")


def random_case(shape=(2, 4, 5), num_classes=3, seed=0):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(*shape, num_classes)).astype("float32")
    return logits, random.integers(0, num_classes, shape).astype("int32")


def one_hot_logits(mask, num_classes):
    return 200 * np.eye(num_classes, dtype="float32")[mask]


def test_cross_entropy_by_hand():
    assert float(mask_cross_entropy(LOGITS, MASK)) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2, rel=1e-5)
    weighted = -(3 * np.log(0.8) + 0.5 * np.log(0.6)) / 2
    assert float(mask_cross_entropy(LOGITS, MASK, class_weights=(3.0, 0.5))) == pytest.approx(weighted, rel=1e-5)
    pixels = np.array([[[2.0, 10.0, 7.0]]], "float32")
    expected = -(2 * np.log(0.8) + 10 * np.log(0.6)) / 2
    assert float(mask_cross_entropy(LOGITS, MASK, pixel_weights=pixels)) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_that_of_the_pixels_as_examples():
    logits, mask = random_case()
    expected = cross_entropy(logits.reshape((-1, 3)), mask.reshape(-1), class_weights=(1.0, 2.0, 0.5))
    assert float(mask_cross_entropy(logits, mask, class_weights=(1.0, 2.0, 0.5))) == pytest.approx(float(expected))


def test_focal_loss_by_hand():
    expected = -(0.2**2 * np.log(0.8) + 0.4**2 * np.log(0.6)) / 2
    assert float(focal_loss(LOGITS, MASK)) == pytest.approx(expected, rel=1e-4)
    assert float(focal_loss(LOGITS, MASK, gamma=0.0)) == pytest.approx(float(mask_cross_entropy(LOGITS, MASK)))


def test_dice_and_jaccard_by_hand():
    # Class 0: P·T = .8, P = 1.2, T = 1. Class 1: .6, .8, 1. The third pixel does not count.
    dice = 1 - np.mean([2 * 0.8 / 2.2, 2 * 0.6 / 1.8])
    jaccard = 1 - np.mean([0.8 / 1.4, 0.6 / 1.2])
    assert float(dice_loss(LOGITS, MASK, smoothing=0.0)) == pytest.approx(dice, rel=1e-5)
    assert float(jaccard_loss(LOGITS, MASK, smoothing=0.0)) == pytest.approx(jaccard, rel=1e-5)
    smoothed = 1 - np.mean([(2 * 0.8 + 1) / 3.2, (2 * 0.6 + 1) / 2.8])
    assert float(dice_loss(LOGITS, MASK)) == pytest.approx(smoothed, rel=1e-5)


def test_classes_that_are_in_no_mask():
    mask = np.zeros_like(MASK)
    # Class 1 has P = .2 + .6 + .9 of three pixels; its loss is 1 where nothing smooths it.
    present, every = (float(dice_loss(LOGITS, mask, smoothing=0.0, classes=c)) for c in ("present", "all"))
    assert every == pytest.approx((present + 1) / 2)
    for loss in (dice_loss, jaccard_loss, lovasz_softmax_loss):
        with pytest.raises(ValueError, match="classes must be 'present' or 'all'. Received: classes='some'"):
            loss(LOGITS, MASK, classes="some")


def test_lovasz_of_hard_predictions_is_the_mean_of_one_minus_iou():
    _, truth = random_case(seed=1)
    _, guess = random_case(seed=2)
    truth[0, 0, :3] = 255
    counted = truth != 255
    expected = 0
    for k in range(3):
        true, predicted = (truth == k) & counted, (guess == k) & counted
        expected += (1 - (true & predicted).sum() / (true | predicted).sum()) / 3
    assert float(lovasz_softmax_loss(one_hot_logits(guess, 3), truth)) == pytest.approx(expected, rel=1e-5)


def test_lovasz_by_the_definition_of_the_extension():
    """Each error times what the jaccard loss grows by when its pixel joins those that are wrong, largest first."""
    logits, mask = random_case((1, 2, 3), num_classes=2, seed=3)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses = []
    for k in (0, 1):
        true = (mask == k).reshape(-1)
        errors = np.abs(true - probabilities[..., k].reshape(-1))
        wrong, before, total = set(), 0.0, 0.0
        for pixel in np.argsort(-errors):
            wrong.add(pixel)
            missed = sum(true[i] for i in wrong)
            union = true.sum() + sum(not true[i] for i in wrong)
            jaccard = 1 - (true.sum() - missed) / union
            total += errors[pixel] * (jaccard - before)
            before = jaccard
        losses.append(total)
    assert float(lovasz_softmax_loss(logits, mask)) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_right_predictions_cost_nothing_and_wrong_ones_something(loss):
    _, mask = random_case()
    assert float(loss(one_hot_logits(mask, 3), mask)) == pytest.approx(0, abs=1e-5)
    assert float(loss(one_hot_logits((mask + 1) % 3, 3), mask)) > 0.8


@pytest.mark.parametrize("loss", LOSSES)
def test_void_and_padding_do_not_count_and_have_no_gradient(loss):
    logits, mask = random_case()
    void = mask.copy()
    void[0, :2], void[1, 3, 4] = 255, -1
    other = logits.copy()
    other[0, :2] += 5
    other[1, 3, 4, 0] -= 5
    np.testing.assert_allclose(loss(other, void), loss(logits, void), rtol=1e-6)
    valid = np.array([True, False])
    np.testing.assert_allclose(loss(logits, mask, valid=valid), loss(logits[:1], mask[:1]), rtol=1e-5)
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits, void, valid=valid)
    gradient = tape.gradient(value, logits).numpy()
    assert (gradient[0, :2] == 0).all() and (gradient[1] == 0).all() and np.abs(gradient[0, 2:]).max() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_void_gives_zero_and_finite_gradients(loss):
    logits, mask = random_case()
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits, np.full_like(mask, 255))
    assert float(value) == 0
    np.testing.assert_array_equal(tape.gradient(value, logits), np.zeros(logits.shape))


@pytest.mark.parametrize("loss", LOSSES)
def test_numbers_stay_finite_and_float32_in_half_precision_and_under_xla(loss):
    logits, mask = random_case()
    mask = mask.astype("uint8")
    exact = loss(logits, mask)
    compiled = tf.function(loss, jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(logits), tf.constant(mask)), exact, rtol=1e-5)
    for dtype in ("float16", "bfloat16"):
        value = loss(tf.cast(logits, dtype), mask)
        assert value.dtype == "float32"
        np.testing.assert_allclose(value, exact, rtol=0.02)
    for factor in (1e4, -1e4):
        extreme = tf.constant(logits * factor)
        with tf.GradientTape() as tape:
            tape.watch(extreme)
            value = loss(extreme, mask)
        assert np.isfinite(value) and np.isfinite(tape.gradient(value, extreme)).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_differences(loss):
    logits, mask = random_case((1, 2, 2), num_classes=2, seed=5)
    mask[:] = [[[0, 1], [1, 255]]]
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(variable, mask)
    gradient = tape.gradient(value, variable).numpy()
    step = 1e-2
    for index in itertools.product(range(1), range(2), range(2), range(2)):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        difference = float(loss(up, mask) - loss(down, mask)) / (2 * step)
        assert difference == pytest.approx(gradient[index], abs=2e-4), index


def test_focal_gradient_where_the_class_is_certain():
    logits = tf.constant([[[[60.0, 0.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = focal_loss(logits, np.zeros((1, 1, 1), "int32"), gamma=0.5)
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_median_frequency_weights_by_hand():
    # Class 0: 4 of the 4 + 4 pixels of both images; 1: 3 of 4; 2: 1 of 4. The median frequency is 0.5.
    masks = [np.array([[0, 1], [1, 1], [255, 255]]), np.array([[0, 0, 0, 2]])]
    assert median_frequency_weights(masks, 3) == pytest.approx((1.0, 0.5 / 0.75, 2.0))
    with pytest.raises(ValueError, match=r"every class needs a pixel. Without any: \[3\]"):
        median_frequency_weights(masks, 4)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"class_weights \(3\) must be as many as the classes \(2\)"):
        mask_cross_entropy(LOGITS, MASK, class_weights=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="gamma must be at least 0. Received: gamma=-1"):
        focal_loss(LOGITS, MASK, gamma=-1)
