"""Class prototypes: K points on the unit hypersphere in d dimensions, as far from each other as can be.

Mettes, van der Pol, Snoek 2019, "Hyperspherical Prototype Networks": the prototypes are placed before training, and a
network then learns to point at the prototype of an image's class. Where the best places are known in closed form they
are used; elsewhere an optimiser finds good ones, and `separation_bound` says how much better any could be.

NumPy arrays on the host; nothing here enters a network's graph.

Shape legend: K classes, d dimensions.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np

from tfdlcv.ops import class_semantics, prototype_cache, prototype_separation
from tfdlcv.ops.separation_bounds import check_sizes, separation_bound

__all__ = [
    "cross_polytope",
    "max_cosine",
    "orthogonal_simplices",
    "regular_polygon",
    "separate",
    "separation_bound",
    "simplex",
]


def simplex(num_classes: int) -> np.ndarray:
    """(K, K - 1) float32: K vertices of the regular simplex, each at cosine -1 / (K - 1) to every other.

    Vertex 0 is (1, 0, ...), and the others, without their first coordinate, are a simplex of one vertex less: the
    construction of Kasarla et al. 2022, "Maximum Class Separation as Inductive Bias in One Matrix", unrolled.
    """
    check_sizes(num_classes, 1)
    return _simplex(num_classes).astype(np.float32)


def _simplex(num_classes: int) -> np.ndarray:
    vertices = np.zeros((num_classes, num_classes - 1))
    scale = 1.0  # Of the simplex that is left once the first `i` coordinates are fixed.
    for i in range(num_classes - 1):
        others = num_classes - 1 - i
        vertices[i, i] = scale
        vertices[i + 1 :, i] = -scale / others
        scale *= math.sqrt(1 - 1 / others**2)
    return vertices


def cross_polytope(dimensions: int) -> np.ndarray:
    """(2 d, d) float32: the unit vectors of all axes and, after them, their opposites. The largest cosine is 0."""
    check_sizes(2, dimensions)
    return np.concatenate([np.eye(dimensions), -np.eye(dimensions)]).astype(np.float32)


def orthogonal_simplices(num_classes: int, dimensions: int) -> np.ndarray:
    """(K, d) float32 for 2 <= K <= 2 d: the optimum, by simplices in subspaces that are orthogonal to each other.

    One simplex for K <= d + 1, and K - d of them, of equal size but for one vertex, for more classes. For K = 2 d they
    are d pairs of opposites, the cross-polytope. In between, part of the cross-polytope would do for the largest
    cosine, 0; but here, besides, every class has others on its far side.

    Raises:
        ValueError: for K > 2 d.
    """
    check_sizes(num_classes, dimensions)
    if num_classes > 2 * dimensions:
        raise ValueError(f"num_classes ({num_classes}) must be at most twice dimensions ({dimensions})")
    parts = max(num_classes - dimensions, 1)
    points = np.zeros((num_classes, dimensions))
    row = column = 0
    for part in range(parts):
        vertices = num_classes // parts + (part < num_classes % parts)
        points[row : row + vertices, column : column + vertices - 1] = _simplex(vertices)
        row, column = row + vertices, column + vertices - 1
    return points.astype(np.float32)


def regular_polygon(num_classes: int) -> np.ndarray:
    """(K, 2) float32: K points evenly around the circle, from (1, 0) on."""
    check_sizes(num_classes, 2)
    angles_radians = 2 * math.pi * np.arange(num_classes) / num_classes
    return np.stack([np.cos(angles_radians), np.sin(angles_radians)], axis=1).astype(np.float32)


def separate(
    num_classes: int,
    dimensions: int,
    *,
    method: Literal["auto", "annealed", "paper"] = "auto",
    seed: int = 0,
    semantics: np.ndarray | None = None,
    semantics_weight: float = 1.0,
    cache: bool = True,
) -> np.ndarray:
    """Well-separated prototypes, the same on every call with the same arguments.

    Args:
        num_classes: K, at least 2.
        dimensions: d, at least 1. One dimension holds no more than 2 classes.
        method: "auto" takes the closed form where it is an optimum (K <= 2 d, or d = 2) and no semantics are given, and
            "annealed" otherwise. "annealed" is the optimiser of this package, "paper" the published one; see
            `prototype_separation`.
        seed: of the random beginnings of the optimisers; closed forms have none.
        semantics: similarity (K, K) of the classes, as `class_semantics` makes it from word vectors or a hierarchy:
            the more similar two classes, the nearer their prototypes, at some cost in separation.
        semantics_weight: weight of the ranking loss beside the largest cosine; in the lecture, 1.
        cache: keep the optimisers' results in the user's cache folder ($XDG_CACHE_HOME, or ~/.cache), and use those
            that are there.

    Returns:
        (K, d) float32 of norm 1.

    Raises:
        ValueError: an argument is out of range, or the semantics do not fit.

    Warns:
        UserWarning: "paper" left prototypes (nearly) coincident, which its gradient cannot separate. The other methods
            never do.
    """
    check_sizes(num_classes, dimensions)
    if dimensions == 1 and num_classes > 2:
        raise ValueError(
            f"dimensions (1) must be at least 2 for more than 2 classes. Received: num_classes={num_classes}"
        )
    if method not in ("auto", "annealed", "paper"):
        raise ValueError(f"method must be auto, annealed or paper. Received: method={method!r}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0. Received: seed={seed}")
    if semantics is None and method == "auto":
        if num_classes <= 2 * dimensions:
            return orthogonal_simplices(num_classes, dimensions)
        if dimensions == 2:
            return regular_polygon(num_classes)
    if semantics is not None:
        semantics = class_semantics.check_similarity(semantics, num_classes)
        if semantics_weight <= 0:
            raise ValueError(f"semantics_weight must be above 0. Received: semantics_weight={semantics_weight}")
    prototypes = _optimised(
        num_classes, dimensions, "annealed" if method == "auto" else method, seed, semantics, semantics_weight, cache
    )
    _check_distinct(prototypes, method, semantics_weight if semantics is not None else None)
    return prototypes


def max_cosine(prototypes: np.ndarray) -> float:
    """The largest cosine between two prototypes (K, d): the smaller, the better they are separated.

    Raises:
        ValueError: fewer than 2 prototypes, or one whose norm is not 1.
    """
    return prototype_separation.largest_cosine(check_prototypes(prototypes))


def check_prototypes(prototypes: np.ndarray) -> np.ndarray:
    """`prototypes` as float64 (K, d) of norm 1.

    Raises:
        ValueError: there are fewer than 2, or a norm is off by more than 1e-3; what is less is put right.
    """
    prototypes = np.asarray(prototypes, np.float64)
    if prototypes.ndim != 2:
        raise ValueError(f"prototypes must have the shape (classes, dimensions). Received: shape={prototypes.shape}")
    check_sizes(*prototypes.shape)
    norms = np.linalg.norm(prototypes, axis=1)
    faulty = np.flatnonzero(~(np.abs(norms - 1) <= 1e-3))  # So written, NaN is faulty.
    if len(faulty):
        raise ValueError(f"prototypes must have norm 1. Received: norm {norms[faulty[0]]:g} for class {faulty[0]}")
    return prototypes / norms[:, None]


def _optimised(num_classes, dimensions, method, seed, semantics, semantics_weight, cache) -> np.ndarray:
    arguments = {
        "version": prototype_separation.VERSION,
        "num_classes": num_classes,
        "dimensions": dimensions,
        "method": method,
        "seed": seed,
    }
    arrays = ()
    if semantics is not None:
        arguments["semantics_weight"] = semantics_weight
        arrays = (semantics,)
    name = f"{num_classes}x{dimensions}-{method}-{prototype_cache.content_key(arguments, *arrays)}.npy"
    path = prototype_cache.default_folder() / name
    found = prototype_cache.load(path, (num_classes, dimensions)) if cache else None
    if found is not None:
        return found
    optimise = prototype_separation.annealed if method == "annealed" else prototype_separation.paper
    points = optimise(num_classes, dimensions, seed=seed, similarity=semantics, semantics_weight=semantics_weight)
    prototypes = points.astype(np.float32)
    if cache:
        prototype_cache.save(path, prototypes)
    return prototypes


def _check_distinct(prototypes: np.ndarray, method: str, semantics_weight: float | None):
    """Whether two prototypes are a hundred times nearer, by 1 - cos, than the optimum allows."""
    largest = max_cosine(prototypes)
    bound, _ = separation_bound(*prototypes.shape)
    if 1 - largest >= 0.01 * (1 - bound):
        return
    if method == "paper":
        warnings.warn(
            f"two prototypes (nearly) coincide: their cosine is {largest:.6f}, where {bound:.6f} may be possible. The "
            "published algorithm cannot separate prototypes that have met; method auto does",
            stacklevel=3,
        )
    else:
        raise ValueError(
            f"two prototypes (nearly) coincide, at cosine {largest:.6f}: "
            f"semantics_weight ({semantics_weight:g}) must be smaller"
        )
