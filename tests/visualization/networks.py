"""Small networks whose pictures can be computed by hand."""

import keras
import numpy as np


def linear(weights):
    """score_k = sum of image * weights[..., k]; weights (H, W, C, K)."""
    weights = np.asarray(weights, "float32")
    image = keras.Input(weights.shape[:3], name="image")
    logits = keras.layers.Dense(weights.shape[3], use_bias=False, name="logits")
    network = keras.Model(image, logits(keras.layers.Flatten(name="flatten")(image)), name="linear")
    logits.set_weights([weights.reshape(-1, weights.shape[3])])
    return network


def pooled(*, size=8, channels=3, filters=4, classes=3, seed=0, relu="relu"):
    """A convolution, global average pooling and a linear layer: what class activation maps were made for."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, channels), name="image")
    x = keras.layers.Conv2D(filters, 3, padding="same", activation=relu, bias_initializer="normal", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name="pooled")


def images(network, count=3, seed=1):
    return np.random.default_rng(seed).normal(size=(count, *network.input_shape[1:])).astype("float32")
