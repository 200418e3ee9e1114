import math

import numpy as np
import pytest

from tfdlcv.ops import class_semantics, prototypes

ANIMALS = [("animal", "bird"), ("animal", "bird"), ("animal", "fish"), ("machine",)]


def test_vector_similarity_is_the_cosine():
    similarity = class_semantics.vector_similarity([[2, 0], [0, 3], [1, 1]])
    half = math.sqrt(0.5)
    np.testing.assert_allclose(similarity, [[1, 0, half], [0, 1, half], [half, half, 1]], atol=1e-12)
    with pytest.raises(ValueError, match="must be finite and not zero. Received: .* for class 1"):
        class_semantics.vector_similarity([[1, 0], [0, 0]])


def test_hierarchy_similarity_by_hand():
    expected = [[1, 1, 0.5, 0], [1, 1, 0.5, 0], [0.5, 0.5, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(class_semantics.hierarchy_similarity(ANIMALS), expected)
    with pytest.raises(ValueError, match="at least one ancestor"):
        class_semantics.hierarchy_similarity([(), ()])


def test_triplets_by_hand():
    found = class_semantics.triplets(class_semantics.hierarchy_similarity(ANIMALS))
    # Class 3 is equally far from all: it orders nothing.
    expected = {(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 0, 2), (1, 0, 3), (1, 2, 3), (2, 0, 3), (2, 1, 3)}
    assert set(zip(found.first.tolist(), found.near.tolist(), found.far.tolist(), strict=True)) == expected


def test_a_limit_draws_alike_from_every_class():
    similarity = class_semantics.vector_similarity(np.random.default_rng(0).standard_normal((20, 5)))
    everything = class_semantics.triplets(similarity)
    assert len(everything) == 20 * (19 * 18 // 2)
    some = class_semantics.triplets(similarity, limit=400)
    assert len(some) == 400
    assert (np.bincount(some.first) == 20).all()
    assert (similarity[some.first, some.near] > similarity[some.first, some.far]).all()
    np.testing.assert_array_equal(some.near, class_semantics.triplets(similarity, limit=400).near)


def test_equal_cosines_cost_ln_2_and_the_right_order_less():
    similarity = class_semantics.hierarchy_similarity(ANIMALS)
    simplex = prototypes.simplex(4)  # All cosines are equal.
    assert class_semantics.ranking_loss(simplex, similarity) == pytest.approx(math.log(2), abs=1e-6)
    ordered = np.array([[1, 0], [0.9, math.sqrt(1 - 0.81)], [0, 1], [-1, 0]])
    assert class_semantics.ranking_loss(ordered, similarity) < 0.5
    assert class_semantics.ranking_loss(ordered[[3, 0, 1, 2]], similarity) > math.log(2)


def test_ranking_loss_of_one_triplet_by_hand():
    ordered = class_semantics.Triplets(np.array([0]), np.array([1]), np.array([2]))
    cosines = np.array([[1, 0.5, -0.25], [0.5, 1, 0], [-0.25, 0, 1]])
    loss, slopes = class_semantics.ranking_loss_and_slopes(cosines, ordered)
    probability = 1 / (1 + math.exp(-0.75))
    assert probability > 0.5
    assert loss == pytest.approx(-math.log(probability))
    expected = np.zeros((3, 3))
    expected[0, 1], expected[0, 2] = probability - 1, 1 - probability
    np.testing.assert_allclose(slopes, expected, atol=1e-12)


def test_rank_correlation_of_order_kept_reversed_and_absent():
    angles = np.radians([0, 10, 30, 70])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    similarity = points @ points.T
    assert class_semantics.rank_correlation(points, similarity) == pytest.approx(1)
    assert class_semantics.rank_correlation(points, -similarity) == pytest.approx(-1)
    assert class_semantics.rank_correlation(prototypes.simplex(4), similarity) == 0
    with pytest.raises(ValueError, match="prototypes \\(3\\) must be as many as the classes of similarity \\(4\\)"):
        class_semantics.rank_correlation(points[:3], similarity)


def test_rank_correlation_is_spearmans():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(3)
    points = generator.standard_normal((6, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    similarity = np.round(class_semantics.vector_similarity(generator.standard_normal((6, 4))), 1)  # With ties.
    expected = []
    for i in range(6):
        others = np.arange(6) != i
        expected.append(stats.spearmanr((points @ points.T)[i, others], similarity[i, others]).statistic)
    assert class_semantics.rank_correlation(points, similarity) == pytest.approx(np.mean(expected))
