"""The public networks, each a function that returns a functional `keras.Model` with one named input."""

from tfdlcv.models.lenet5 import lenet5
from tfdlcv.models.mlp import mlp
from tfdlcv.models.recurrent import recurrent, units_for_parameters
from tfdlcv.models.resnet import resnet_cifar
from tfdlcv.models.tcn import receptive_field, tcn

__all__ = ["lenet5", "mlp", "receptive_field", "recurrent", "resnet_cifar", "tcn", "units_for_parameters"]
