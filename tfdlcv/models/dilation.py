"""Classification networks as backbones: denser maps of the same weights, by gaps in kernels in place of strides.

Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 ("the paper").

Shape legend: N images, H rows, W columns, C channels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import ops

from tfdlcv.layers import Conv2D
from tfdlcv.ops import dilated_pooling

# The first layer behind the features of every family.
_HEADS = ("pool", "flatten")
_UNIT = re.compile(r"stage(\d+)_unit(\d+)_conv\d+")


def backbone(
    classifier: keras.Model,
    *,
    input_shape: Sequence[int | None] | None = None,
    output_stride: int,
    multigrid: Sequence[int] | None = None,
    name: str = "backbone",
) -> keras.Model:
    """The layers of a classifier up to its features, at a higher resolution.

    Strides that would take the maps below H / output_stride become 1, and what comes behind them skips as many pixels
    as they did. Every output_stride-th pixel of the result, counted in pixels of the image from the first one on, is
    what the classifier computes there with the same weights, as far as it pads strided convolutions on all sides
    ("centred").

    Args:
        classifier: Of `tfdlcv.models`; only its graph is used. Its weights are not copied: layers keep their names,
            for `tfdlcv.models.encoder_weights`.
        input_shape: (height, width, channels) of the images; default: the classifier's.
        output_stride: Pixels of the image for one of the maps, on a side: a power of 2. The classifier's own leaves
            everything as it is.
        multigrid: Further factors of the gaps in the last stage of a residual network, one for each unit (the paper's
            section 3.1). Where units are fewer it is cut off, where they are more it begins anew. With it the first
            unit of the stage skips as many pixels as the others, as in the paper.
        name: Name of the model.

    Returns:
        A model from `image` (N, H, W, 3) to maps (N, ceil(H / output_stride), ceil(W / output_stride), C).

    Raises:
        ValueError: output_stride is no power of 2 or more than the classifier's, multigrid for a network without
            residual units, or a network that has no features or layers that cannot skip pixels.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise ValueError(f"output_stride must be a power of 2. Received: output_stride={output_stride}")
    body = keras.Model(classifier.input, _features(classifier), name=name)
    image = keras.Input(input_shape or classifier.input_shape[1:], name="image")
    dilation = _Dilation(output_stride, _unit_factors(body, multigrid))
    built = keras.models.clone_model(body, image, clone_function=lambda layer: layer, call_function=dilation.call)
    reached = dilation.state(built.output).stride
    if reached != output_stride:
        raise ValueError(f"output_stride ({output_stride}) must be at most that of {classifier.name} ({reached})")
    return built


@dataclass(frozen=True)
class _State:
    """Where a tensor of the new graph stands.

    Attributes:
        stride: Pixels of the image for one of its own.
        dilation: Strides that were left out on the way.
    """

    stride: int = 1
    dilation: int = 1


@dataclass(frozen=True)
class _Padded:
    """A tensor that the classifier pads by `pixels`, which is left to the layer behind: it knows how far it reaches."""

    tensor: keras.KerasTensor
    pixels: int


