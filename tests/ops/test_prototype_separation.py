import numpy as np
import pytest

from tfdlcv.ops import class_semantics, prototype_separation


def random_points(num_classes, dimensions, seed=0):
    points = np.random.default_rng(seed).standard_normal((num_classes, dimensions))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_smooth_maximum_by_hand():
    points = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # Cosines 0, 0 and -1.
    value, _ = prototype_separation._smooth_maximum(points, 2.0)
    assert value == pytest.approx(np.log(2 + np.exp(-2)) / 2)


@pytest.mark.parametrize("sharpness", [1.0, 30.0, 1e5])
def test_smooth_maximum_has_the_gradient_that_it_says(sharpness):
    points = random_points(7, 4)
    value, gradient = prototype_separation._smooth_maximum(points, sharpness)
    assert 0 <= value - prototype_separation.largest_cosine(points) <= np.log(21) / sharpness
    direction = np.random.default_rng(1).standard_normal(points.shape)
    step = 1e-7
    ahead, _ = prototype_separation._smooth_maximum(points + step * direction, sharpness)
    behind, _ = prototype_separation._smooth_maximum(points - step * direction, sharpness)
    assert (ahead - behind) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=1e-3)


def test_blocks_do_not_change_the_result(monkeypatch):
    points = random_points(11, 3)
    whole = prototype_separation._smooth_maximum(points, 40.0)
    largest = prototype_separation.largest_cosine(points)
    monkeypatch.setattr(prototype_separation, "_BLOCK_ELEMENTS", 30)  # Two rows at a time, and one at the end.
    parts = prototype_separation._smooth_maximum(points, 40.0)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-10)
    assert prototype_separation.largest_cosine(points) == largest


def test_one_step_of_the_published_algorithm_by_hand():
    points = random_points(5, 3, seed=4)
    before = prototype_separation.paper(5, 3, seed=4, steps=0)
    np.testing.assert_allclose(before, points)
    gram = points @ points.T - 2 * np.eye(5)
    gradient = np.zeros_like(points)
    for k in range(5):
        nearest = np.argmax(gram[k])
        gradient[k] += points[nearest] / 5
        gradient[nearest] += points[k] / 5
    moved = points - 0.1 * gradient
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(prototype_separation.paper(5, 3, seed=4, steps=1), moved, atol=1e-12)


def test_prototypes_that_meet_stay_together_in_the_published_algorithm_only():
    """Its gradient on the sphere is zero where two coincide; that of the smooth maximum is too, but it begins apart."""
    points = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    pushed = points - 0.1 * np.array([points[1], points[0], points[0]])
    pushed /= np.linalg.norm(pushed, axis=1, keepdims=True)
    assert pushed[0] @ pushed[1] == 1
    collapsed = prototype_separation.paper(10, 2, seed=0)
    assert prototype_separation.largest_cosine(collapsed) > 0.9999
    assert prototype_separation.largest_cosine(prototype_separation.annealed(10, 2, seed=0)) < 0.8091


def test_effort_is_bounded():
    assert prototype_separation._effort(10, with_semantics=False)[0] == 60
    assert prototype_separation._effort(10, with_semantics=True)[0] == 15
    starts, factor, iterations = prototype_separation._effort(1000, with_semantics=False)
    assert starts == 1 and factor == 4 and iterations == 150
    assert prototype_separation._effort(20_000, with_semantics=False)[2] == 20


def test_gradient_with_semantics():
    """The descent reaches a lower objective than it began with, also where the ranking loss dominates."""
    similarity = class_semantics.hierarchy_similarity([(str(i // 2),) for i in range(6)])
    ordered = class_semantics.triplets(similarity)
    points = random_points(6, 3)
    after = prototype_separation._descend(points, 5.0, 50, ordered, 10.0)
    loss = [class_semantics.ranking_loss_and_slopes(p @ p.T, ordered)[0] for p in (points, after)]
    assert loss[1] < loss[0] - 0.2
