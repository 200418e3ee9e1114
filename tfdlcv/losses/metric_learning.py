"""Losses that compare the embeddings of a batch with each other: triplet, contrastive and N-pair.

They have no prototypes and need no class to be known beforehand; batches need two examples or more of some classes.
Pairs and triplets are formed inside a batch, or inside a replica's part of it. An example with a negative class id is
padding: it takes part in none.

Every loss computes in float32. `call` gives (B,) values whose mean over the batch is the mean over the pairs or
triplets that count: so both Keras's reduction and `batch_mean(loss.call(y_true, y_pred))` are that mean. (Give
`batch_mean` no `valid` here; padding is marked in the class ids.) Without any pair that counts the loss is 0.

Shape legend: B examples, d dimensions; triplets (anchor, positive, negative).
"""

from __future__ import annotations

from typing import Literal

import keras
from keras import ops

from tfdlcv.ops import hypersphere

Distance = Literal["euclidean", "squared_euclidean", "cosine"]


class _PairwiseLoss(keras.losses.Loss):
    def __init__(self, *, reduction: str, name: str):
        super().__init__(name=name, reduction=reduction, dtype="float32")

    def _relations(self, y_true):
        """-> (same, different) classes, (B, B) bool each; no example is paired with itself or with padding."""
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        counts = labels >= 0
        both = ops.logical_and(counts[:, None], counts[None, :])
        equal = labels[:, None] == labels[None, :]
        itself = ops.eye(ops.shape(labels)[0], dtype="bool")
        same = ops.logical_and(ops.logical_and(both, equal), ops.logical_not(itself))
        return same, ops.logical_and(both, ops.logical_not(equal))


