"""What is known of classes before any image is seen, as similarities, and prototypes that respect it.

Mettes, van der Pol, Snoek 2019, "Hyperspherical Prototype Networks", section 3.1, "prototypes with privileged
information": if class j is nearer to class i than class k is, then so should be its prototype. Each such triplet costs
the cross-entropy -log sigmoid(cos(p_i, p_j) - cos(p_i, p_k)); the loss is their mean.

Shape legend: K classes, T triplets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats


def vector_similarity(vectors: np.ndarray) -> np.ndarray:
    """Similarity (K, K) of classes that are described by vectors (K, any), such as word vectors: their cosines."""
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have the shape (classes, values). Received: shape={vectors.shape}")
    norms = np.linalg.norm(vectors, axis=1)
    faulty = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(faulty):
        raise ValueError(f"vectors must be finite and not zero. Received: {vectors[faulty[0]]} for class {faulty[0]}")
    unit = vectors / norms[:, None]
    return unit @ unit.T


def hierarchy_similarity(ancestors: Sequence[Sequence[str]]) -> np.ndarray:
    """Similarity (K, K) of classes in a tree: how many ancestors two classes share, over the largest number of them.

    Args:
        ancestors: for each class its ancestors, from the root down: `("animal", "bird")`.
    """
    deepest = max((len(path) for path in ancestors), default=0)
    if deepest == 0:
        raise ValueError("ancestors must name at least one ancestor of a class. Received: none")
    similarity = np.eye(len(ancestors))
    for i, path in enumerate(ancestors):
        for j, other in enumerate(ancestors[:i]):
            shared = next((n for n, pair in enumerate(zip(path, other, strict=False)) if pair[0] != pair[1]), None)
            shared = min(len(path), len(other)) if shared is None else shared
            similarity[i, j] = similarity[j, i] = shared / deepest
    # Two classes that share all ancestors are not yet the same class.
    return similarity


@dataclass(frozen=True)
class Triplets:
    """Class `first` has class `near` nearer to it than class `far`; each (T,) int64."""

    first: np.ndarray
    near: np.ndarray
    far: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def triplets(similarity: np.ndarray, *, limit: int | None = None, seed: int = 0) -> Triplets:
    """All triplets of three different classes that `similarity` (K, K) orders; ties are left out.

    Args:
        limit: if there are more, so many are drawn at random, each alike.

    Raises:
        ValueError: `similarity` is not a symmetric matrix of finite numbers, or orders no triplet.
    """
    similarity = check_similarity(similarity)
    num_classes = len(similarity)
    first, near, far = [], [], []
    # Class by class, because all triplets of 1,000 classes would not fit into memory at once.
    share = None if limit is None else -(-limit // num_classes)
    generator = np.random.default_rng(seed)
    for i in range(num_classes):
        row = similarity[i]
        nearer = row[:, None] > row[None, :]
        nearer[i, :] = nearer[:, i] = False
        pairs = np.flatnonzero(nearer)
        if share is not None and len(pairs) > share:
            pairs = generator.choice(pairs, share, replace=False)
        first.append(np.full(len(pairs), i))
        near.append(pairs // num_classes)
        far.append(pairs % num_classes)
    result = Triplets(np.concatenate(first), np.concatenate(near), np.concatenate(far))
    if not len(result):
        raise ValueError("similarity must order some classes: for every class, all others are equally near")
    return result


def ranking_loss(prototypes: np.ndarray, similarity: np.ndarray) -> float:
    """The lecture's L_PI of unit prototypes (K, d), over all triplets: ln 2 where the prototypes know no order."""
    prototypes = np.asarray(prototypes, np.float64)
    return ranking_loss_and_slopes(prototypes @ prototypes.T, triplets(similarity))[0]


def ranking_loss_and_slopes(cosines: np.ndarray, ordered: Triplets) -> tuple[float, np.ndarray]:
    """-> loss, its derivative with respect to each element of `cosines` (K, K); not made symmetric."""
    num_classes = len(cosines)
    near, far = ordered.first * num_classes + ordered.near, ordered.first * num_classes + ordered.far
    difference = cosines.ravel()[near] - cosines.ravel()[far]  # (T,)
    loss = float(np.mean(np.logaddexp(0.0, -difference)))
    pull = special.expit(-difference) / len(ordered)  # (T,)
    slopes = np.bincount(far, pull, num_classes**2) - np.bincount(near, pull, num_classes**2)
    return loss, slopes.reshape(num_classes, num_classes)


def rank_correlation(prototypes: np.ndarray, similarity: np.ndarray) -> float:
    """How well prototypes (K, d) keep the order of `similarity` (K, K), in [-1, 1].

    Mean over classes of Spearman's correlation between the cosines to, and the similarities with, all other classes.
    Classes for which either are all equal have no order, and are left out; 0 if that is so for all.
    """
    similarity = check_similarity(similarity)
    prototypes = np.asarray(prototypes, np.float64)
    if len(prototypes) != len(similarity):
        raise ValueError(
            f"prototypes ({len(prototypes)}) must be as many as the classes of similarity ({len(similarity)})"
        )
    # Cosines that differ by rounding alone are ties: those of a simplex, for one.
    cosines = np.round(prototypes @ prototypes.T, 6)
    others = ~np.eye(len(similarity), dtype=bool)
    correlations = []
    for i, row in enumerate(others):
        ranks, expected = stats.rankdata(cosines[i, row]), stats.rankdata(similarity[i, row])
        if np.ptp(ranks) and np.ptp(expected):
            correlations.append(np.corrcoef(ranks, expected)[0, 1])
    return float(np.mean(correlations)) if correlations else 0.0


def check_similarity(similarity: np.ndarray, num_classes: int | None = None) -> np.ndarray:
    """`similarity` as float64, if it is a symmetric matrix of finite numbers (K, K); raises ValueError otherwise."""
    similarity = np.asarray(similarity, np.float64)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be a square (K, K) matrix. Received: shape={similarity.shape}")
    if num_classes is not None and len(similarity) != num_classes:
        raise ValueError(f"similarity has {len(similarity)} classes, which must be num_classes ({num_classes})")
    if not np.isfinite(similarity).all():
        raise ValueError("similarity must be finite. Received: NaN or infinity in it")
    if not np.allclose(similarity, similarity.T, atol=1e-6):
        raise ValueError("similarity must be symmetric: class i is as near to class j as j to i")
    return similarity
