"""Weights of classifiers for the encoders of segmentation networks."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from tfdlcv.models import weights

_VGG = re.compile(r"block\d_conv\d|fc[67]")


def encoder(network: keras.Model) -> keras.Model:
    """The layers of a segmentation network that a classifier has too, as a model that shares them.

    Args:
        network: `deeplab_v3`, whose `backbone` it is, or `fcn` or `segnet`, whose convolutions of VGG-16 they are, in
            order: of `fcn` with fc6 and fc7, which have the classifier's kernels in another shape.

    Raises:
        WeightsError: a network without such layers, as `unet`.
    """
    if any(layer.name == "backbone" for layer in network.layers):
        return network.get_layer("backbone")
    convolutions = [layer for layer in network.layers if _VGG.fullmatch(layer.name)]
    if not convolutions:
        raise weights.WeightsError(f"{network.name} has no encoder with the layers of a classifier")
    # Without what is between them: normalisation that a classifier may lack, and pools that do not matter here.
    return keras.Sequential([keras.Input((None, None, network.input_shape[-1])), *convolutions], name=network.name)


def load_encoder(network: keras.Model, path: str | Path) -> list[str]:
    """Weights of a classifier for the encoder of a segmentation network; the rest stays as it is.

    Args:
        network: See `encoder`.
        path: As of `weights.load_pretrained`: of a ResNet, VGG-16, and so on, whatever its classes.

    Returns:
        Names of the layers that were loaded.

    Raises:
        WeightsError: as `weights.load_pretrained`.
    """
    return weights.load_pretrained(encoder(network), path, head="leave_out")
