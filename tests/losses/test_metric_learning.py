"""Every loss against loops over pairs and triplets."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.losses import ContrastiveLoss, NPairLoss, TripletLoss, batch_mean
from tfdlcv.losses.metric_learning import pairwise_distances

GENERATOR = np.random.default_rng(0)
EMBEDDINGS = GENERATOR.standard_normal((9, 4)).astype("float32")
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 3, -1])  # Class 3 is alone, and the last one is padding.
REAL = range(8)


def distances(kind, normalize):
    z = EMBEDDINGS.astype("float64")
    if normalize or kind == "cosine":
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    squared = ((z[:, None] - z[None, :]) ** 2).sum(axis=-1)
    return {"euclidean": np.sqrt(squared), "squared_euclidean": squared, "cosine": squared / 2}[kind]


def positives(a):
    return [p for p in REAL if p != a and LABELS[p] == LABELS[a]]


def negatives(a):
    return [n for n in REAL if LABELS[n] != LABELS[a]]


def expected_triplet_loss(mining, margin, d):
    losses = []
    for a in REAL:
        if mining == "hard" and positives(a):
            losses.append(max(max(d[a, p] for p in positives(a)) - min(d[a, n] for n in negatives(a)) + margin, 0))
        for p in positives(a):
            if mining == "batch_all":
                losses += [x for n in negatives(a) if (x := d[a, p] - d[a, n] + margin) > 0]
            if mining == "semi_hard":
                farther = [d[a, n] for n in negatives(a) if d[a, n] > d[a, p]]
                negative = min(farther) if farther else max(d[a, n] for n in negatives(a))
                losses.append(max(d[a, p] - negative + margin, 0))
    return np.mean(losses)


@pytest.mark.parametrize("mining", ["batch_all", "semi_hard", "hard"])
@pytest.mark.parametrize("kind", ["euclidean", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("normalize", [False, True])
def test_triplets(mining, kind, normalize):
    loss = TripletLoss(mining, margin=0.4, distance=kind, normalize=normalize)
    expected = expected_triplet_loss(mining, 0.4, distances(kind, normalize))
    assert expected > 0
    assert float(loss(LABELS, EMBEDDINGS)) == pytest.approx(expected, rel=1e-4)
    assert float(batch_mean(loss.call(LABELS, EMBEDDINGS))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind, normalize", [("euclidean", False), ("euclidean", True), ("cosine", False)])
def test_contrastive(kind, normalize):
    d = distances(kind, normalize)
    terms = []
    for i in REAL:
        for j in REAL:
            if i != j:
                terms.append(d[i, j] ** 2 / 2 if LABELS[i] == LABELS[j] else max(0.9 - d[i, j], 0) ** 2 / 2)
    loss = ContrastiveLoss(margin=0.9, distance=kind, normalize=normalize)
    assert float(loss(LABELS, EMBEDDINGS)) == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("length_weight", [0.0, 0.3])
def test_n_pair(length_weight):
    z = EMBEDDINGS.astype("float64")
    terms = [
        np.log(1 + sum(np.exp(z[a] @ z[n] - z[a] @ z[p]) for n in negatives(a))) for a in REAL for p in positives(a)
    ]
    expected = np.mean(terms) + length_weight * np.mean([z[i] @ z[i] for i in REAL])
    loss = NPairLoss(length_weight=length_weight)
    assert float(loss(LABELS, EMBEDDINGS)) == pytest.approx(expected, rel=1e-4)
    huge = loss(LABELS, 1e3 * EMBEDDINGS)
    assert np.isfinite(float(huge))


LOSSES = {
    "batch_all": TripletLoss("batch_all", margin=0.5, distance="euclidean", normalize=False),
    "semi_hard": TripletLoss("semi_hard", distance="cosine"),
    "hard": TripletLoss("hard", distance="euclidean", reduction="sum"),
    "contrastive": ContrastiveLoss(margin=2.0, distance="cosine", normalize=True),
    "n_pair": NPairLoss(length_weight=0.1),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4], [-1, -1, 0], [1, 1, -1]])
def test_batches_without_a_triplet(loss, labels):
    embeddings = tf.constant(EMBEDDINGS[:3])
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = batch_mean(loss.call(np.array(labels), embeddings))
    assert np.isfinite(float(value))
    if isinstance(loss, TripletLoss):
        assert float(value) == 0
    assert np.isfinite(tape.gradient(value, embeddings)).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_gradient_is_finite_where_embeddings_coincide(loss, scale):
    embeddings = tf.constant(scale * np.ones((4, 3), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = batch_mean(loss.call(np.array([0, 0, 1, 1]), embeddings))
    assert np.isfinite(tape.gradient(value, embeddings)).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_training_brings_classes_together(loss):
    embeddings = tf.Variable(np.random.default_rng(1).standard_normal((12, 3)).astype("float32"))
    labels = np.arange(12) % 3
    before = within_over_between(embeddings.numpy(), labels)
    step = tf.function(lambda: minimize(loss, labels, embeddings), jit_compile=True, autograph=False)
    for _ in range(300):
        step()
    assert within_over_between(embeddings.numpy(), labels) < 0.5 * before


def minimize(loss, labels, embeddings):
    with tf.GradientTape() as tape:
        value = batch_mean(loss.call(labels, embeddings))
    embeddings.assign_sub(tape.gradient(value, embeddings))


def within_over_between(z, labels):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    d = np.linalg.norm(z[:, None] - z[None, :], axis=-1)
    same = labels[:, None] == labels[None, :]
    return d[same].mean() / d[~same].mean()


def test_distances_never_have_a_nan_from_rounding():
    z = np.repeat(1e3 * GENERATOR.standard_normal((1, 64)), 5, axis=0).astype("float32")
    for kind in ("euclidean", "squared_euclidean"):
        assert (pairwise_distances(z, kind).numpy() >= 0).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_config_round_trip(loss):
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(loss))))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: TripletLoss("all"), "mining must be batch_all, semi_hard or hard. Received: mining='all'"),
        (lambda: TripletLoss(margin=-1.0), "margin must be at least 0. Received: margin=-1.0"),
        (lambda: TripletLoss(distance="l1"), "distance must be euclidean, .* Received: distance='l1'"),
        (lambda: ContrastiveLoss(margin=0.0), "margin must be above 0. Received: margin=0.0"),
        (lambda: ContrastiveLoss(distance="squared_euclidean"), "distance must be euclidean or cosine"),
        (lambda: NPairLoss(length_weight=-0.5), "length_weight must be at least 0. Received: length_weight=-0.5"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