class _Dilation:
    """Calls the layers of the new graph and knows for each tensor where it stands."""

    def __init__(self, output_stride: int, unit_factors: dict[str, int]):
        self.output_stride = output_stride
        self.unit_factors = unit_factors
        self._states: dict[int, tuple[keras.KerasTensor, _State]] = {}  # With the tensor, since ids may come again.

    def state(self, tensor: keras.KerasTensor) -> _State:
        """Of a tensor that was made here, or of the image."""
        return self._states[id(tensor)][1] if id(tensor) in self._states else _State()

    def call(self, operation, *args, **kwargs):
        """-> the output of a layer or operation that does what `operation` does at the place of its input."""
        pixels = _spatial_padding(operation)
        if pixels:
            return _Padded(args[0], pixels)
        if isinstance(operation, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            output, state = self._convolve(operation, *_unpadded(args[0]))
        elif isinstance(operation, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)):
            output, state = self._pool(operation, *_unpadded(args[0]))
        else:
            tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
            _check_size_is_kept(operation, tensors)
            state = max(map(self.state, tensors), key=lambda state: state.dilation)
            output = (_copy(operation) if isinstance(operation, keras.Layer) else operation)(*args, **kwargs)
        self._states[id(output)] = (output, state)
        return output

    def _stride(self, strides: int, state: _State) -> tuple[int, _State]:
        """-> the strides that a layer still takes, and the state behind it."""
        if state.stride * strides <= self.output_stride:
            return strides, _State(state.stride * strides, state.dilation)
        return 1, _State(state.stride, state.dilation * strides)

    def _convolve(self, layer, x, pixels: int):
        state = self.state(x)
        kernel_size = _square(layer, layer.kernel_size)
        strides, after = self._stride(_square(layer, layer.strides), state)
        dilation, padding = state.dilation, layer.padding
        if layer.name in self.unit_factors and kernel_size > 1:
            dilation = after.dilation * self.unit_factors[layer.name]
        if strides > 1 and dilation > 1:
            raise ValueError(f"{layer.name} has strides ({strides}), and cannot skip pixels too ({dilation})")
        if pixels and strides == 1 and kernel_size == 2 * pixels + 1:
            padding = "same"  # The same zeros, without a layer.
        elif pixels:
            x = keras.layers.ZeroPadding2D(pixels * dilation, name=f"{layer.name}_pad")(x)
        return _copy(layer, strides=strides, dilation_rate=dilation, padding=padding)(x), after

    def _pool(self, layer, x, pixels: int):
        state = self.state(x)
        pool_size, strides = _square(layer, layer.pool_size), _square(layer, layer.strides)
        kept, after = self._stride(strides, state)
        if kept == strides and state.dilation == 1:
            if pixels:  # Only in front of maxima, where what is outside the image never wins.
                x = ops.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), constant_values=float("-inf"))
            return _copy(layer)(x), after
        if layer.padding == "same":
            pixels = max(pool_size - strides, 0) // 2  # As Keras pads sizes that are multiples of the strides.
        is_max = isinstance(layer, keras.layers.MaxPooling2D)
        pool = dilated_pooling.dilated_max_pool if is_max else dilated_pooling.dilated_average_pool
        return pool(x, pool_size, dilation=state.dilation, before=pixels * state.dilation), after


def _features(classifier: keras.Model):
    for layer in classifier.layers:
        if layer.name in _HEADS and layer.input is not classifier.input:
            return layer.input
    raise ValueError(f"{classifier.name} has no features in front of a layer {' or '.join(map(repr, _HEADS))}")


def _check_size_is_kept(operation, tensors: Sequence[keras.KerasTensor]):
    """Raises a ValueError for a layer that no place here knows to have strides, or to take rows and columns away."""
    if not isinstance(operation, keras.Layer):
        return
    shapes = [(1, 32, 32, tensor.shape[-1]) for tensor in tensors]
    if operation.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])[1:3] != (32, 32):
        raise ValueError(f"{operation.name} ({type(operation).__name__}) cannot skip pixels")


def _unit_factors(body: keras.Model, multigrid: Sequence[int] | None) -> dict[str, int]:
    """-> {convolution of the last stage: its unit's factor}."""
    if multigrid is None:
        return {}
    if not multigrid or min(multigrid) < 1:
        raise ValueError(f"multigrid must be factors of at least 1. Received: multigrid={tuple(multigrid)}")
    matches = [match for match in (_UNIT.fullmatch(layer.name) for layer in body.layers) if match]
    if not matches:
        raise ValueError(f"multigrid needs residual units, which {body.name} has not. Received: {tuple(multigrid)}")
    last = max(int(match[1]) for match in matches)
    return {match[0]: multigrid[(int(match[2]) - 1) % len(multigrid)] for match in matches if int(match[1]) == last}


def _spatial_padding(operation) -> int:
    """Pixels that an operation puts around its maps; 0 for one that does something else."""
    if isinstance(operation, keras.layers.ZeroPadding2D):
        return operation.padding[0][0]
    if isinstance(operation, keras.Layer):
        return 0
    widths = getattr(operation, "pad_width", None)  # Of ops.pad: of channels in a shortcut, or of rows and columns.
    return widths[1][0] if widths else 0


def _square(layer, sizes: Sequence[int]) -> int:
    if sizes[0] != sizes[1]:
        raise ValueError(f"{layer.name} must be as high as wide. Received: {tuple(sizes)}")
    return sizes[0]


def _unpadded(x) -> tuple[keras.KerasTensor, int]:
    return (x.tensor, x.pixels) if isinstance(x, _Padded) else (x, 0)


def _copy(layer: keras.Layer, **changes) -> keras.Layer:
    kind = Conv2D if type(layer) is keras.layers.Conv2D else type(layer)  # Keras's own is slow with gaps.
    return kind.from_config(layer.get_config() | changes)
