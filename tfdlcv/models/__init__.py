"""The public networks, each a function that returns a functional `keras.Model` with one input named `image`."""

from tfdlcv.models.lenet5 import lenet5
from tfdlcv.models.mlp import mlp
from tfdlcv.models.resnet import resnet_cifar

__all__ = ["lenet5", "mlp", "resnet_cifar"]
