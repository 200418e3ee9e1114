"""Pooling that remembers where its maxima were, and its reverse.

Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
PAMI 2017, section 3.

TensorFlow's own `max_pool_with_argmax` does not compile under XLA, and a scatter is slow there; windows that do not
overlap need neither: a reshape puts each of them on an axis of its own.

Shapes: N images, H rows, W columns, C channels, p pool size, h = ceil(H / p), w = ceil(W / p).
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class MaxPoolingWithIndices2D(keras.layers.Layer):
    """Largest values of p x p windows side by side, and where they are.

    Of equal values the first one counts, row by row, and it alone has a gradient. Windows at the lower and right border
    may be smaller.

    Args:
        pool_size: p.

    Call arguments:
        inputs: (N, H, W, C) float.

    Returns:
        [values (N, h, w, C), indices (N, h, w, C) int32]; an index is row * W + column, as PyTorch counts (TensorFlow
        numbers the channels too).
    """

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1. Received: pool_size={pool_size}")
        self.pool_size = pool_size

    def call(self, inputs):
        """The pooling; see the class."""
        size = self.pool_size
        windows = _windows(_padded_to_multiples(inputs, size), size)  # (N, h, w, p * p, C)
        place = ops.cast(ops.argmax(windows, axis=3), "int32")  # (N, h, w, C)
        is_first = ops.equal(ops.expand_dims(place, 3), _places(size))
        # Neither a maximum, which would share its gradient among equals, nor a product: what loses may be infinite.
        values = ops.sum(ops.where(is_first, windows, ops.zeros_like(windows)), axis=3)
        height, width = ops.shape(place)[1:3]
        rows = ops.reshape(ops.arange(height, dtype="int32"), (-1, 1, 1)) * size + place // size
        columns = ops.reshape(ops.arange(width, dtype="int32"), (-1, 1)) * size + place % size
        return [values, rows * ops.shape(inputs)[2] + columns]

    def compute_output_spec(self, inputs):
        """Two tensors of (N, h, w, C)."""
        shape = self.compute_output_shape(inputs.shape)[0]
        return [keras.KerasTensor(shape, dtype=self.compute_dtype), keras.KerasTensor(shape, dtype="int32")]

    def compute_output_shape(self, input_shape):
        """The same shape twice."""
        sizes = [None if size is None else -(-size // self.pool_size) for size in input_shape[1:3]]
        return [(input_shape[0], *sizes, input_shape[-1])] * 2

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


@keras.saving.register_keras_serializable(package="tfdlcv")
class MaxUnpooling2D(keras.layers.Layer):
    """Puts values where `MaxPoolingWithIndices2D` found its maxima, and zeros everywhere else.

    Indices count by the width that the pool has seen. Where that is no multiple of p and neither a third tensor nor
    `output_size` tells it, values stand at wrong places, and nothing shows it.

    Args:
        pool_size: p of the pool.
        output_size: (H, W) that the pool has seen, for inputs without a third tensor; None: H = p * h and W = p * w.

    Call arguments:
        inputs: [values (N, h, w, C), indices (N, h, w, C) int32], or with a third tensor (N, H, W, any) of the size
            that the pool has seen.

    Returns:
        (N, H, W, C).

    Raises:
        ValueError: a pool of `output_size` has other maps than h x w, or both it and a third tensor are given.
    """

    def __init__(self, pool_size=2, *, output_size=None, **kwargs):
        super().__init__(**kwargs)
        if pool_size < 1:
            raise ValueError(f"pool_size must be at least 1. Received: pool_size={pool_size}")
        self.pool_size = pool_size
        self.output_size = None if output_size is None else tuple(output_size)

    def call(self, inputs):
        """The reverse of the pooling; see the class."""
        values, indices, reference = _parts(inputs, self.name)
        size = self.pool_size
        batch, height, width = ops.shape(values)[:3]
        output_size = self.output_size
        if output_size is not None:
            self._check_output_size(values, reference)
        elif reference is not None:
            output_size = ops.shape(reference)[1:3]
        columns = width * size if output_size is None else output_size[1]
        place = indices // columns % size * size + indices % columns % size  # (N, h, w, C), within the window.
        here = ops.equal(ops.expand_dims(place, 3), _places(size))
        values = ops.expand_dims(values, 3)
        windows = ops.where(here, values, ops.zeros_like(values))  # (N, h, w, p * p, C)
        channels = values.shape[-1]
        x = ops.reshape(windows, (batch, height, width, size, size, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (N, h, p, w, p, C)
        x = ops.reshape(x, (batch, height * size, width * size, channels))
        return x if output_size is None else x[:, : output_size[0], : output_size[1]]

    def compute_output_shape(self, input_shape):
        """(N, H, W, C)."""
        values, *others = input_shape
        if self.output_size is not None:
            return (values[0], *self.output_size, values[-1])
        if len(others) == 2:
            return (values[0], *others[1][1:3], values[-1])
        sizes = [None if size is None else size * self.pool_size for size in values[1:3]]
        return (values[0], *sizes, values[-1])

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "output_size": self.output_size}

    def _check_output_size(self, values, reference):
        if reference is not None:
            raise ValueError(f"{self.name} takes output_size ({self.output_size}) or a third tensor, not both")
        pooled = tuple(-(-length // self.pool_size) for length in self.output_size)
        if any(known not in (None, wanted) for known, wanted in zip(values.shape[1:3], pooled, strict=True)):
            raise ValueError(
                f"output_size {self.output_size} has pooled maps of {pooled[0]} x {pooled[1]} at pool_size "
                f"{self.pool_size}. Received: values of {values.shape[1]} x {values.shape[2]}"
            )


def _padded_to_multiples(x, size: int):
    """Rows and columns of the lowest value below and on the right, up to a multiple of `size`."""
    if all(length is not None and length % size == 0 for length in x.shape[1:3]):
        return x
    below, right = (-length % size for length in ops.shape(x)[1:3])
    return ops.pad(x, ((0, 0), (0, below), (0, right), (0, 0)), constant_values=float("-inf"))


def _windows(x, size: int):
    """(N, p * h, p * w, C) -> (N, h, w, p * p, C)."""
    batch, height, width = ops.shape(x)[:3]
    channels = x.shape[-1]
    x = ops.reshape(x, (batch, height // size, size, width // size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height // size, width // size, size * size, channels))


def _places(size: int):
    """(p * p, 1): the numbers of a window's pixels, row by row."""
    return ops.reshape(ops.arange(size * size, dtype="int32"), (-1, 1))


def _parts(inputs, name: str):
    """-> values, indices and the reference, which may be None."""
    if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
        raise ValueError(f"{name} takes [values, indices] or [values, indices, reference]. Received: {inputs}")
    values, indices, *reference = inputs
    if tuple(values.shape) != tuple(indices.shape):
        raise ValueError(
            f"values and indices must be of one shape. Received: {tuple(values.shape)} and {tuple(indices.shape)}"
        )
    return values, indices, reference[0] if reference else None
