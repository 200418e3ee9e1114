"""Two optimisers that push K unit vectors apart: an annealed one, and the published one.

`annealed` minimises a smooth form of the largest cosine, (1 / t) log(sum over pairs of exp(t cos)), by L-BFGS. The
sharpness t grows until the smooth form is the maximum but for 1e-5. What is found depends on the t in the beginning:
small ones find the regular arrangements of many dimensions, large ones the irregular ones of few. So it begins at
several, and the best result stands.

`paper` is the algorithm of Mettes, van der Pol, Snoek 2019, "Hyperspherical Prototype Networks", as their code has it:
gradient descent on the mean over classes of the largest cosine. Its gradient pulls a prototype straight away from its
nearest neighbour, and vanishes on the sphere where the two coincide; so prototypes that meet stay together for good.

Both run on the host, in float64 on one thread: results do not depend on the number of cores.

Shape legend: K classes, d dimensions.
"""

from __future__ import annotations

import numpy as np
import threadpoolctl
from scipy import optimize

from tfdlcv.ops import class_semantics
from tfdlcv.ops.class_semantics import Triplets

VERSION = 1
"""Part of the key of cached results: raise it when a change here changes results."""

PAPER_STEPS = 10_000  # Default of the authors' code; the paper's text has 1,000.
_PAPER_LEARNING_RATE = 0.1  # Authors' code. Its momentum of 0.9 has no effect: each step makes a new optimiser.

# In 6 dimensions and more, beginning above 15 was worse on every size tried (K = 100, 128, 200).
_FIRST_SHARPNESSES = (5.0, 1.0, 15.0)
_FIRST_SHARPNESSES_LOW_DIMENSIONS = (5.0, 1.0, 60.0, 15.0, 150.0)
_LAST_SHARPNESS = 2e6  # log(pairs) / t, by which the smooth maximum is off, is then about 1e-5.
_BLOCK_ELEMENTS = 1 << 22  # Cosines held at a time, 32 MiB: bounds memory for tens of thousands of classes.
_MAX_TRIPLETS = 100_000  # 2 ms an evaluation. Each pair of 100 classes is then in 20 of them.


def annealed(
    num_classes: int, dimensions: int, *, seed: int, similarity: np.ndarray | None = None, semantics_weight: float = 1.0
) -> np.ndarray:
    """Unit vectors (K, d) float64, well separated; with `similarity` (K, K), also ordered by it."""
    ordered = None if similarity is None else class_semantics.triplets(similarity, limit=_MAX_TRIPLETS, seed=seed)
    starts, factor, iterations = _effort(num_classes, with_semantics=ordered is not None)
    firsts = _FIRST_SHARPNESSES_LOW_DIMENSIONS if dimensions <= 5 else _FIRST_SHARPNESSES
    best, best_objective = None, np.inf
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        for start in range(starts):
            generator = np.random.default_rng([seed, start])
            points = _normalize(generator.standard_normal((num_classes, dimensions)))
            sharpness = firsts[start % len(firsts)]
            while sharpness < _LAST_SHARPNESS:
                points = _descend(points, sharpness, iterations, ordered, semantics_weight)
                sharpness *= factor
            objective = largest_cosine(points)
            if ordered is not None:
                objective += semantics_weight * class_semantics.ranking_loss_and_slopes(points @ points.T, ordered)[0]
            if objective < best_objective:
                best, best_objective = points, objective
    return best


