"""The mean over the examples of a batch that count."""

from keras import ops


def batch_mean(values, valid=None):
    """() float32, the mean of `values` (B,) over the examples for which `valid` (B,) is true; 0 if there are none.

    It is what `training.task.Task` takes as a loss: the mean over one replica's examples, not divided by the number of
    replicas. For a `keras.losses.Loss`, that is `batch_mean(loss.call(y_true, y_pred), valid)`; calling the loss itself
    inside a replica would divide, as Keras's own `fit` needs it.
    """
    values = ops.cast(values, "float32")
    if valid is None:
        return ops.mean(values)
    valid = ops.cast(valid, "bool")
    # `where`, not a product: the value of padding may be NaN.
    total = ops.sum(ops.where(valid, values, ops.zeros_like(values)))
    return total / ops.maximum(ops.sum(ops.cast(valid, "float32")), 1.0)
