"""What networks for images of any size decide only when an image arrives: crops, resizing and the smallest size.

Shapes: N images, H rows, W columns, C channels; h rows and w columns of a reference.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class CropLike(keras.layers.Layer):
    """Cuts maps to the height and width of a reference.

    Args:
        offset: Rows and columns that are left out above and on the left; None: as many as below and on the right, or
            one less where the number is odd.

    Call arguments:
        inputs: [maps (N, H, W, C), reference (N, h, w, any)], h at most H - offset and w at most W - offset.

    Returns:
        (N, h, w, C).

    Raises:
        ValueError: the maps are smaller than the reference and the offset, where the sizes are known.
    """

    def __init__(self, offset=None, **kwargs):
        super().__init__(**kwargs)
        if offset is not None and offset < 0:
            raise ValueError(f"offset must be at least 0. Received: offset={offset}")
        self.offset = offset

    def call(self, inputs):
        """The crop; see the class."""
        maps, reference = _pair(inputs, self.name)
        margin = self.offset or 0
        for axis in (1, 2):
            size, wanted = maps.shape[axis], reference.shape[axis]
            if None not in (size, wanted) and size < wanted + margin:
                raise ValueError(
                    f"{self.name}: maps of {tuple(maps.shape[1:3])} cannot be cropped to "
                    f"{tuple(reference.shape[1:3])} at offset {margin}"
                )
        height, width = ops.shape(reference)[1:3]
        top, left = (self._start(ops.shape(maps)[axis], size) for axis, size in ((1, height), (2, width)))
        return maps[:, top : top + height, left : left + width]

    def compute_output_shape(self, input_shape):
        """(N, h, w, C)."""
        maps, reference = input_shape
        return (maps[0], *reference[1:3], maps[-1])

    def get_config(self):
        return super().get_config() | {"offset": self.offset}

    def _start(self, size, wanted):
        return (size - wanted) // 2 if self.offset is None else self.offset


@keras.saving.register_keras_serializable(package="tfdlcv")
class ResizeLike(keras.layers.Layer):
    """Resizes maps to the height and width of a reference, with half-pixel centres.

    Args:
        interpolation: "bilinear" or "nearest".

    Call arguments:
        inputs: [maps (N, H, W, C), reference (N, h, w, any)].

    Returns:
        (N, h, w, C).
    """

    def __init__(self, interpolation="bilinear", **kwargs):
        super().__init__(**kwargs)
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(
                f"interpolation must be 'bilinear' or 'nearest'. Received: interpolation={interpolation!r}"
            )
        self.interpolation = interpolation

    def call(self, inputs):
        """The resizing; see the class."""
        maps, reference = _pair(inputs, self.name)
        size = tuple(ops.shape(reference)[1:3])
        if all(isinstance(length, int) for length in size):
            resized = ops.image.resize(maps, size, interpolation=self.interpolation, data_format="channels_last")
            return ops.cast(resized, self.compute_dtype)
        # Keras wants to know the size; in a graph for any image, such as an exported one, it is a tensor.
        for axis, length in zip((1, 2), size, strict=True):
            maps = _resized(maps, length, axis, self.interpolation)
        return ops.cast(maps, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """(N, h, w, C)."""
        maps, reference = input_shape
        return (maps[0], *reference[1:3], maps[-1])

    def get_config(self):
        return super().get_config() | {"interpolation": self.interpolation}


@keras.saving.register_keras_serializable(package="tfdlcv")
class ImageSizeCheck(keras.layers.Layer):
    """Lets images through whose height and width a network can take.

    Args:
        minimum: Smallest height and width.
        step: Heights and widths are `minimum` plus a multiple of it.

    Call arguments:
        inputs: (N, H, W, C).

    Returns:
        The inputs.

    Raises:
        ValueError: an image that is too small or of a size between the steps; in graphs, where its size is known.
    """

    def __init__(self, minimum, *, step=1, **kwargs):
        super().__init__(**kwargs)
        if minimum < 1 or step < 1:
            raise ValueError(f"minimum ({minimum}) and step ({step}) must be at least 1")
        self.minimum = minimum
        self.step = step

    def call(self, inputs):
        """The inputs; see the class."""
        self._check(inputs.shape)
        return inputs

    def compute_output_shape(self, input_shape):
        """The input's."""
        self._check(input_shape)
        return input_shape

    def get_config(self):
        return super().get_config() | {"minimum": self.minimum, "step": self.step}

    def _check(self, shape):
        sizes = [size for size in shape[1:3] if size is not None]
        if any(size < self.minimum for size in sizes):
            raise ValueError(
                f"the image is too small: height and width must be at least {self.minimum}. "
                f"Received: height={shape[1]}, width={shape[2]}"
            )
        if any((size - self.minimum) % self.step for size in sizes):
            raise ValueError(
                f"height and width must be {self.minimum} plus a multiple of {self.step}. "
                f"Received: height={shape[1]}, width={shape[2]}"
            )


def _resized(maps, length, axis: int, interpolation: str):
    """Maps (N, H, W, C) of which one axis is brought to `length`, as `ops.image.resize` does it."""
    count = ops.shape(maps)[axis]
    scale = ops.cast(count, "float32") / ops.cast(length, "float32")
    places = (ops.cast(ops.arange(length), "float32") + 0.5) * scale
    if interpolation == "nearest":
        return ops.take(maps, ops.minimum(ops.cast(ops.floor(places), "int32"), count - 1), axis=axis)
    places = ops.maximum(places - 0.5, 0.0)
    first = ops.minimum(ops.cast(ops.floor(places), "int32"), count - 1)
    share = ops.reshape(places - ops.cast(first, "float32"), (-1, 1) if axis == 2 else (-1, 1, 1))
    maps = ops.cast(maps, "float32")
    first, second = (ops.take(maps, index, axis=axis) for index in (first, ops.minimum(first + 1, count - 1)))
    return first + (second - first) * share


def _pair(inputs, name: str):
    if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
        raise ValueError(f"{name} takes [maps, reference]. Received: {inputs}")
    return inputs
