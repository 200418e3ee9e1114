"""Signatures of a network for sequences: whole sequences, and, for temporal convolutional networks, frame by frame.

Shape legend: B sequences, T steps, N new frames, C channels, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.models.tcn_streaming import TcnStream
from tfdlcv.training.export import Serving, WarmupRequest


def sequence_serving(
    network: keras.Model,
    *,
    describe: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    labels: tuple[str, ...] = (),
    vocabulary_size: int | None = None,
    warmup_steps: int | None = None,
) -> Serving:
    """Serves `network`, which takes `sequence` (B, T, C) float32 or `tokens` (B, T) int32.

    `serving_default` takes the network's input, by its name. Of a network of `TemporalBlock`s there are also

        initial_state: `batch_size` () int32 -> `rows`, `position`.
        step: `frames` (B, N, ...), `rows`, `position`, `reset` (B,) bool -> the outputs for each of the N frames, and
            the new `rows` and `position`, to be sent with the next frames. `reset` marks sequences that begin anew.

    The outputs of `step` are those of the whole sequence to 1e-5 in float32. Inputs of another shape and tokens outside
    the vocabulary are an InvalidArgumentError.

    Args:
        describe: network outputs, (..., K) float32, -> named tensors for the client.
        labels: names of the K outputs.
        vocabulary_size: tokens must be in [0, vocabulary_size).
        warmup_steps: T of the warm-up request; default: the network's own T, or 1.
    """
    inputs = network.inputs[0]
    steps, *frame_shape = inputs.shape[1:]
    dtype = tf.as_dtype(keras.backend.standardize_dtype(inputs.dtype))

    def serve(values):
        values = _checked(tf.ensure_shape(values, (None, steps, *frame_shape)), vocabulary_size)
        return dict(describe(tf.cast(network(values, training=False), tf.float32)))

    # TensorFlow takes the names that clients use from the arguments.
    by_name = {"sequence": lambda sequence: serve(sequence), "tokens": lambda tokens: serve(tokens)}
    if inputs.name not in by_name:
        raise ValueError(f"the network's input must be one of {[*by_name]}. Received: {inputs.name}")
    spec = tf.TensorSpec((None, steps, *frame_shape), dtype, name=inputs.name)
    function = tf.function(by_name[inputs.name], input_signature=[spec], autograph=False)
    signatures = {"serving_default": function}
    example = np.zeros((1, warmup_steps or steps or 1, *frame_shape), dtype.as_numpy_dtype)
    requests = [WarmupRequest("serving_default", {inputs.name: example})]
    if any(isinstance(layer, TemporalBlock) for layer in _flat(network)):
        stream = TcnStream(network)
        signatures |= _streaming_signatures(stream, describe, vocabulary_size, dtype)
        state = {name: keras.ops.convert_to_numpy(value) for name, value in stream.initial_state(1).items()}
        requests += [
            WarmupRequest("initial_state", {"batch_size": np.array(1, np.int32)}),
            WarmupRequest("step", {"frames": example[:, :1], "reset": np.array([False]), **state}),
        ]
    return Serving(signatures=signatures, labels=labels, warmup_requests=tuple(requests))


def _streaming_signatures(stream: TcnStream, describe, vocabulary_size, dtype):
    rows_shape = (None, stream.rows, stream.width)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, *stream.frame_shape), dtype, name="frames"),
            tf.TensorSpec(rows_shape, tf.float32, name="rows"),
            tf.TensorSpec((None,), tf.int32, name="position"),
            tf.TensorSpec((None,), tf.bool, name="reset"),
        ],
        autograph=False,
    )
    def step(frames, rows, position, reset):
        frames = _checked(tf.ensure_shape(frames, (None, None, *stream.frame_shape)), vocabulary_size)
        rows = tf.ensure_shape(rows, rows_shape)
        sizes = [tf.shape(tensor)[0] for tensor in (frames, rows, position, reset)]
        alike = tf.debugging.Assert(
            tf.reduce_all(tf.stack(sizes) == sizes[0]),
            ["frames, rows, position and reset must be of as many sequences; they are of", *sizes],
        )
        with tf.control_dependencies([alike]):
            outputs, state = stream.step(tf.identity(frames), {"rows": rows, "position": position}, reset)
        return {**describe(outputs), **state}

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32, name="batch_size")], autograph=False)
    def initial_state(batch_size):
        return {
            "rows": tf.zeros((batch_size, stream.rows, stream.width)),
            "position": tf.zeros((batch_size,), tf.int32),
        }

    return {"step": step, "initial_state": initial_state}


def _checked(values, vocabulary_size):
    """`values` (B, T, ...), once they are known to hold a step, and tokens that exist."""
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(tf.shape(values)[:2] > 0),
            ["a request must hold at least 1 sequence of at least 1 step; its shape is", tf.shape(values)],
        )
    ]
    if vocabulary_size is not None:
        outside = tf.logical_or(values < 0, values >= vocabulary_size)
        worst = tf.boolean_mask(values, outside)
        message = f"tokens must be in [0, {vocabulary_size}); received"
        checks.append(tf.debugging.Assert(tf.logical_not(tf.reduce_any(outside)), [message, worst]))
    with tf.control_dependencies(checks):
        return tf.identity(values)


def _flat(network):
    return [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.Layer)]