@keras.saving.register_keras_serializable(package="tfdlcv")
class TripletLoss(_PairwiseLoss):
    """max(distance(anchor, positive) - distance(anchor, negative) + margin, 0) over triplets of the batch.

    Which triplets, by `mining`:

    - "batch_all": all; the mean is over those with a loss above 0, as most soon have none (Hermans, Beyer, Leibe 2017,
      "In Defense of the Triplet Loss for Person Re-Identification", section 2).
    - "hard": for each anchor its farthest positive and its nearest negative (the same paper's "batch hard").
    - "semi_hard": for each pair of anchor and positive the nearest negative that is farther than the positive, or the
      farthest negative if none is (Schroff, Kalenichenko, Philbin 2015, "FaceNet", section 3.2, as in TensorFlow
      Addons' TripletSemiHardLoss). The mean is over pairs.

    Args:
        mining: see above.
        margin: in units of the distance. FaceNet: 0.2, of squared distances between unit vectors.
        distance: "euclidean"; "squared_euclidean"; or "cosine", 1 - cos.
        normalize: make embeddings unit vectors first; "cosine" always does.

    Call arguments:
        y_true: class ids (B,) or (B, 1); a negative id is padding.
        y_pred: embeddings (B, d).
    """

    def __init__(
        self,
        mining: Literal["batch_all", "semi_hard", "hard"] = "semi_hard",
        *,
        margin: float = 0.2,
        distance: Distance = "squared_euclidean",
        normalize: bool = True,
        reduction: str = "sum_over_batch_size",
        name: str = "triplet_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if mining not in ("batch_all", "semi_hard", "hard"):
            raise ValueError(f"mining must be batch_all, semi_hard or hard. Received: mining={mining!r}")
        if margin < 0:
            raise ValueError(f"margin must be at least 0. Received: margin={margin}")
        self.mining = mining
        self.margin = margin
        self.distance = _checked_distance(distance)
        self.normalize = normalize

    def call(self, y_true, y_pred):
        same, different = self._relations(y_true)
        distances = pairwise_distances(y_pred, self.distance, normalize=self.normalize)  # (B, B)
        if self.mining == "hard":
            hardest_positive = ops.max(ops.where(same, distances, 0.0), axis=1)  # (B,)
            loss = ops.maximum(hardest_positive - _nearest(distances, different) + self.margin, 0.0)
            return _spread(loss, ops.logical_and(ops.any(same, axis=1), ops.any(different, axis=1)))
        # Axes: anchor, positive, negative.
        excess = distances[:, :, None] - distances[:, None, :]  # (B, B, B)
        if self.mining == "batch_all":
            triplets = ops.logical_and(same[:, :, None], different[:, None, :])
            loss = ops.where(triplets, ops.maximum(excess + self.margin, 0.0), 0.0)
            return _spread(loss, loss > 0)
        farther = ops.logical_and(different[:, None, :], excess < 0)
        negative_distances = ops.broadcast_to(distances[:, None, :], ops.shape(excess))
        nearest_farther = _nearest(negative_distances, farther)  # (B, B): of each anchor and positive
        farthest = ops.max(ops.where(different, distances, 0.0), axis=1)[:, None]
        negative = ops.where(ops.any(farther, axis=2), nearest_farther, farthest)
        pairs = ops.logical_and(same, ops.any(different, axis=1)[:, None])
        return _spread(ops.maximum(distances - negative + self.margin, 0.0), pairs)

    def get_config(self):
        return {
            **super().get_config(),
            "mining": self.mining,
            "margin": self.margin,
            "distance": self.distance,
            "normalize": self.normalize,
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class ContrastiveLoss(_PairwiseLoss):
    """distance^2 / 2 for each pair of one class, max(margin - distance, 0)^2 / 2 for each of two classes.

    Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", over all pairs of the
    batch.

    Args:
        margin: distance beyond which two classes are far enough apart.
        distance: "euclidean", or "cosine", 1 - cos.
        normalize: make embeddings unit vectors first; "cosine" always does.

    Call arguments:
        y_true: class ids (B,) or (B, 1); a negative id is padding.
        y_pred: embeddings (B, d).
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        distance: Literal["euclidean", "cosine"] = "euclidean",
        normalize: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "contrastive_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if margin <= 0:
            raise ValueError(f"margin must be above 0. Received: margin={margin}")
        if distance not in ("euclidean", "cosine"):
            raise ValueError(f"distance must be euclidean or cosine. Received: distance={distance!r}")
        self.margin = margin
        self.distance = distance
        self.normalize = normalize

    def call(self, y_true, y_pred):
        same, different = self._relations(y_true)
        distances = pairwise_distances(y_pred, self.distance, normalize=self.normalize)
        apart = ops.square(ops.maximum(self.margin - distances, 0.0))
        return _spread(0.5 * ops.where(same, ops.square(distances), apart), ops.logical_or(same, different))

    def get_config(self):
        return {
            **super().get_config(),
            "margin": self.margin,
            "distance": self.distance,
            "normalize": self.normalize,
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class NPairLoss(_PairwiseLoss):
    """log(1 + sum over negatives of exp(a . n - a . p)) for each anchor a and positive p, plus a pull on lengths.

    Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective". The paper's batches hold two
    examples of each class, and the negatives of an anchor are the second ones of the other classes. Here batches are
    any, every pair of a class counts, and every example of another class is a negative.

    Args:
        length_weight: of the mean of |embedding|^2, which dot products would otherwise grow without bound. TensorFlow
            Addons: 0.25 * 0.002 of it.

    Call arguments:
        y_true: class ids (B,) or (B, 1); a negative id is padding.
        y_pred: embeddings (B, d), not normalised.
    """

    def __init__(
        self,
        *,
        length_weight: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "n_pair_loss",
    ):
        super().__init__(reduction=reduction, name=name)
        if length_weight < 0:
            raise ValueError(f"length_weight must be at least 0. Received: length_weight={length_weight}")
        self.length_weight = length_weight

    def call(self, y_true, y_pred):
        same, different = self._relations(y_true)
        embeddings = ops.cast(y_pred, "float32")
        products = ops.matmul(embeddings, ops.transpose(embeddings))  # (B, B)
        # log(exp(a.p) + sum exp(a.n)) - a.p, in which no exponential overflows. -1e9: float32's exp makes it 0.
        negatives = ops.logsumexp(ops.where(different, products, -1e9), axis=1, keepdims=True)  # (B, 1)
        pairs = ops.logical_and(same, ops.any(different, axis=1)[:, None])
        loss = _spread(ops.logaddexp(products, negatives) - products, pairs)
        if self.length_weight:
            counts = ops.reshape(ops.cast(y_true, "int32"), (-1,)) >= 0
            loss = loss + self.length_weight * _spread(ops.sum(ops.square(embeddings), axis=1), counts)
        return loss

    def get_config(self):
        return {**super().get_config(), "length_weight": self.length_weight}


def pairwise_distances(embeddings, distance: Distance, *, normalize: bool = False):
    """(B, d) -> (B, B) float32 distances between all embeddings; gradients are finite where two coincide."""
    embeddings = ops.cast(embeddings, "float32")
    if normalize or distance == "cosine":
        embeddings = hypersphere.normalize(embeddings)
    products = ops.matmul(embeddings, ops.transpose(embeddings))
    if distance == "cosine":
        return 1.0 - products
    squares = ops.diagonal(products)
    # Rounding may leave a distance just below 0.
    squared = ops.maximum(squares[:, None] - 2.0 * products + squares[None, :], 0.0)
    if distance == "squared_euclidean":
        return squared
    # The gradient of the root is infinite at 0: there, a distance of 1e-6 without gradient stands in.
    return ops.sqrt(ops.maximum(squared, 1e-12))


def _nearest(distances, among):
    """The smallest distance in the last axis where `among` is true; a huge one where it never is."""
    return ops.min(ops.where(among, distances, 1e30), axis=-1)


def _spread(values, counted):
    """(B, ...) -> (B,), whose mean is the mean of all `values` that are `counted`; zeros if none is."""
    counted = ops.cast(counted, "float32")
    values = ops.where(counted > 0, values, ops.zeros_like(values))
    axes = tuple(range(1, len(values.shape)))
    sums = ops.sum(values, axis=axes) if axes else values
    examples = ops.cast(ops.shape(values)[0], "float32")
    return sums * examples / ops.maximum(ops.sum(counted), 1.0)


def _checked_distance(distance: str) -> str:
    if distance not in ("euclidean", "squared_euclidean", "cosine"):
        raise ValueError(f"distance must be euclidean, squared_euclidean or cosine. Received: distance={distance!r}")
    return distance
