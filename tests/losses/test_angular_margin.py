import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses import ArcFaceLoss, CosFaceLoss

COSINES = np.array([[0.7, 0.2, -0.5], [0.1, -0.9, 0.3]], "float32")
LABELS = np.array([0, 1])


def cross_entropy(logits):
    return np.log(np.exp(logits).sum(axis=1)) - logits[[0, 1], LABELS]


def test_cosface_by_hand():
    logits = 4.0 * COSINES
    logits[[0, 1], LABELS] -= 4.0 * 0.25
    losses = CosFaceLoss(scale=4.0, margin=0.25).call(LABELS, COSINES)
    np.testing.assert_allclose(losses, cross_entropy(logits), rtol=1e-5)


def test_arcface_by_hand_before_and_beyond_pi():
    logits = 4.0 * COSINES
    logits[0, 0] = 4.0 * math.cos(math.acos(0.7) + 0.5)
    logits[1, 1] = 4.0 * (-0.9 - 0.5 * math.sin(0.5))  # acos(-0.9) + 0.5 is more than pi.
    losses = ArcFaceLoss(scale=4.0, margin=0.5).call(LABELS, COSINES)
    np.testing.assert_allclose(losses, cross_entropy(logits), rtol=1e-5)


@pytest.mark.parametrize("loss_class", [CosFaceLoss, ArcFaceLoss])
def test_without_margin_it_is_scaled_cross_entropy(loss_class):
    losses = loss_class(scale=10.0, margin=0.0).call(LABELS, COSINES)
    np.testing.assert_allclose(losses, cross_entropy(10.0 * COSINES), rtol=1e-4)


@pytest.mark.parametrize("loss", [CosFaceLoss(), ArcFaceLoss()])
def test_own_handicap_falls_with_the_cosine_and_its_gradient_is_finite_to_the_ends(loss):
    cosines = tf.linspace(-1.0, 1.0, 401)
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        handicap = loss.handicap(cosines)
    assert (handicap < cosines).numpy().all()
    gradient = tape.gradient(handicap, cosines).numpy()
    assert np.isfinite(gradient).all() and (gradient > 0).all() and gradient.max() < 500


@pytest.mark.parametrize("loss", [CosFaceLoss(scale=30.0, margin=0.1), ArcFaceLoss(scale=20.0, margin=0.2, name="x")])
def test_config_round_trip(loss):
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(loss))))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()


def test_wrong_ids_are_an_error_and_nan_in_a_graph():
    with pytest.raises(ValueError, match=r"class ids must be in 0\.\.2. Received: 3"):
        CosFaceLoss().call([1, 3], COSINES)
    assert np.isnan(tf.function(CosFaceLoss().call, autograph=False)(tf.constant([3, -1]), COSINES)).all()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: CosFaceLoss(scale=0.0), "scale must be above 0. Received: scale=0.0"),
        (lambda: ArcFaceLoss(margin=-0.1), "margin must be at least 0. Received: margin=-0.1"),
        (lambda: ArcFaceLoss(margin=3.2), "margin must be less than pi. Received: margin=3.2"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
