"""Exact streaming of a temporal convolutional network: frame by frame, with what a frame costs alone.

A causal convolution of k taps and dilation d needs, for a new step, the k - 1 inputs that lie d, 2 d, ... back. Each
convolution keeps its last (k - 1) d inputs in a ring: step t is written to row t mod (k - 1) d. The rings of all
convolutions lie below each other in one tensor, so that one gather reads and one scatter writes them all. Neither the
history nor the receptive field enters the cost of a step, but for copying the state where it leaves the program.

Rows that were never written since a sequence began are left out by their time, so that a sequence begins anew with its
position set to zero, whatever its rows hold.

Shapes: B sequences, N new frames of each, C channels, K outputs, W the widest input of a convolution.
"""

from __future__ import annotations

from typing import TypedDict

import keras
import numpy as np
from keras import ops

from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.layers.weight_normalization import WeightNormalization

# Layers that treat each step by itself, so that frames pass them as sequences do.
_POINTWISE = (
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout1D,
)


class State(TypedDict):
    """What is carried from chunk to chunk.

    rows: (B, sum of (k - 1) d over all convolutions, W) float32.
    position: (B,) int32, the frames seen so far; wraps around where that makes no difference.
    """

    rows: object
    position: object


class TcnStream:
    """Runs a network of `TemporalBlock`s on chunks of a sequence, with the outputs of the whole sequence.

    The weights are those at construction, with weight normalisation worked out; computation is in float32.

    Args:
        network: A chain of layers: TemporalBlocks, and others that treat each step by itself (Dense, Embedding,
            Dropout, Rescaling, Activation); it may lie inside other models. Of a network that returns its last step
            alone, the stream returns every step as if the sequence ended there.

    Raises:
        ValueError: the network has no TemporalBlock, or another layer.
    """

    def __init__(self, network: keras.Model):
        self._parts = []  # A layer, or the convolutions of a block.
        self._offsets, self._sizes, self._reaches = [], [], []  # Of the rings.
        self.width = 0
        for layer in _layers(network):
            if isinstance(layer, TemporalBlock):
                self._parts.append(self._block(layer))
            elif _is_pointwise(layer):
                self._parts.append(layer)
            else:
                raise ValueError(
                    f"a stream needs TemporalBlocks and layers that treat each step by itself. Received: {layer}"
                )
        if not self._sizes:
            raise ValueError(f"a stream needs a network with TemporalBlocks. Received: {network.name}")
        shape = network.inputs[0].shape
        self.frame_shape = tuple(shape[2:])
        self.frame_dtype = keras.backend.standardize_dtype(network.inputs[0].dtype)
        self.rows = sum(self._sizes)
        # A multiple of every ring's size, since dilations are powers of two times the same number, or of their product.
        self._period = int(np.lcm.reduce([size for size in self._sizes if size] or [1]))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first frame of `batch_size` sequences."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
        return {
            "rows": ops.zeros((batch_size, self.rows, self.width), "float32"),
            "position": ops.zeros((batch_size,), "int32"),
        }

    def step(self, frames, state: State, reset=None):
        """-> outputs (B, N, K) float32 of the new frames, and the new state.

        Args:
            frames: (B, N, C), or (B, N) of a network of tokens; N at least 1, and another one in each call if need be.
            state: of the call before, or `initial_state`.
            reset: (B,) bool; sequences that begin anew with these frames.

        Raises:
            ValueError: frames or a state of another shape.
        """
        self._check(frames, state)
        rows = state["rows"]
        position = ops.cast(state["position"], "int32")
        if reset is not None:
            position = ops.where(reset, 0, position)
        count = frames.shape[1] if frames.shape[1] is not None else ops.shape(frames)[1]
        rings = _Rings(self, rows, position, count)
        x = frames
        for part in self._parts:
            x = part(x, rings) if isinstance(part, _Block) else part(x, training=False)
        position = position + count
        # Counts on below twice the period: a position of a period or more means that every ring is full.
        position = ops.where(position >= self._period, position % self._period + self._period, position)
        return ops.cast(x, "float32"), {"rows": rings.written(), "position": position}

    def _block(self, block: TemporalBlock) -> _Block:
        kernels = [_kernel_and_bias(layer) for layer in block.convolutions]
        rings = []
        for kernel, _ in kernels:
            taps, channels = kernel.shape[:2]
            rings.append(len(self._sizes))
            self._offsets.append(sum(self._sizes))
            self._sizes.append((taps - 1) * block.dilation_rate)
            self._reaches.append((taps, block.dilation_rate, channels))
            self.width = max(self.width, channels)
        shortcut = None
        if block.shortcut is not None:
            shortcut = tuple(_constant(v, "shortcut") for v in (block.shortcut.kernel, block.shortcut.bias))
        return _Block(rings, kernels, shortcut, block.activation)

    def _check(self, frames, state):
        shape = tuple(frames.shape)
        if len(shape) != 2 + len(self.frame_shape) or shape[2:] != self.frame_shape:
            raise ValueError(f"frames must be (B, N, {', '.join(map(str, self.frame_shape))}). Received: {shape}")
        if shape[1] is not None and shape[1] < 1:
            raise ValueError(f"frames must hold at least 1 frame. Received: {shape}")
        rows, position = tuple(state["rows"].shape), tuple(state["position"].shape)
        batch = shape[0]
        if rows[1:] != (self.rows, self.width) or len(position) != 1 or _differ(batch, rows[0], position[0]):
            raise ValueError(
                f"the state of {batch} sequences must have rows ({batch}, {self.rows}, {self.width}) and position "
                f"({batch},). Received: rows {rows}, position {position}"
            )


