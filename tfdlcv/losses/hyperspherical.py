"""Losses of hyperspherical prototype networks: point at a fixed prototype, or at a place between two poles.

Mettes, van der Pol, Snoek 2019, "Hyperspherical Prototype Networks". They sum over the batch; the losses here give a
value for each example, and Keras and the Task average them. With the paper's batches of 128, its learning rate of 0.01
is 1.28 for the average.

The gradient with respect to an embedding is orthogonal to it, and shrinks as 1 / norm. So without weight decay plain
gradient descent only ever lengthens embeddings, which lowers the effective learning rate. It vanishes for an embedding
that points at its target, but also for one that points the opposite way.

Class ids outside 0..K-1 and values outside their range are a ValueError where the numbers are at hand. In a function
that is traced or compiled they are not, and devices differ in what they do of themselves: there such an example's loss
is NaN, which stops a `Task`.

Every loss computes in float32, and has a finite gradient at embeddings of zero. `loss(y_true, y_pred)` is Keras's: a
mean (or what `reduction` says), divided by the number of replicas inside a replica. A `Task` instead takes
`batch_mean(loss.call(y_true, y_pred), valid)`.

Shape legend: B examples, K classes, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdlcv.ops import hypersphere
from tfdlcv.ops.prototypes import check_prototypes


@keras.saving.register_keras_serializable(package="tfdlcv")
class HypersphericalPrototypeLoss(keras.losses.Loss):
    """(1 - cos(z, p))^2 of an embedding z and the prototype p of its class, in [0, 4].

    Args:
        prototypes: (K, d) of norm 1, as `tfdlcv.ops.prototypes.separate` gives them.

    Call arguments:
        y_true: class ids (B,) or (B, 1).
        y_pred: embeddings (B, d) of any length.

    Returns of `call`:
        (B,) float32.

    Raises:
        ValueError: `prototypes` are not of norm 1, `y_pred` has not their d, or a class id is outside 0..K-1.
    """

    def __init__(
        self,
        prototypes: np.ndarray | Sequence[Sequence[float]],
        *,
        reduction: str = "sum_over_batch_size",
        name: str = "hyperspherical_prototype_loss",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.prototypes = check_prototypes(prototypes).astype("float32")

    def call(self, y_true, y_pred):
        return ops.square(1.0 - _cosine_to_own(self.prototypes, y_true, y_pred))

    def get_config(self):
        return {**super().get_config(), "prototypes": self.prototypes.tolist()}


@keras.saving.register_keras_serializable(package="tfdlcv")
class HypersphericalRegressionLoss(keras.losses.Loss):
    """(r - cos(z, pole))^2, where r goes from -1 for the value `lower` to 1 for `upper`.

    Args:
        pole: (d,) of norm 1, the place of `upper`; that of `lower` is opposite.
        lower, upper: the range of the values.
        clip: take values outside the range for its nearest end. Otherwise they are an error.

    Call arguments:
        y_true: values (B,) or (B, 1), in the units of `lower` and `upper`.
        y_pred: embeddings (B, d) of any length.

    Returns of `call`:
        (B,) float32.

    Raises:
        ValueError: `pole` is not of norm 1, `lower` is not less than `upper`, `y_pred` has not the pole's d, or a value
            is outside the range and `clip` is off.
    """

    def __init__(
        self,
        pole: np.ndarray | Sequence[float],
        lower: float,
        upper: float,
        *,
        clip: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "hyperspherical_regression_loss",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.pole = np.asarray(pole, np.float32)
        if self.pole.ndim != 1 or not abs(np.linalg.norm(self.pole) - 1) <= 1e-3:
            raise ValueError(
                f"pole must be a vector (d,) of norm 1. Received: shape={self.pole.shape}, "
                f"norm={np.linalg.norm(self.pole):g}"
            )
        hypersphere.check_interval(lower, upper)
        self.lower, self.upper, self.clip = float(lower), float(upper), clip

    def call(self, y_true, y_pred):
        _check_dimensions(y_pred, len(self.pole), "pole")
        values = _flat(y_true)
        position = hypersphere.value_to_cosine(values, lower=self.lower, upper=self.upper)
        if not self.clip:
            # 1e-5: an end of the range may be rounded to just beyond it.
            rule = f"values must be in [{self.lower:g}, {self.upper:g}], or clip be on"
            position = _nan_unless(ops.abs(position) <= 1.0 + 1e-5, position, values, rule)
        position = ops.clip(position, -1.0, 1.0)
        return ops.square(position - hypersphere.cosine(y_pred, self.pole))

    def get_config(self):
        return {
            **super().get_config(),
            "pole": self.pole.tolist(),
            "lower": self.lower,
            "upper": self.upper,
            "clip": self.clip,
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class HypersphericalJointLoss(keras.losses.Loss):
    """`weight` * classification + (1 - `weight`) * regression, in the same space.

    The first of the d dimensions is the axis of the values. Classes have their prototypes in the other d - 1, and the
    direction of an embedding's part there is what is compared with them: so an embedding can be right in both. (As in
    the authors' code for OmniArt, where axis 0 is the year.)

    Args:
        prototypes: (K, d - 1) of norm 1.
        lower, upper, clip: as for `HypersphericalRegressionLoss`.
        weight: in [0, 1].

    Call arguments:
        y_true: dict of `label`, class ids (B,), and `value`, numbers (B,).
        y_pred: embeddings (B, d).

    Returns of `call`:
        (B,) float32.
    """

    def __init__(
        self,
        prototypes: np.ndarray | Sequence[Sequence[float]],
        lower: float,
        upper: float,
        *,
        weight: float = 0.5,
        clip: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "hyperspherical_joint_loss",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must be in [0, 1]. Received: weight={weight}")
        self.weight = weight
        self.classification = HypersphericalPrototypeLoss(prototypes)
        dimensions = self.classification.prototypes.shape[1] + 1
        self.regression = HypersphericalRegressionLoss(first_axis(dimensions), lower, upper, clip=clip)

    def call(self, y_true, y_pred):
        parts = self.parts(y_true, y_pred)
        return self.weight * parts["classification"] + (1.0 - self.weight) * parts["regression"]

    def parts(self, y_true, y_pred):
        """{"classification": (B,), "regression": (B,)}, not yet weighted."""
        _check_dimensions(y_pred, len(self.regression.pole), "prototypes and the axis of the values")
        return {
            "classification": self.classification.call(y_true["label"], y_pred[..., 1:]),
            "regression": self.regression.call(y_true["value"], y_pred),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "prototypes": self.classification.prototypes.tolist(),
            "lower": self.regression.lower,
            "upper": self.regression.upper,
            "weight": self.weight,
            "clip": self.regression.clip,
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class MaximumSeparationLoss(keras.losses.Loss):
    """Cross-entropy of `scale` * z P, where the columns of P are the vertices of a simplex and are not trained.

    Kasarla et al. 2022, "Maximum Class Separation as Inductive Bias in One Matrix". The embedding is not normalised.

    Args:
        prototypes: (K, d) of norm 1; in the paper the simplex, d = K - 1.
        scale: the paper's rho: 0.1 for its residual networks, 1 for AlexNet.

    Call arguments:
        y_true: class ids (B,) or (B, 1).
        y_pred: embeddings (B, d).
    """

    def __init__(
        self,
        prototypes: np.ndarray | Sequence[Sequence[float]],
        *,
        scale: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "maximum_separation_loss",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.prototypes = check_prototypes(prototypes).astype("float32")
        if scale <= 0:
            raise ValueError(f"scale must be above 0. Received: scale={scale}")
        self.scale = scale

    def logits(self, y_pred):
        """(B, d) -> (B, K) float32."""
        _check_dimensions(y_pred, self.prototypes.shape[1], "prototypes")
        return self.scale * ops.matmul(ops.cast(y_pred, "float32"), self.prototypes.T)

    def call(self, y_true, y_pred):
        return class_cross_entropy(self.logits(y_pred), y_true)

    def get_config(self):
        return {**super().get_config(), "prototypes": self.prototypes.tolist(), "scale": self.scale}


def own_cosine(cosines, class_ids):
    """The cosine to the own class, of (B, K) and ids (B,) -> (B,); NaN for an id outside 0..K-1."""
    num_classes = cosines.shape[-1]
    class_ids = ops.cast(_flat(class_ids), "int32")
    own = ops.sum(ops.one_hot(class_ids, num_classes, dtype="float32") * ops.cast(cosines, "float32"), axis=-1)
    return _nan_unless_class(own, class_ids, num_classes)


def class_cross_entropy(logits, class_ids):
    """-log softmax of the own class, (B, K) and ids (B,) -> (B,); NaN for an id outside 0..K-1."""
    num_classes = logits.shape[-1]
    class_ids = ops.cast(_flat(class_ids), "int32")
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    loss = -ops.sum(ops.one_hot(class_ids, num_classes, dtype="float32") * log_probabilities, axis=-1)
    return _nan_unless_class(loss, class_ids, num_classes)


def first_axis(dimensions: int) -> np.ndarray:
    """(d,) float32: the unit vector of the first axis."""
    return np.eye(dimensions, dtype=np.float32)[0]


def _cosine_to_own(prototypes: np.ndarray, class_ids, embeddings):
    _check_dimensions(embeddings, prototypes.shape[1], "prototypes")
    class_ids = ops.cast(_flat(class_ids), "int32")
    inside = ops.clip(class_ids, 0, len(prototypes) - 1)
    cosine = hypersphere.cosine(embeddings, ops.take(ops.convert_to_tensor(prototypes), inside, axis=0))
    return _nan_unless_class(cosine, class_ids, len(prototypes))


def _nan_unless_class(values, class_ids, num_classes: int):
    known = ops.logical_and(class_ids >= 0, class_ids < num_classes)
    return _nan_unless(known, values, class_ids, f"class ids must be in 0..{num_classes - 1}")


def _nan_unless(right, values, received, rule: str):
    """`values` (B,), NaN where not `right` (B,); or, where the numbers are at hand, an error about `received` (B,)."""
    try:
        wrong = np.asarray(received)[~np.asarray(right)]
    except (NotImplementedError, TypeError, ValueError):  # TensorFlow, JAX and Keras, of a tensor without numbers.
        return ops.where(right, values, ops.full_like(values, float("nan")))
    if len(wrong):
        raise ValueError(f"{rule}. Received: {wrong[0]:g}")
    return values


def _flat(y_true):
    """(B,) or (B, 1) -> (B,)."""
    y_true = ops.convert_to_tensor(y_true)
    return ops.squeeze(y_true, axis=-1) if len(y_true.shape) == 2 else y_true


def _check_dimensions(embeddings, dimensions: int, source: str):
    if embeddings.shape[-1] != dimensions:
        raise ValueError(
            f"embeddings must have the {dimensions} dimensions of the {source}. "
            f"Received: shape={tuple(embeddings.shape)}"
        )
