"""Convolutions with groups and gaps have Keras's numbers, whichever kernel computes them."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import Conv2D, conv

CASES = [
    {"groups": 2},
    {"groups": 4, "strides": 2, "padding": "same", "use_bias": False},
    {"groups": 2, "dilation_rate": 2, "activation": "relu"},
    {"groups": 8, "kernel_size": (1, 3), "padding": "same"},
    {"groups": 1, "padding": "same"},
    {"dilation_rate": 3, "padding": "same"},
    {"dilation_rate": (1, 12), "padding": "same", "use_bias": False},  # Beyond the map.
    {"dilation_rate": 2, "padding": "valid"},
]


def both(arguments):
    """The layer and Keras's own, with the same weights."""
    arguments = {"filters": 8, "kernel_size": 3, **arguments}
    layers = Conv2D(**arguments), keras.layers.Conv2D(**arguments)
    for layer in layers:
        layer.build((None, 9, 8, 8))
    layers[0].set_weights([np.random.default_rng(0).normal(size=v.shape) for v in layers[0].weights])
    layers[1].set_weights(layers[0].get_weights())
    return layers


def outputs_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x)
        loss = tf.reduce_sum(outputs**2)
    return [outputs, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_outputs_and_gradients_are_keras_own(arguments):
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 9, 8, 8)), tf.float32)
    ours, peer = (outputs_and_gradients(layer, x) for layer in both(arguments))
    for one, two in zip(ours, peer, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


def compiled_functions(layer):
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 9, 8, 8), tf.float32)).graph
    functions = graph.as_graph_def().library.function
    return [f.signature.name for f in functions if "_XlaMustCompile" in f.attr and f.attr["_XlaMustCompile"].b]


def test_it_leaves_no_compiled_function_in_a_graph():
    if not conv.has_gradients("float32", True, False):
        pytest.skip("TensorFlow has no gradients of grouped convolutions on this machine")
    ours, peer = both({"groups": 2})
    assert not compiled_functions(ours)
    assert compiled_functions(peer)  # Once Keras does without, this layer is needed no more.


def test_it_takes_no_dilated_convolution_apart():
    if not conv.has_gradients("float32", False, True):
        pytest.skip("TensorFlow has no gradients of dilated convolutions on this machine")
    operations = [
        {o.type for o in tf.function(layer).get_concrete_function(tf.TensorSpec((2, 9, 8, 8))).graph.get_operations()}
        for layer in both({"dilation_rate": 3, "padding": "same"})
    ]
    assert ["SpaceToBatchND" in types for types in operations] == [False, True]  # Ours, and Keras's.


def test_within_xla():
    ours, peer = both({"groups": 4, "padding": "same"})
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 9, 8, 8)), tf.float32)
    compiled = tf.function(lambda x: outputs_and_gradients(ours, x), jit_compile=True)
    for one, two in zip(compiled(x), outputs_and_gradients(peer, x), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


def test_half_precision():
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 9, 8, 8)), tf.float32)
    layer = Conv2D(8, 3, groups=2, dtype="mixed_bfloat16")
    full = Conv2D(8, 3, groups=2)
    full.build(x.shape)
    layer.build(x.shape)
    layer.set_weights(full.get_weights())
    outputs = layer(x)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), full(x), atol=0.05)


def test_where_tensorflow_has_no_gradients_keras_takes_over():
    """Without oneDNN the kernels are Eigen's."""
    program = """
import tensorflow as tf
from tfdlcv.layers import Conv2D, conv

assert not conv.has_gradients("float32", True, False) and not conv.has_gradients("float32", False, True)
layer = Conv2D(4, 3, groups=2, kernel_initializer="ones")
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(tf.ones((1, 4, 4, 4))))
gradient = tape.gradient(loss, layer.kernel.value)
print(float(loss), float(tf.reduce_min(gradient)), float(tf.reduce_max(gradient)))
"""
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    # 2 x 2 positions of 4 maps, each a sum of 3 x 3 x 2 ones; every weight meets a one at each position.
    assert done.stdout.split() == ["288.0", "4.0", "4.0"], done.stderr[-2000:]
