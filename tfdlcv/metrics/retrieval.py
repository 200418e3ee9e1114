"""How well embeddings find other examples of the same class: recall at k, and mean average precision.

Each example is a query, and all others are ranked by their cosine to it. Computed on the host over a whole data set,
since the neighbours of an example may be in any batch.

Shape legend: N examples, d dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_BLOCK_ELEMENTS = 1 << 24  # Cosines held at a time: 64 MiB.


def recall_at_k(embeddings: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 2, 4, 8)) -> dict[int, float]:
    """For each k, the share of queries that have an example of their class among the k nearest.

    Jegou, Douze, Schmid 2011, "Product Quantization for Nearest Neighbor Search", as image retrieval uses it.

    Args:
        embeddings: (N, d) of any length.
        labels: (N,) class ids. An example that is alone in its class is no query, but is ranked for others.
        ks: each at least 1.

    Raises:
        ValueError: shapes that do not fit, a k below 1, or no class with two examples.
    """
    if min(ks) < 1:
        raise ValueError(f"ks must be at least 1. Received: ks={list(ks)}")
    found = dict.fromkeys(ks, 0)
    queries = 0
    for relevant in _rankings(embeddings, labels):
        queries += len(relevant)
        for k in ks:
            found[k] += int(relevant[:, :k].any(axis=1).sum())
    return {k: count / queries for k, count in found.items()}


def mean_average_precision(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Mean over queries of the mean, over the ranks of the examples of their class, of the precision up to there.

    Arguments and errors are those of `recall_at_k`.
    """
    total, queries = 0.0, 0
    for relevant in _rankings(embeddings, labels):
        precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
        total += float(((precision * relevant).sum(axis=1) / relevant.sum(axis=1)).sum())
        queries += len(relevant)
    return total / queries


def _rankings(embeddings: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks (queries, N - 1) bool: whether the nearest, second nearest, ... example is of the query's class."""
    embeddings, labels = np.asarray(embeddings, np.float32), np.asarray(labels)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "embeddings must be (examples, dimensions) and labels (examples,). "
            f"Received: embeddings.shape={embeddings.shape}, labels.shape={labels.shape}"
        )
    classes, counts = np.unique(labels, return_counts=True)
    queries = np.flatnonzero(np.isin(labels, classes[counts > 1]))
    if not len(queries):
        raise ValueError("labels must hold some class twice: there is nothing to retrieve")
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)
    rows = max(_BLOCK_ELEMENTS // len(unit), 1)
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        distances = -(unit[block] @ unit.T)
        distances[np.arange(len(block)), block] = np.inf  # The query itself comes last, and is cut off.
        # Stable: of equally near examples, the first one in the data set comes first.
        order = np.argsort(distances, axis=1, kind="stable")[:, :-1]
        yield labels[order] == labels[block][:, None]
