import math

import numpy as np
import pytest

from tfdlcv.ops import separation_bounds
from tfdlcv.ops.separation_bounds import fejes_toth_bound, levenshtein_bound, separation_bound


@pytest.mark.parametrize(
    "num_classes, dimensions, value",
    [
        (2, 1, -1),
        (3, 2, -1 / 2),
        (3, 7, -1 / 2),  # Dimensions beyond K - 1 do not help.
        (100, 99, -1 / 99),
        (100, 200, -1 / 99),
        (102, 100, 0),  # Rankin.
        (200, 100, 0),
        (4, 2, 0),
        (5, 2, math.cos(2 * math.pi / 5)),
        (10, 2, 0.8090170),
        (3, 1, 1),  # Two of three must coincide.
        (12, 3, 1 / math.sqrt(5)),
        (10, 3, 0.404394325216),
        (24, 4, 1 / 2),
        (120, 4, math.cos(math.pi / 5)),
        (27, 6, 1 / 4),
        (240, 8, 1 / 2),
        (275, 22, 1 / 6),
    ],
)
def test_exact_values(num_classes, dimensions, value):
    bound, kind = separation_bound(num_classes, dimensions)
    assert kind == "exact"
    assert bound == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize(
    "num_classes, dimensions, value",
    [(100, 5, 0.6435), (100, 10, 0.2784), (100, 25, 0.0688), (200, 50, 0.0367)],
)
def test_lower_bounds(num_classes, dimensions, value):
    bound, kind = separation_bound(num_classes, dimensions)
    assert kind == "lower bound"
    assert bound == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    "order, num_classes, dimensions, value",
    [
        (1, 7, 12, -1 / 6),
        (2, 20, 12, (20 - 24) / (12 * 18)),  # L_2(s) = 2 d (1 - s) / (1 - d s), solved for s.
        (3, 27, 6, 1 / 4),
        (3, 100, 22, 1 / 11),
        (4, 12, 3, 1 / math.sqrt(5)),
        (5, 891, 22, 1 / 4),
        (6, 240, 8, 1 / 2),
        (10, 196560, 24, 1 / 2),
    ],
)
def test_levenshtein_of_every_order(order, num_classes, dimensions, value):
    assert levenshtein_bound(num_classes, dimensions) == pytest.approx(value, abs=1e-9)
    sizes = [separation_bounds._tight_design(strength, dimensions) for strength in (order, order + 1)]
    assert sizes[0] < num_classes <= sizes[1]


def test_third_order_is_the_root_of_its_quadratic():
    for k, d in [(100, 25), (1000, 128), (64, 20)]:
        a, b, c = d * (k - d - 1), d * (d - 1), -(k - 2 * d)
        root = (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)
        assert levenshtein_bound(k, d) == pytest.approx(root, abs=1e-12)


@pytest.mark.parametrize("dimensions", [3, 4, 8, 50, 700])
def test_levenshtein_rises_with_the_classes_across_orders(dimensions):
    sizes = np.unique(np.geomspace(3, 50 * dimensions**2, 60).astype(int))
    bounds = [levenshtein_bound(int(k), dimensions) for k in sizes]
    assert (np.diff(bounds) > 0).all()
    assert all(-1 < bound < 1 for bound in bounds)


def test_largest_zeros_are_those_of_the_jacobi_polynomials():
    special = pytest.importorskip("scipy.special")
    for degree, a, b, dimensions in [(1, 1, 0, 3), (4, 1, 0, 5), (7, 1, 1, 10)]:
        zeros, _ = special.roots_jacobi(degree, a + (dimensions - 3) / 2, b + (dimensions - 3) / 2)
        largest = separation_bounds._largest_jacobi_zero(degree, a, b, dimensions)
        assert largest == pytest.approx(zeros.max(), abs=1e-12)


def test_fejes_toth_is_attained_by_triangle_tetrahedron_octahedron_and_icosahedron():
    for num_classes, value in [(3, -1 / 2), (4, -1 / 3), (6, 0), (12, 1 / math.sqrt(5))]:
        assert fejes_toth_bound(num_classes) == pytest.approx(value, abs=1e-12)
    assert separation_bound(100, 3)[0] == fejes_toth_bound(100) > levenshtein_bound(100, 3)


def test_no_proved_optimum_is_below_a_bound():
    for (num_classes, dimensions), value in separation_bounds._PROVED_OPTIMA.items():
        assert num_classes > 2 * dimensions
        assert value >= levenshtein_bound(num_classes, dimensions) - 1e-9
        if dimensions == 3:
            assert value >= fejes_toth_bound(num_classes)


def test_not_welch():
    """For (100, 50) Welch gives 0.1005, but the cross-polytope has 0."""
    assert separation_bound(100, 50) == (0.0, "exact")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1, 3), "num_classes must be at least 2. Received: num_classes=1"),
        ((5, 0), "dimensions must be at least 1. Received: dimensions=0"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        separation_bound(*arguments)