class _Block:
    """A TemporalBlock on the frames of a chunk."""

    def __init__(self, rings, kernels, shortcut, activation):
        self.rings, self.kernels, self.shortcut, self.activation = rings, kernels, shortcut, activation

    def __call__(self, inputs, rings):
        x = inputs = ops.cast(inputs, "float32")
        for ring, (kernel, bias) in zip(self.rings, self.kernels, strict=True):
            taps, channels, filters = kernel.shape
            history = rings.taps(ring, x)  # (B, N, taps * channels)
            x = ops.matmul(history, ops.reshape(kernel, (taps * channels, filters))) + bias
            x = self.activation(x)
        if self.shortcut is not None:
            kernel, bias = self.shortcut
            inputs = ops.matmul(inputs, kernel) + bias
        return self.activation(x + inputs)


class _Rings:
    """The rings of all convolutions during one chunk."""

    def __init__(self, stream: TcnStream, rows, position, count):
        self.stream, self.rows, self.position, self.count = stream, rows, position, count
        self.batch = ops.shape(rows)[0]
        self.one = count == 1 if isinstance(count, int) else False
        self.writes = []  # (rows to write (B, n), values (B, n, W)) of each ring.
        self.past = None
        if stream.rows:
            self._read()

    def _read(self):
        """Gathers at once what every convolution takes from its ring."""
        steps = ops.arange(self.count, dtype="int32")  # (N,)
        indices, valid, self.spans, start = [], [], [], 0
        for offset, size, (taps, dilation, _) in zip(
            self.stream._offsets, self.stream._sizes, self.stream._reaches, strict=True
        ):
            # For one frame the newest tap is the frame itself, and all others lie in the ring.
            back = dilation * np.arange(taps - 1, 0 if self.one else -1, -1, dtype="int32")  # (k,), the oldest first.
            time = self.position[:, None, None] + steps[:, None] - back  # (B, N, k)
            indices.append(ops.reshape(offset + time % max(size, 1), (self.batch, -1)))
            valid.append(ops.reshape(time >= 0, (self.batch, -1)))
            self.spans.append((start, len(back)))
            start += len(back)
        self.indices = ops.concatenate(indices, axis=1)
        valid = ops.concatenate(valid, axis=1)
        last = self.stream.rows - 1
        gathered = ops.take_along_axis(self.rows, ops.minimum(self.indices, last)[..., None], axis=1)
        self.past = ops.where(valid[..., None], gathered, 0.0)  # (B, N * sum of k, W)

    def taps(self, ring, x):
        """(B, N, k * C), the oldest tap first, of the input x (B, N, C) of a convolution; notes x for writing."""
        taps, dilation, channels = self.stream._reaches[ring]
        if taps == 1:
            return x
        self._note(ring, x)
        start, length = self.spans[ring]
        past = self.past[:, start * self.count : (start + length) * self.count, :channels]
        if self.one:
            past = ops.reshape(past, (self.batch, 1, length * channels))
            return ops.concatenate([past, x], axis=-1)
        past = ops.reshape(past, (self.batch, self.count, length, channels))
        back = dilation * np.arange(taps - 1, -1, -1, dtype="int32")
        source = ops.arange(self.count, dtype="int32")[:, None] - back  # (N, k); negative: before this chunk
        own = ops.take(x, ops.maximum(source, 0), axis=1)  # (B, N, k, C)
        history = ops.where((source >= 0)[None, :, :, None], own, past)
        return ops.reshape(history, (self.batch, self.count, taps * channels))

    def _note(self, ring, x):
        offset, size = self.stream._offsets[ring], self.stream._sizes[ring]
        # Of a chunk that is longer than the ring, the last frames; two to one row would be written in any order.
        if isinstance(self.count, int):
            first = max(self.count - size, 0)
        else:
            first = ops.maximum(self.count - size, 0)
        steps = ops.arange(self.count, dtype="int32")[first:]
        rows = offset + (self.position[:, None] + steps) % size  # (B, n)
        values = ops.pad(x[:, first:], ((0, 0), (0, 0), (0, self.stream.width - x.shape[-1])))
        self.writes.append((rows, values))

    def written(self):
        """The rings with the chunk in them."""
        if not self.writes:
            return self.rows
        rows = ops.concatenate([rows for rows, _ in self.writes], axis=1)  # (B, M)
        values = ops.concatenate([values for _, values in self.writes], axis=1)  # (B, M, W)
        total, width = self.stream.rows, self.stream.width
        flat_rows = rows + total * ops.arange(self.batch, dtype="int32")[:, None]
        flat = ops.reshape(self.rows, (-1, width))
        written = ops.scatter_update(flat, ops.reshape(flat_rows, (-1, 1)), ops.reshape(values, (-1, width)))
        return ops.reshape(written, (-1, total, width))


def _kernel_and_bias(layer):
    convolution = layer
    if isinstance(layer, WeightNormalization):
        convolution, kernel = layer.layer, layer.normalized_kernel()
    else:
        kernel = layer.kernel
    return _constant(kernel, "kernel"), _constant(convolution.bias, "bias")


def _constant(value, name):
    # A variable, not a literal: millions of weights do not belong into a graph's definition.
    return keras.Variable(ops.convert_to_numpy(value), trainable=False, dtype="float32", name=f"stream_{name}")


def _layers(network):
    """Layers of a model in order, those of models inside it in their place."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _is_pointwise(layer):
    return isinstance(layer, _POINTWISE) or getattr(layer, "treats_each_step_by_itself", False)


def _differ(*sizes):
    return len({size for size in sizes if size is not None}) > 1
