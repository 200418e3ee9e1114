"""The last layer of a hyperspherical prototype network: cosines to prototypes that are not trained.

Mettes, van der Pol, Snoek 2019, "Hyperspherical Prototype Networks".

Shape legend: B examples, d dimensions, K classes.
"""

import keras
import numpy as np
from keras import ops

from tfdlcv.ops import hypersphere
from tfdlcv.ops.prototypes import check_prototypes


@keras.saving.register_keras_serializable(package="tfdlcv")
class PrototypeCosines(keras.layers.Layer):
    """Cosines between embeddings and the prototypes of all classes; the largest one names the class.

    The prototypes are a weight that is not trained. So a checkpoint holds those that the network has learned to point
    at, wherever they are computed again.

    Args:
        prototypes: (K, d) of norm 1, as `tfdlcv.ops.prototypes.separate` gives them.

    Call arguments:
        inputs: embeddings (B, d) of any length.

    Returns:
        (B, K) float32 in [-1, 1].
    """

    def __init__(self, prototypes, **kwargs):
        # Without autocasting: under a policy of half precision, Keras would round the embeddings before `call`.
        super().__init__(autocast=False, **kwargs)
        self._values = check_prototypes(prototypes).astype("float32")

    def build(self, input_shape):
        num_classes, dimensions = self._values.shape
        if input_shape[-1] != dimensions:
            raise ValueError(
                f"inputs must have the {dimensions} dimensions of the prototypes. Received: shape={tuple(input_shape)}"
            )
        self.prototypes = self.add_weight(
            shape=(num_classes, dimensions),
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(self._values),
            dtype="float32",
            autocast=False,  # Half precision would blur the angles between classes.
            trainable=False,
            name="prototypes",
        )

    def call(self, inputs):
        return hypersphere.cosines(inputs, self.prototypes)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self._values))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], len(self._values)), dtype="float32")

    def get_config(self):
        values = np.asarray(self.prototypes) if self.built else self._values
        return {**super().get_config(), "prototypes": values.tolist()}
