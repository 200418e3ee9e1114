"""How far apart can K unit vectors be? Lower bounds on the largest cosine between any two of them.

- Simplex: -1 / (K - 1) for K <= d + 1, attained.
- Rankin 1955, "The Closest Packing of Spherical Caps in n Dimensions": 0 for d + 2 <= K <= 2 d, attained.
- Planar: cos(2 pi / K), attained by the regular polygon.
- Fejes Toth 1943 for d = 3, attained for K = 3, 4, 6 and 12.
- Levenshtein 1979, "On bounds for packings in n-dimensional Euclidean space", as in Levenshtein 1998, "Universal
  Bounds for Codes and Designs", section 6.1: for every K and d. Of its orders 1, 2, 3, ..., one applies to each K.

The Welch bound sqrt((K - d) / (d (K - 1))) is not among them: it bounds the largest absolute cosine, which counts
opposite vectors as close, and so lies above what is attained here.

Shape legend: K unit vectors, d dimensions.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import optimize

# (K, d): largest cosine of an arrangement that is proved optimal and that no formula above gives.
_PROVED_OPTIMA = {
    # Tammes' problem. Schuette, van der Waerden 1951 (7, 8, 9); Danzer 1963 (10, 11); Musin, Tarasov 2012 (13) and 2015
    # (14); Robinson 1961 (24). Those without a short form are the solutions of the equations of their contact graphs.
    (7, 3): 0.210138312730603,  # Root of 3 x^3 - 9 x^2 - 3 x + 1.
    (8, 3): (2 * math.sqrt(2) - 1) / 7,
    (9, 3): 1 / 3,
    (10, 3): 0.404394325216251,
    (11, 3): 1 / math.sqrt(5),
    (13, 3): 0.542636486829639,
    (14, 3): 0.563950300360505,
    (24, 3): 0.723078468333509,
    # de Laat, Leijenhorst, de Muinck Keizer 2024, "Optimality and uniqueness of the D4 root system".
    (24, 4): 1 / 2,
    (120, 4): (1 + math.sqrt(5)) / 4,  # The 600-cell; Boeroeczky 1978.
    # Arrangements that attain Levenshtein's bound: Cohn, Kumar 2007, "Universally optimal distribution of points on
    # spheres", table 1.
    (16, 5): 1 / 5,
    (27, 6): 1 / 4,
    (56, 7): 1 / 3,
    (240, 8): 1 / 2,
    (112, 21): 1 / 9,
    (162, 21): 1 / 7,
    (100, 22): 1 / 11,
    (275, 22): 1 / 6,
    (891, 22): 1 / 4,
    (552, 23): 1 / 5,
    (4600, 23): 1 / 3,
    (196560, 24): 1 / 2,
    # Cohn, de Laat, Leijenhorst 2024, "Optimality of spherical codes via exact semidefinite programming bounds".
    (56, 20): 1 / 15,
    (50, 21): 1 / 21,
    (77, 21): 1 / 12,
    (288, 16): 1 / 4,
    (4224, 64): 1 / 8,
}


def separation_bound(num_classes: int, dimensions: int) -> tuple[float, Literal["exact", "lower bound"]]:
    """The smallest largest cosine that `num_classes` unit vectors in `dimensions` dimensions can have.

    Returns:
        The value, and what it is: "exact" when an arrangement attains it, "lower bound" when none can be below it.

    Raises:
        ValueError: fewer than 2 classes or fewer than 1 dimension.
    """
    check_sizes(num_classes, dimensions)
    if num_classes <= dimensions + 1:
        return -1 / (num_classes - 1), "exact"
    if dimensions == 1:
        return 1.0, "exact"  # Three unit vectors on a line: two of them coincide.
    if num_classes <= 2 * dimensions:
        return 0.0, "exact"
    if dimensions == 2:
        return math.cos(2 * math.pi / num_classes), "exact"
    if (num_classes, dimensions) in _PROVED_OPTIMA:
        return _PROVED_OPTIMA[num_classes, dimensions], "exact"
    bound = levenshtein_bound(num_classes, dimensions)
    if dimensions == 3:
        bound = max(bound, fejes_toth_bound(num_classes))
        if num_classes == 12:
            return bound, "exact"  # The icosahedron.
    return bound, "lower bound"


def check_sizes(num_classes: int, dimensions: int):
    """Raises ValueError unless there are at least 2 classes and 1 dimension."""
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1. Received: dimensions={dimensions}")


def fejes_toth_bound(num_classes: int) -> float:
    """Lower bound for d = 3 and K >= 3: with K equal triangles around each vector, no arrangement could do better."""
    angle = math.pi * num_classes / (6 * (num_classes - 2))
    return (1 / math.sin(angle) ** 2 - 2) / 2  # From the squared distance 4 - 1 / sin^2.


def levenshtein_bound(num_classes: int, dimensions: int) -> float:
    """Lower bound for d >= 3 and any K >= 2.

    The number of vectors with cosines at most s is at most L_m(s), where the order m is set by the interval in which s
    lies. On their intervals the functions L_1, L_2, ... form one that is continuous and increasing, from 2 at s = -1;
    L_m covers the numbers between those of tight designs of strength m and m + 1. The bound is its inverse at K.
    """
    order = 1
    while _tight_design(order + 1, dimensions) < num_classes:
        order += 1
    lower, upper = _interval(order, dimensions)

    def excess(cosine: float) -> float:
        return _largest_code(order, dimensions, cosine) / num_classes - 1

    # The ends are known but for a rounding error, by which K may be just outside.
    if excess(lower) >= 0:
        return lower
    if excess(upper) <= 0:
        return upper
    return optimize.brentq(excess, lower, upper, xtol=1e-15, rtol=1e-14)


def _tight_design(strength: int, dimensions: int) -> int:
    """Delsarte, Goethals, Seidel 1977: the number of points that a design of this strength has at least."""
    half, d = strength // 2, dimensions
    if strength % 2:
        return 2 * math.comb(d + half - 1, d - 1)
    return math.comb(d + half - 1, d - 1) + math.comb(d + half - 2, d - 1)


def _interval(order: int, dimensions: int) -> tuple[float, float]:
    """The cosines for which Levenshtein's function of this order holds."""
    k = (order + 1) // 2
    if order % 2:
        return _largest_jacobi_zero(k - 1, 1, 1, dimensions), _largest_jacobi_zero(k, 1, 0, dimensions)
    return _largest_jacobi_zero(k, 1, 0, dimensions), _largest_jacobi_zero(k, 1, 1, dimensions)


