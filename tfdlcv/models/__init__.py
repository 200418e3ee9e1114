"""The public networks, each a function that returns a functional `keras.Model` with named inputs."""

from tfdlcv.models.alexnet import alexnet
from tfdlcv.models.autoencoder import autoencoder, autoencoder_radius, denoising_autoencoder
from tfdlcv.models.deeplab_v3 import deeplab_v3
from tfdlcv.models.densenet import densenet, densenet_cifar
from tfdlcv.models.dncnn import dncnn
from tfdlcv.models.fcn import fcn
from tfdlcv.models.flex_classifier import flex_classifier
from tfdlcv.models.flex_mnist3d import flex_mnist3d
from tfdlcv.models.flex_unet import flex_unet
from tfdlcv.models.googlenet import googlenet
from tfdlcv.models.lecture_convnet import lecture_convnet
from tfdlcv.models.lenet5 import lenet5
from tfdlcv.models.mlp import mlp
from tfdlcv.models.mobilenet import mobilenet
from tfdlcv.models.octnet import dense3d, octnet
from tfdlcv.models.octree_fusion import dense_fusion, octree_fusion
from tfdlcv.models.perceptron import perceptron
from tfdlcv.models.pointnet import pointnet_classifier, pointnet_segmenter
from tfdlcv.models.recurrent import recurrent, units_for_parameters
from tfdlcv.models.resnet import resnet, resnet_cifar
from tfdlcv.models.resnext import resnext, resnext_cifar
from tfdlcv.models.segnet import segnet
from tfdlcv.models.tcn import receptive_field, tcn
from tfdlcv.models.unet import unet
from tfdlcv.models.vgg import vgg
from tfdlcv.models.wide_resnet import wide_resnet, wide_resnet_cifar
from tfdlcv.models.zfnet import zfnet

__all__ = [
    "alexnet",
    "autoencoder",
    "autoencoder_radius",
    "deeplab_v3",
    "denoising_autoencoder",
    "dense3d",
    "dense_fusion",
    "densenet",
    "densenet_cifar",
    "dncnn",
    "fcn",
    "flex_classifier",
    "flex_mnist3d",
    "flex_unet",
    "googlenet",
    "lecture_convnet",
    "lenet5",
    "mlp",
    "mobilenet",
    "octnet",
    "octree_fusion",
    "perceptron",
    "pointnet_classifier",
    "pointnet_segmenter",
    "receptive_field",
    "recurrent",
    "resnet",
    "resnet_cifar",
    "resnext",
    "resnext_cifar",
    "segnet",
    "tcn",
    "unet",
    "units_for_parameters",
    "vgg",
    "wide_resnet",
    "wide_resnet_cifar",
    "zfnet",
]