def paper(
    num_classes: int,
    dimensions: int,
    *,
    seed: int,
    steps: int = PAPER_STEPS,
    similarity: np.ndarray | None = None,
    semantics_weight: float = 1.0,
) -> np.ndarray:
    """Unit vectors (K, d) float64 of the published algorithm; some of them may coincide."""
    ordered = None if similarity is None else class_semantics.triplets(similarity, limit=_MAX_TRIPLETS, seed=seed)
    points = _normalize(np.random.default_rng(seed).standard_normal((num_classes, dimensions)))
    rows = np.arange(num_classes)
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        for _ in range(steps):
            cosines = points @ points.T
            if ordered is not None:
                slopes = class_semantics.ranking_loss_and_slopes(cosines, ordered)[1]
            np.fill_diagonal(cosines, -np.inf)
            nearest = np.argmax(cosines, axis=1)
            # Of cos(p_k, p_nearest(k)) with respect to p_k, and then to p_nearest(k).
            gradient = points[nearest]
            np.add.at(gradient, nearest, points[rows])
            gradient /= num_classes
            if ordered is not None:
                gradient += semantics_weight * (slopes + slopes.T) @ points
            points = _normalize(points - _PAPER_LEARNING_RATE * gradient)
    return points


def largest_cosine(points: np.ndarray) -> float:
    """The largest cosine between two of the unit vectors (K, d)."""
    largest = -np.inf
    for first, block in _blocks(points):
        block[np.arange(len(block)), np.arange(first, first + len(block))] = -np.inf
        largest = max(largest, float(block.max()))
    return largest


def _effort(num_classes: int, *, with_semantics: bool) -> tuple[int, float, int]:
    """-> starts, factor between sharpnesses, L-BFGS iterations at each sharpness.

    An evaluation costs about 30 us + K^2 * 20 ns. All starts together take some 10 s, 1,000 classes under a minute.
    """
    pairs = num_classes**2
    starts = min(max(100_000 // (pairs + 1500), 1), 60)
    if with_semantics:
        starts = -(-starts // 4)
    if num_classes <= 300:
        return starts, 2.0, 200
    return starts, 4.0, int(min(max(150_000_000 // pairs, 20), 150))


def _descend(
    points: np.ndarray, sharpness: float, iterations: int, ordered: Triplets | None, semantics_weight: float
) -> np.ndarray:
    """Unit vectors (K, d) near a minimum of the smooth maximum, from `points` on."""
    shape = points.shape

    def objective(flat):
        free = flat.reshape(shape)  # Any length but 0; its direction is what counts.
        norms = np.linalg.norm(free, axis=1, keepdims=True)
        unit = free / norms
        value, gradient = _smooth_maximum(unit, sharpness)
        if ordered is not None:
            loss, slopes = class_semantics.ranking_loss_and_slopes(unit @ unit.T, ordered)
            value += semantics_weight * loss
            gradient += semantics_weight * (slopes + slopes.T) @ unit
        tangent = gradient - np.sum(gradient * unit, axis=1, keepdims=True) * unit
        return value, (tangent / norms).ravel()

    result = optimize.minimize(
        objective,
        points.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 1e-12},
    )
    return _normalize(result.x.reshape(shape))


def _smooth_maximum(points: np.ndarray, sharpness: float) -> tuple[float, np.ndarray]:
    """-> (1 / t) log(sum over pairs of exp(t cos)), its gradient with respect to `points` (K, d)."""
    total, largest = 0.0, -np.inf
    gradient = np.empty_like(points)
    for first, block in _blocks(points):
        last = first + len(block)
        block[np.arange(len(block)), np.arange(first, last)] = -np.inf  # Itself is no pair.
        block_largest = float(block.max())
        if block_largest > largest:  # Sums are relative to the largest so far, so that exp cannot overflow.
            shrink = np.exp(sharpness * (largest - block_largest))
            total *= shrink
            gradient[:first] *= shrink
            largest = block_largest
        block -= largest
        block *= sharpness
        np.exp(block, out=block)
        total += float(block.sum())
        gradient[first:last] = block @ points
    total /= 2  # Each pair was met twice.
    return largest + np.log(total) / sharpness, gradient / total


def _blocks(points: np.ndarray):
    """(first row, cosines of a block of rows with all points), block by block."""
    rows = max(_BLOCK_ELEMENTS // len(points), 1)
    for first in range(0, len(points), rows):
        yield first, points[first : first + rows] @ points.T


def _normalize(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)
