"""Muon for convolution networks.

Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; scaling of the update:
Liu et al. 2025, "Muon is Scalable for LLM Training". Shape legend: H x W kernel window, I input and O output channels.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from tfdlcv.training.weight_decay import takes_weight_decay


@keras.saving.register_keras_serializable(package="tfdlcv")
class ConvolutionalMuon(keras.optimizers.Muon):
    """`keras.optimizers.Muon` that also orthogonalizes the updates of convolution kernels.

    Keras gives Muon's update to matrices alone, and AdamW's to everything else: in a convolution network that is AdamW
    throughout. Here Muon also takes the kernels of Conv2D (H, W, I, O) and Conv3D, seen as matrices (H * W * I, O), as
    the authors do. AdamW's update remains for

    - biases and the parameters of normalization (`takes_weight_decay`),
    - embeddings (as in Keras: "embedding" in the path),
    - kernels that are a single row or column as a matrix, such as those of DepthwiseConv2D: they have no directions
      that could be made orthogonal,
    - rank 3: a kernel of Conv1D and one of multi-head attention call for different matrices, and look alike,
    - the layers named in `exclude_layers`: the authors keep the first convolution and the classifier with AdamW.

    `exclude_layers` holds whole layer names (components of a variable's path), not the regular expressions of Keras,
    by which "conv1" would also exclude "conv10"; a name that no layer has is an error. All arguments are those of
    `keras.optimizers.Muon`, whose defaults include a weight decay of 0.004, `adam_weight_decay` for AdamW's part.

    Raises:
        ValueError: in `build`, if a name in `exclude_layers` is in no variable's path.
    """

    def build(self, var_list):
        layer_names = {name for variable in var_list for name in variable.path.split("/")[:-1]}
        unknown = [name for name in self.exclude_layers if name not in layer_names]
        if unknown:
            raise ValueError(
                f"exclude_layers must name layers with trainable variables. Received: {unknown}, of which there are "
                f"none among {sorted(layer_names)}"
            )
        super().build(var_list)

    # Private in Keras, which offers no other way to say which variables get which update.
    def _should_use_adamw(self, variable):
        shape = variable.shape
        if len(shape) < 2 or len(shape) == 3 or not takes_weight_decay(variable):
            return True
        if math.prod(shape[:-1]) == 1 or shape[-1] == 1:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return not set(self.exclude_layers).isdisjoint(variable.path.split("/")[:-1])

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = ops.reshape(x, (-1, x.shape[-1]))  # (H * W * I, O)
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x):
        matrix = ops.reshape(x, (-1, x.shape[-1]))  # (H * W * I, O)
        return ops.reshape(super().lr_adjust(matrix), x.shape)
