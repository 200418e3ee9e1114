"""Recall at k and mean average precision as Keras metrics: they gather embeddings over an evaluation's batches.

Each example is a query, and all others are ranked by their cosine to it, as in `tfdlcv.metrics.retrieval`, which does
the same for arrays. Here the examples are kept in a variable of fixed size, which a strategy sums over its replicas.

Shape legend: B examples of a batch, N kept examples, d dimensions.
"""

from __future__ import annotations

import keras
from keras import ops

from tfdlcv.ops import hypersphere


class _RetrievalMetric(keras.metrics.Metric):
    """Keeps the embeddings and labels of an evaluation.

    Args:
        capacity: N, how many examples are kept. A result costs memory and time of about N^2.
        dimensions: d.
        stride: of the examples 0, 1, 2, ... of the data set, those that it divides are kept: a data set of more than
            `capacity` examples is thinned out evenly. What is beyond the capacity then is left out.

    Call arguments:
        y_true: dict of `label`, class ids (B,), and `id` (B,), the place of each example in its data set. Each id may
            come once between two resets.
        y_pred: embeddings (B, d) of any length.
        sample_weight: (B,); an example of weight 0 is left out.
    """

    def __init__(self, capacity: int, dimensions: int, *, stride: int = 1, name: str, dtype=None):
        super().__init__(name=name, dtype=dtype)
        for argument, value in {"capacity": capacity, "dimensions": dimensions, "stride": stride}.items():
            if value < 1:
                raise ValueError(f"{argument} must be at least 1. Received: {argument}={value}")
        self.capacity = capacity
        self.dimensions = dimensions
        self.stride = stride
        self.embeddings = self.add_variable((capacity, dimensions), "zeros", dtype="float32", name="embeddings")
        # Class ids and 1; 0 is none. float32, as devices differ in which sums of integers they can do.
        self.labels = self.add_variable((capacity,), "zeros", dtype="float32", name="labels")

    def update_state(self, y_true, y_pred, sample_weight=None):
        places = ops.cast(ops.reshape(y_true["id"], (-1,)), "int32")
        labels = ops.cast(ops.reshape(y_true["label"], (-1,)), "int32")
        kept = ops.logical_and(places % self.stride == 0, places // self.stride < self.capacity)
        if sample_weight is not None:
            kept = ops.logical_and(kept, ops.cast(ops.reshape(sample_weight, (-1,)), "float32") > 0)
        # One place more than is kept, for those that are not.
        places = ops.where(kept, places // self.stride, self.capacity)
        for variable, values in ((self.embeddings, y_pred), (self.labels, labels + 1)):
            added = ops.segment_sum(ops.cast(values, "float32"), places, num_segments=self.capacity + 1)
            variable.assign_add(added[: self.capacity])

    def _neighbors(self):
        """-> cosines (N, N), below -1 where there is no neighbour; whether two examples are of one class (N, N)."""
        unit = hypersphere.normalize(self.embeddings)
        present = self.labels > 0
        others = ops.logical_and(present[None, :], ops.logical_not(ops.eye(self.capacity, dtype="bool")))
        same = ops.logical_and(ops.equal(self.labels[:, None], self.labels[None, :]), others)
        return ops.where(others, ops.matmul(unit, ops.transpose(unit)), -2.0), same

    def get_config(self):
        config = {"capacity": self.capacity, "dimensions": self.dimensions, "stride": self.stride}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="tfdlcv")
class RecallAtK(_RetrievalMetric):
    """Share of queries that have an example of their class among the k nearest; 0 without any query.

    Args:
        k: at least 1.
        capacity, dimensions, stride: of what is kept, see the base class.
    """

    def __init__(self, k: int, capacity: int, dimensions: int, *, stride: int = 1, name: str | None = None, dtype=None):
        super().__init__(capacity, dimensions, stride=stride, name=name or f"recall_at_{k}", dtype=dtype)
        if k < 1:
            raise ValueError(f"k must be at least 1. Received: k={k}")
        self.k = k

    def result(self):
        cosines, same = self._neighbors()
        nearest = ops.top_k(cosines, min(self.k, self.capacity))[1]  # (N, k)
        found = ops.any(ops.take_along_axis(same, nearest, axis=1), axis=1)
        queries = ops.any(same, axis=1)
        return _mean_over(queries, ops.cast(found, "float32"))

    def get_config(self):
        return {**super().get_config(), "k": self.k}


@keras.saving.register_keras_serializable(package="tfdlcv")
class RetrievalAveragePrecision(_RetrievalMetric):
    """Mean over queries of the mean, over the ranks of the examples of their class, of the precision up to there.

    Args:
        capacity, dimensions, stride: of what is kept, see the base class.
    """

    def __init__(
        self, capacity: int, dimensions: int, *, stride: int = 1, name: str = "mean_average_precision", dtype=None
    ):
        super().__init__(capacity, dimensions, stride=stride, name=name, dtype=dtype)

    def result(self):
        cosines, same = self._neighbors()
        order = ops.argsort(-cosines, axis=1)
        relevant = ops.cast(ops.take_along_axis(same, order, axis=1), "float32")
        precision = ops.cumsum(relevant, axis=1) / ops.arange(1, self.capacity + 1, dtype="float32")
        count = ops.sum(relevant, axis=1)
        return _mean_over(count > 0, ops.sum(precision * relevant, axis=1) / ops.maximum(count, 1.0))


def _mean_over(queries, values):
    """The mean of `values` (N,) where `queries` (N,) is true; 0 if it never is."""
    total = ops.sum(ops.where(queries, values, 0.0))
    return total / ops.maximum(ops.sum(ops.cast(queries, "float32")), 1.0)
