"""Copies of a network whose ReLUs send gradients back by another rule: the one idea behind three kinds of pictures.

Of a ReLU with input x, and of the gradient g that reaches its output, goes back:

- plain: g where x > 0, the derivative (Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013);
- deconvnet: g where g > 0 (Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014);
- guided: g where both hold (Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for Simplicity", 2014).

Everything else keeps its derivative. That of a convolution is Zeiler and Fergus's transposed convolution; that of a max
pool sends each value to the place of the window's largest one, and so is their unpooling with switches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import keras
from keras import ops

from tfdlcv.visualization import network_graph

Rule = Literal["plain", "guided", "deconvnet"]
RULES = ("plain", "guided", "deconvnet")


def relu_rule(network: keras.Model, rule: Rule = "plain") -> keras.Model:
    """A flat copy of `network` in float32 (`network_graph.flat_copy`) with the same outputs and the rule's gradients.

    ReLUs are layers `ReLU` without slope and threshold (cut off above or not: no gradient passes the cut in `plain` and
    `guided`), `relu` and `relu6` as a layer's activation, and the operations of those names.

    Raises:
        ValueError: for another rule, or one but `plain` where the network has no ReLU, since it would change nothing.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}. Received: rule={rule!r}")
    if rule == "plain":
        return network_graph.flat_copy(network)
    replaced = []

    def change(operation):
        limit = _limit(operation)
        if limit is None:
            return operation
        replaced.append(operation)
        if hasattr(operation, "activation"):
            operation.activation = rectifier(rule, limit)
            return operation
        return keras.layers.Activation(rectifier(rule, limit), dtype="float32", name=operation.name)

    flat = network_graph.flat_copy(network, change)
    if not replaced:
        raise ValueError(f"{network.name} has no ReLU that the rule {rule!r} could change")
    return flat


def rectifier(rule: Rule, limit: float = math.inf) -> Callable:
    """min(max(x, 0), limit) of a tensor, elementwise, with the gradient of `rule`."""

    @ops.custom_gradient
    def rectify(x):
        def gradient(*arguments, upstream=None):
            if upstream is None:
                (upstream,) = arguments
            passes = ops.ones_like(x, dtype="bool")
            if rule in ("plain", "guided"):
                passes = ops.logical_and(x > 0, x < limit)
            if rule in ("deconvnet", "guided"):
                passes = ops.logical_and(passes, upstream > 0)
            return ops.where(passes, upstream, ops.zeros_like(upstream))

        return ops.clip(x, 0.0, limit) if limit < math.inf else ops.maximum(x, 0.0), gradient

    return rectify


def _limit(operation) -> float | None:
    """Where the operation's ReLU is cut off, infinite for a plain one; None if it has none."""
    if isinstance(operation, keras.layers.ReLU):
        if operation.negative_slope or operation.threshold:
            return None
        return math.inf if operation.max_value is None else float(operation.max_value)
    if not isinstance(operation, keras.layers.Layer):
        # Keras does not publish the classes of its operations, only the functions that make them.
        return {"Relu": math.inf, "Relu6": 6.0}.get(type(operation).__name__)
    activation = getattr(operation, "activation", None)
    if activation is keras.activations.relu:
        return math.inf
    return 6.0 if activation is keras.activations.relu6 else None
