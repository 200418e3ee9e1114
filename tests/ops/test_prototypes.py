import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from tfdlcv.ops import class_semantics, prototype_separation, prototypes
from tfdlcv.ops.prototypes import max_cosine, separate, separation_bound


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tfdlcv" / "prototypes"


@pytest.fixture
def one_start(monkeypatch):
    """One of the optimiser's beginnings, for speed; what it reaches is the least that all of them reach."""
    monkeypatch.setattr(prototype_separation, "_effort", lambda num_classes, with_semantics: (1, 2.0, 200))


def assert_unit(points):
    np.testing.assert_allclose(np.linalg.norm(points.astype("float64"), axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3, 4, 10, 101, 1000])
def test_simplex(num_classes):
    points = prototypes.simplex(num_classes).astype("float64")
    assert points.shape == (num_classes, num_classes - 1)
    share = 1 / (num_classes - 1)
    gram = (1 + share) * np.eye(num_classes) - share
    np.testing.assert_allclose(points @ points.T, gram, atol=1e-6)
    np.testing.assert_allclose(points.sum(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(points.T @ points, (1 + share) * np.eye(num_classes - 1), atol=1e-5)


def test_simplex_of_three_by_hand():
    half_root = np.sqrt(3) / 2
    np.testing.assert_allclose(prototypes.simplex(3), [[1, 0], [-0.5, half_root], [-0.5, -half_root]], atol=1e-7)


def test_cross_polytope():
    points = prototypes.cross_polytope(4)
    assert points.shape == (8, 4)
    assert max_cosine(points) == 0
    assert np.array_equal(points[4:], -points[:4])


@pytest.mark.parametrize(
    "num_classes, dimensions", [(2, 1), (5, 4), (5, 9), (6, 4), (7, 4), (8, 4), (100, 50), (10, 6)]
)
def test_closed_forms_attain_the_bound(num_classes, dimensions):
    points = separate(num_classes, dimensions)
    assert points.shape == (num_classes, dimensions) and points.dtype == np.float32
    assert_unit(points)
    bound, kind = separation_bound(num_classes, dimensions)
    assert kind == "exact"
    assert max_cosine(points) == pytest.approx(bound, abs=1e-6)


def test_orthogonal_simplices_give_every_class_others_on_its_far_side():
    points = prototypes.orthogonal_simplices(10, 6)  # Four simplices: of 3, 3, 2 and 2 points.
    gram = points @ points.T
    assert (gram.min(axis=1) < -0.49).all()
    np.testing.assert_allclose(points.sum(axis=0), 0, atol=1e-6)
    np.testing.assert_array_equal(prototypes.orthogonal_simplices(8, 4)[::2], np.eye(4))
    with pytest.raises(ValueError, match="num_classes \\(9\\) must be at most twice dimensions \\(4\\)"):
        prototypes.orthogonal_simplices(9, 4)


def test_polygon():
    points = separate(10, 2)
    assert max_cosine(points) == pytest.approx(np.cos(2 * np.pi / 10), abs=1e-6)


@pytest.mark.parametrize(
    "num_classes, dimensions, at_most",
    # Of the sheet's gates; the annealed optimiser finds the optimum of a closed form, too.
    [(5, 4, -0.25 + 1e-5), (12, 6, 1e-5), (10, 2, 0.80903), (12, 3, 0.44722), (100, 10, 0.345), (100, 25, 0.115)],
)
def test_annealed_reaches(one_start, num_classes, dimensions, at_most):
    points = separate(num_classes, dimensions, method="annealed")
    assert_unit(points)
    bound, _ = separation_bound(num_classes, dimensions)
    assert bound - 1e-6 <= max_cosine(points) <= at_most
    assert max_cosine(points) < 0.9999


@pytest.mark.parametrize(
    "num_classes, dimensions, optimum", [(10, 3, 0.404394), (13, 3, 0.542636), (14, 3, 0.563950), (24, 4, 0.5)]
)
def test_several_starts_find_optima_that_one_start_misses(num_classes, dimensions, optimum):
    """Among them the 24-cell, on which annealing from one low temperature got stuck at 0.5172."""
    assert max_cosine(separate(num_classes, dimensions)) == pytest.approx(optimum, abs=3e-6)


@pytest.mark.parametrize("num_classes, dimensions", [(10, 3), (20, 4), (40, 8)])
def test_never_worse_than_the_published_algorithm(one_start, num_classes, dimensions):
    for seed in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            published = separate(num_classes, dimensions, method="paper", seed=seed)
        assert max_cosine(separate(num_classes, dimensions, seed=seed)) <= max_cosine(published)


def test_the_published_algorithm_collapses_and_says_so():
    with pytest.warns(UserWarning, match="two prototypes \\(nearly\\) coincide: their cosine is 1.000000"):
        points = separate(10, 2, method="paper", seed=0)
    assert max_cosine(points) > 0.9999
    assert_unit(points)


def test_the_published_algorithm_where_it_works():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = separate(10, 3, method="paper", seed=1)
    assert 0.4044 < max_cosine(points) < 0.45


def test_same_seed_same_prototypes_in_another_process():
    here = separate(12, 5, seed=7, cache=False)
    code = (
        "import sys; from tfdlcv.ops.prototypes import separate; "
        "sys.stdout.buffer.write(separate(12, 5, seed=7, cache=False).tobytes())"
    )
    # One core or two: the number of threads must not matter either.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert result.stdout == here.tobytes()
    assert not np.array_equal(separate(12, 5, seed=8, cache=False), here)


def test_second_call_reads_the_cache(cache_folder, one_start, monkeypatch):
    first = separate(9, 3)
    (path,) = cache_folder.iterdir()
    monkeypatch.setattr(prototype_separation, "annealed", None)  # A call would fail.
    np.testing.assert_array_equal(separate(9, 3), first)
    with pytest.raises(TypeError):
        separate(9, 3, seed=1)
    with pytest.raises(TypeError):
        separate(9, 3, cache=False)
    assert [*cache_folder.iterdir()] == [path]


def test_a_new_version_of_the_algorithm_does_not_read_old_results(cache_folder, one_start, monkeypatch):
    separate(9, 3)
    monkeypatch.setattr(prototype_separation, "VERSION", -1)
    separate(9, 3)
    assert len([*cache_folder.iterdir()]) == 2


def test_cache_off_writes_nothing(cache_folder, one_start):
    separate(9, 3, cache=False)
    assert not cache_folder.exists()


def hierarchy(classes, of_size):
    return class_semantics.hierarchy_similarity([("all", f"group {i // of_size}") for i in range(classes)])


def test_semantics_order_prototypes_at_a_small_cost_in_separation(one_start):
    similarity = hierarchy(20, 4)
    plain, informed = separate(20, 4), separate(20, 4, semantics=similarity)
    assert_unit(informed)
    assert class_semantics.rank_correlation(plain, similarity) < 0.2
    assert class_semantics.rank_correlation(informed, similarity) > 0.4
    assert class_semantics.ranking_loss(informed, similarity) < class_semantics.ranking_loss(plain, similarity) - 0.1
    assert max_cosine(plain) <= max_cosine(informed) < max_cosine(plain) + 0.05
    np.testing.assert_array_equal(informed, separate(20, 4, semantics=similarity))


def test_more_weight_more_order(one_start):
    similarity = hierarchy(20, 4)
    losses = [
        class_semantics.ranking_loss(separate(20, 4, semantics=similarity, semantics_weight=weight), similarity)
        for weight in (0.01, 0.1, 1.0)
    ]
    assert losses[0] > losses[1] > losses[2]


def test_semantics_reach_the_published_algorithm_too():
    similarity = hierarchy(12, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, informed = (separate(12, 3, method="paper", semantics=s) for s in (None, similarity))
    assert class_semantics.ranking_loss(informed, similarity) < class_semantics.ranking_loss(plain, similarity) - 0.05


def test_semantics_that_draw_classes_together_are_refused(one_start):
    with pytest.raises(ValueError, match=r"coincide, at cosine 1\.0+: semantics_weight \(1000\) must be smaller"):
        separate(20, 4, semantics=hierarchy(20, 4), semantics_weight=1000.0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_classes": 1}, "num_classes must be at least 2. Received: num_classes=1"),
        ({"dimensions": 0}, "dimensions must be at least 1. Received: dimensions=0"),
        ({"dimensions": 1}, "dimensions \\(1\\) must be at least 2 for more than 2 classes. Received: num_classes=5"),
        ({"method": "best"}, "method must be auto, annealed or paper. Received: method='best'"),
        ({"seed": -1}, "seed must be at least 0. Received: seed=-1"),
        ({"semantics": np.eye(4)}, "similarity has 4 classes, which must be num_classes \\(5\\)"),
        ({"semantics": np.ones((5, 3))}, "square"),
        ({"semantics": np.eye(5)}, "all others are equally near"),
        ({"semantics": np.triu(np.ones((5, 5)))}, "symmetric"),
        ({"semantics": np.full((5, 5), np.nan)}, "finite"),
        ({"semantics": np.eye(5), "semantics_weight": 0.0}, "semantics_weight must be above 0"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        separate(**{"num_classes": 5, "dimensions": 3, **arguments})


def test_prototypes_that_are_not_unit_are_refused():
    points = prototypes.simplex(4)
    points[2] *= 1.5
    with pytest.raises(ValueError, match="prototypes must have norm 1. Received: norm 1.5 for class 2"):
        max_cosine(points)
    with pytest.raises(ValueError, match="Received: norm nan for class 0"):
        max_cosine(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match=r"Received: shape=\(3,\)"):
        max_cosine(np.ones(3))
