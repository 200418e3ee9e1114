"""The output layer of a language model that shares its matrix with the embedding.

Press and Wolf, "Using the Output Embedding to Improve Language Models", 2017.

Shapes: V tokens, E numbers of an embedding.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class TiedHead(keras.layers.Layer):
    """Logits x E^T + b, with the matrix of an embedding layer and a bias of its own.

    A model that holds both layers keeps them tied when it is saved and loaded: Keras writes an object that comes twice
    in one model as one object.

    Args:
        embedding: `keras.layers.Embedding`, built.

    Call arguments:
        inputs: (..., E) float.

    Returns:
        (..., V) float32.
    """

    treats_each_step_by_itself = True  # For `tfdlcv.models.tcn_streaming`.

    def __init__(self, embedding, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not embedding.built:
            raise ValueError(f"embedding must be built. Received: {embedding}")
        self.embedding = embedding

    def build(self, input_shape):
        """Adds the bias."""
        if input_shape[-1] != self.embedding.output_dim:
            raise ValueError(
                f"the last axis of the inputs ({input_shape[-1]}) must be as long as an embedding "
                f"({self.embedding.output_dim}) for their matrix to be shared"
            )
        self.bias = self.add_weight(name="bias", shape=(self.embedding.input_dim,), initializer="zeros")

    def call(self, inputs):
        """Logits; see the class."""
        matrix = ops.cast(self.embedding.embeddings, "float32")
        return ops.matmul(ops.cast(inputs, "float32"), ops.transpose(matrix)) + self.bias

    def compute_output_shape(self, input_shape):
        """(..., V)."""
        return (*input_shape[:-1], self.embedding.input_dim)

    def get_config(self):
        """Every constructor argument."""
        return {**super().get_config(), "embedding": keras.saving.serialize_keras_object(self.embedding)}

    @classmethod
    def from_config(cls, config):
        """The layer; the embedding is the model's own one where the config is a part of a model's."""
        return super().from_config({**config, "embedding": keras.saving.deserialize_keras_object(config["embedding"])})
