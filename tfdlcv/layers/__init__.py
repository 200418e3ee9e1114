"""The public layers."""

from tfdlcv.layers.batch_normalization import BatchNormalization
from tfdlcv.layers.causal_conv import CausalConv1D, CausalConv3D
from tfdlcv.layers.cosine_classifier import CosineClassifier
from tfdlcv.layers.flex_conv import FlexConv, FlexConvTranspose
from tfdlcv.layers.flex_pooling import FlexPooling
from tfdlcv.layers.flex_upsampling import FlexUpsampling
from tfdlcv.layers.grouped_conv import GroupedConv2D
from tfdlcv.layers.lecture_lstm import LectureLSTMCell
from tfdlcv.layers.lenet_layers import NegativeSquaredDistances, PartialConv2D, TrainedSubsampling2D
from tfdlcv.layers.local_response_normalization import LocalResponseNormalization
from tfdlcv.layers.maxout import Maxout
from tfdlcv.layers.octree_conv import OctreeConv
from tfdlcv.layers.prototype_cosines import PrototypeCosines
from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.layers.weight_normalization import WeightNormalization

__all__ = [
    "BatchNormalization",
    "CausalConv1D",
    "CausalConv3D",
    "CosineClassifier",
    "FlexConv",
    "FlexConvTranspose",
    "FlexPooling",
    "FlexUpsampling",
    "GroupedConv2D",
    "LectureLSTMCell",
    "LocalResponseNormalization",
    "Maxout",
    "NegativeSquaredDistances",
    "OctreeConv",
    "PartialConv2D",
    "PrototypeCosines",
    "TemporalBlock",
    "TrainedSubsampling2D",
    "WeightNormalization",
]
