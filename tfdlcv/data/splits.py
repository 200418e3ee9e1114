"""Deterministic, stratified parts of a labelled data set.

Which part an example falls into depends on its name and class alone: the examples of a class are ordered by a hash of
their names, and a part takes the first of them. So parts are the same on every machine and for every trainer.seed, do
not change with a release of a random generator, and hardly change when examples are added.

Shape legend: N examples, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from tfdlcv.errors import UserError


def hashed_order(names: Sequence[str]) -> np.ndarray:
    """The indices (N,) int64 of `names`, in an order that is as good as random and a function of the names alone."""
    digests = [hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest() for name in names]
    return np.array(sorted(range(len(names)), key=lambda index: (digests[index], names[index])), np.int64)


def held_out(order: np.ndarray, labels: np.ndarray, count_of: Callable[[int], int]) -> tuple[np.ndarray, np.ndarray]:
    """Divides the examples `order` into those that stay and those that are held out, class by class.

    Args:
        order: indices (n,) of examples; the first ones of each class are held out.
        labels: class (N,) of each example.
        count_of: number of a class's examples -> how many of them are held out.

    Returns:
        (staying, held out): indices in the order of `order`, disjoint, together all of `order`.
    """
    rank, class_sizes = _ranks(labels[order])
    taken = rank < np.array([count_of(int(size)) for size in class_sizes], np.int64)[labels[order]]
    return order[~taken], order[taken]


def fraction_of(fraction: float) -> Callable[[int], int]:
    """`count_of` for `held_out`: the nearest number to `fraction`, but never the last example of a class."""
    return lambda size: min(round(size * fraction), max(size - 1, 0))


def limited(
    order: np.ndarray,
    labels: np.ndarray,
    *,
    train_limit: int | None = None,
    examples_per_class: int | tuple[int, int] | None = None,
    class_names: Sequence[str],
) -> np.ndarray:
    """The part of the training examples `order` that an experiment with few examples asks for.

    A smaller limit gives a subset of a larger one, so that learning curves compare like with like. `train_limit` takes
    from the classes in turn, so their numbers differ by at most one where each has enough examples. Two numbers of
    `examples_per_class` are those of the first class and of the last; the others' go evenly from one to the other.

    Raises:
        UserError: when there are fewer examples than asked for.
    """
    rank, class_sizes = _ranks(labels[order], num_classes=len(class_names))
    if examples_per_class is not None:
        first, last = examples_per_class if isinstance(examples_per_class, tuple) else (examples_per_class,) * 2
        counts = np.rint(np.linspace(first, last, len(class_names))).astype(np.int64)  # (K,)
        scarce = np.flatnonzero(class_sizes < counts)
        if len(scarce):
            raise UserError(
                f"data.examples_per_class ({counts[scarce[0]]}) is more than the {class_sizes[scarce[0]]} training "
                f"examples of class {class_names[scarce[0]]}"
            )
        return order[rank < counts[labels[order]]]
    if train_limit is not None:
        if train_limit > len(order):
            raise UserError(f"data.train_limit ({train_limit}) is more than the {len(order)} training examples")
        return order[np.argsort(rank, kind="stable")[:train_limit]]
    return order


def class_counts(labels: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """Number of examples of each class."""
    return tuple(int(count) for count in np.bincount(labels, minlength=num_classes))


def _ranks(labels: np.ndarray, num_classes: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How many examples of its class precede each example (n,), and the sizes (K,) of the classes."""
    class_sizes = np.bincount(labels, minlength=num_classes)
    by_class = np.argsort(labels, kind="stable")
    first_of_class = np.repeat(np.cumsum(class_sizes) - class_sizes, class_sizes)
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - first_of_class
    return rank, class_sizes
