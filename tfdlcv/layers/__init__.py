"""The public layers."""

from tfdlcv.layers.atrous_spatial_pyramid_pooling import AtrousSpatialPyramidPooling
from tfdlcv.layers.batch_normalization import BatchNormalization
from tfdlcv.layers.bilinear import Bilinear
from tfdlcv.layers.causal_conv import CausalConv1D, CausalConv3D
from tfdlcv.layers.conv import Conv2D
from tfdlcv.layers.cosine_classifier import CosineClassifier
from tfdlcv.layers.flex_conv import FlexConv, FlexConvTranspose
from tfdlcv.layers.flex_pooling import FlexPooling
from tfdlcv.layers.flex_upsampling import FlexUpsampling
from tfdlcv.layers.image_sizes import CropLike, ImageSizeCheck, ResizeLike
from tfdlcv.layers.lecture_lstm import LectureLSTMCell
from tfdlcv.layers.lenet_layers import NegativeSquaredDistances, PartialConv2D, TrainedSubsampling2D
from tfdlcv.layers.local_response_normalization import LocalResponseNormalization
from tfdlcv.layers.max_unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from tfdlcv.layers.maxout import Maxout
from tfdlcv.layers.octree_conv import OctreeConv, OctreeToDense
from tfdlcv.layers.prototype_cosines import PrototypeCosines
from tfdlcv.layers.temporal_block import TemporalBlock
from tfdlcv.layers.weight_normalization import WeightNormalization

__all__ = [
    "AtrousSpatialPyramidPooling",
    "BatchNormalization",
    "Bilinear",
    "CausalConv1D",
    "CausalConv3D",
    "Conv2D",
    "CosineClassifier",
    "CropLike",
    "FlexConv",
    "FlexConvTranspose",
    "FlexPooling",
    "FlexUpsampling",
    "ImageSizeCheck",
    "LectureLSTMCell",
    "LocalResponseNormalization",
    "MaxPoolingWithIndices2D",
    "MaxUnpooling2D",
    "Maxout",
    "NegativeSquaredDistances",
    "OctreeConv",
    "OctreeToDense",
    "PartialConv2D",
    "PrototypeCosines",
    "ResizeLike",
    "TemporalBlock",
    "TrainedSubsampling2D",
    "WeightNormalization",
]
