"""Logits of clouds of many sizes, one after the other, compiled on the backend that Keras runs on.

Shape legend: N points, C features, Q classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

Inputs = Mapping[str, np.ndarray]
"""`positions` (N, 3), `features` (N, C) and the arrays of `tfdlcv.data.pyramid`, of one cloud."""


def logits_function(network: keras.Model) -> Callable[[Inputs], np.ndarray]:
    """A function from the inputs of one cloud to its logits (N, Q) float32.

    TensorFlow traces it once for all sizes. JAX compiles it for each shape, so clouds with a pyramid get points of no
    consequence at their end until their number has four significant bits: their logits are cut off, and no other
    point has them as neighbours. On other backends Keras's `predict_on_batch` does it, as it comes.
    """
    import keras

    make = {"tensorflow": _of_tensorflow, "jax": _of_jax}.get(keras.backend.backend())
    if make is not None:
        return make(network)
    return lambda inputs: np.asarray(network.predict_on_batch(_batch(inputs))[0], np.float32)


def _of_tensorflow(network: keras.Model) -> Callable[[Inputs], np.ndarray]:
    import tensorflow as tf

    specs = {tensor.name: tf.TensorSpec(tensor.shape, str(tensor.dtype), name=tensor.name) for tensor in network.inputs}

    @tf.function(input_signature=[specs], autograph=False)
    def logits_of(inputs):
        return tf.cast(network(inputs, training=False), tf.float32)

    return lambda inputs: logits_of(_batch(inputs))[0].numpy()


def _of_jax(network: keras.Model) -> Callable[[Inputs], np.ndarray]:
    import jax

    @jax.jit
    def logits_of(trained, fixed, inputs):
        return network.stateless_call(trained, fixed, inputs, training=False)[0].astype("float32")

    def call(inputs: Inputs) -> np.ndarray:
        points = len(inputs["positions"])
        if "neighbors0" in inputs:  # Without, each point's logits may hang on all of them.
            inputs = {name: _lengthened(values) for name, values in inputs.items()}
        weights = (
            [variable.value for variable in variables]
            for variables in (network.trainable_variables, network.non_trainable_variables)
        )
        return np.asarray(logits_of(*weights, _batch(inputs))[0, :points])

    return call


def _batch(inputs: Inputs) -> dict[str, np.ndarray]:
    return {name: values[None] for name, values in inputs.items()}


def _lengthened(values: np.ndarray) -> np.ndarray:
    """`values` (N, ...) with rows of 0 behind them. As indices they say point 0, which is always there."""
    step = 2 ** max(len(values).bit_length() - 4, 0)
    missing = -len(values) % step
    return np.pad(values, ((0, missing), *((0, 0) for _ in values.shape[1:])))
