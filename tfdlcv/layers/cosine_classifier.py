"""A linear classifier whose outputs are cosines: no lengths, no bias.

Wang et al. 2017, "NormFace: L2 Hypersphere Embedding for Face Verification". It is the head of CosFace and ArcFace,
whose losses add scale and margin.

Shape legend: B examples, d dimensions, K classes.
"""

import keras
from keras import ops

from tfdlcv.ops import hypersphere


@keras.saving.register_keras_serializable(package="tfdlcv")
class CosineClassifier(keras.layers.Layer):
    """Cosines between embeddings and one trained direction for each class.

    Weights and arithmetic are float32 under every dtype policy.

    Args:
        num_classes: K, at least 2.
        kernel_initializer: of the directions, whose lengths do not matter.

    Call arguments:
        inputs: (B, d) of any length.

    Returns:
        (B, K) float32 in [-1, 1].
    """

    def __init__(self, num_classes: int, *, kernel_initializer="glorot_uniform", **kwargs):
        # Without autocasting: under a policy of half precision, Keras would round the embeddings before `call`.
        super().__init__(autocast=False, **kwargs)
        if num_classes < 2:
            raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
        self.num_classes = num_classes
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.num_classes),
            initializer=self.kernel_initializer,
            dtype="float32",
            autocast=False,  # Half precision would blur the angles between classes.
            name="kernel",
        )

    def call(self, inputs):
        return hypersphere.cosines(inputs, hypersphere.normalize(ops.transpose(self.kernel)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], self.num_classes), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
