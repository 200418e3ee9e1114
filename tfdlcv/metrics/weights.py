"""Labels and weights of metrics as flat vectors, with the checks that both need.

Shape legend: N predictions of any leading shape, K classes; flat vectors are (N,).
"""

from __future__ import annotations

from keras import ops


def flat_labels(y_true, y_pred):
    """Labels (N...) or (N..., 1) beside predictions (N..., K), as (N,) int32.

    Raises:
        ValueError: the shapes do not belong together.
    """
    y_true = ops.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    expected = tuple(y_pred.shape[:-1])
    if len(y_true.shape) != len(expected) or any(
        None not in (size, other) and size != other for size, other in zip(y_true.shape, expected, strict=True)
    ):
        raise ValueError(
            "y_true must hold one integer label for each prediction, "
            f"shape {expected}. Received: y_true.shape={tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
        )
    return ops.reshape(ops.cast(y_true, "int32"), (-1,))


def flat_weights(sample_weight, y_pred, *, dtype: str):
    """Weights that broadcast from the left to the predictions (N..., K), as (N,) of `dtype`; None weighs 1.

    Raises:
        ValueError: `sample_weight` has more axes than there are axes of predictions.
    """
    predictions = ops.shape(y_pred)[:-1]
    if sample_weight is None:
        return ops.reshape(ops.ones(predictions, dtype=dtype), (-1,))
    sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    missing_axes = len(y_pred.shape) - 1 - len(sample_weight.shape)
    if missing_axes < 0:
        raise ValueError(
            f"sample_weight must have at most {len(y_pred.shape) - 1} axes, one for each but the last axis of y_pred. "
            f"Received: sample_weight.shape={tuple(sample_weight.shape)}, y_pred.shape={tuple(y_pred.shape)}"
        )
    for _ in range(missing_axes):
        sample_weight = ops.expand_dims(sample_weight, axis=-1)
    return ops.reshape(ops.broadcast_to(sample_weight, predictions), (-1,))
