"""The public layers."""

from tfdlcv.layers.batch_normalization import BatchNormalization
from tfdlcv.layers.causal_conv import CausalConv1D, CausalConv3D
from tfdlcv.layers.lecture_lstm import LectureLSTMCell
from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.layers.weight_normalization import WeightNormalization

__all__ = [
    "BatchNormalization",
    "CausalConv1D",
    "CausalConv3D",
    "LectureLSTMCell",
    "TemporalBlock",
    "WeightNormalization",
]