def _largest_code(order: int, dimensions: int, cosine: float) -> float:
    """Levenshtein's L_m(s) in d dimensions, m = 2 k - 1 or 2 k."""
    k, d, s = (order + 1) // 2, dimensions, cosine
    polynomials = _gegenbauer(k + 1, d, s)
    if order % 2:
        ratio = (polynomials[k - 1] - polynomials[k]) / ((1 - s) * polynomials[k])
        return math.comb(k + d - 3, k - 1) * ((2 * k + d - 3) / (d - 1) - ratio)
    ratio = (1 + s) * (polynomials[k] - polynomials[k + 1]) / ((1 - s) * (polynomials[k] + polynomials[k + 1]))
    return math.comb(k + d - 2, k) * ((2 * k + d - 1) / (d - 1) - ratio)


def _gegenbauer(degree: int, dimensions: int, x: float) -> list[float]:
    """Gegenbauer polynomials of degree 0 .. `degree` for the sphere in d dimensions, each 1 at x = 1."""
    values = [1.0, x]
    for i in range(1, degree):
        values.append(((2 * i + dimensions - 2) * x * values[i] - i * values[i - 1]) / (i + dimensions - 2))
    return values


def _largest_jacobi_zero(degree: int, a: int, b: int, dimensions: int) -> float:
    """Of the Jacobi polynomial with parameters a + (d - 3) / 2 and b + (d - 3) / 2; -1 for degree 0.

    The zeros are the eigenvalues of the matrix of its recurrence (Golub, Welsch 1969, "Calculation of Gauss Quadrature
    Rules"). scipy.special.roots_jacobi also computes weights, which overflow in some hundred dimensions.
    """
    if degree == 0:
        return -1.0
    alpha, beta = a + (dimensions - 3) / 2, b + (dimensions - 3) / 2
    total = alpha + beta
    i = np.arange(degree)
    diagonal = (beta**2 - alpha**2) / ((2 * i + total) * (2 * i + total + 2))
    i = np.arange(1, degree)
    squares = 4 * i * (i + alpha) * (i + beta) * (i + total)
    squares /= (2 * i + total) ** 2 * (2 * i + total + 1) * (2 * i + total - 1)
    matrix = np.diag(diagonal) + np.diag(np.sqrt(squares), 1)
    return float(np.linalg.eigvalsh(matrix, UPLO="U")[-1])
