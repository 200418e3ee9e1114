"""The tied output layer: logits by hand, gradients of both uses, and models that stay tied when saved and loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers.tied_head import TiedHead


def model_of(nested=False):
    """Tokens -> embedding of 4 numbers -> dense -> logits of 7 tokens; `nested`: the head lies in a model inside."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedding = keras.layers.Embedding(7, 4, name="embedding")
    x = embedding(tokens)
    head = TiedHead(embedding, name="head")
    if not nested:
        return keras.Model(tokens, head(keras.layers.Dense(4, name="dense")(x)))
    inside = keras.Input((None, 4))
    body = keras.Model(inside, head(keras.layers.Dense(4, name="dense")(inside)), name="body")
    return keras.Model(tokens, body(x))


def test_logits_by_hand():
    embedding = keras.layers.Embedding(3, 2)
    embedding.build()
    embedding.set_weights([np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])])
    head = TiedHead(embedding)
    head.build((None, 2))
    head.bias.assign([0.0, 10.0, 0.0])
    np.testing.assert_allclose(head(np.array([[2.0, 1.0]])), [[4.0, 9.0, 6.5]])
    assert head.compute_output_shape((5, 6, 2)) == (5, 6, 3)


def test_the_matrix_is_counted_once_and_learns_from_both_uses():
    model = model_of()
    assert model.count_params() == 7 * 4 + (4 * 4 + 4) + 7
    matrix = model.get_layer("embedding").embeddings
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.array([[2]]))[..., 5])
    gradient = tf.convert_to_tensor(tape.gradient(loss, matrix.value))
    used = np.flatnonzero(np.abs(gradient).sum(axis=1))
    assert used.tolist() == [2, 5]  # As input, and as output.


@pytest.mark.parametrize("nested", [False, True])
def test_a_saved_model_is_the_same_and_stays_tied(nested, tmp_path):
    model = model_of(nested)
    model.get_layer("embedding").embeddings.assign(np.random.RandomState(0).randn(7, 4))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tokens = np.array([[0, 3, 6]])
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    body = loaded.get_layer("body") if nested else loaded
    assert body.get_layer("head").embedding is loaded.get_layer("embedding")
    assert len(loaded.weights) == len(model.weights)


def test_bad_embeddings():
    with pytest.raises(ValueError, match="embedding must be built"):
        TiedHead(keras.layers.Embedding(3, 2))
    embedding = keras.layers.Embedding(3, 2)
    embedding.build()
    with pytest.raises(ValueError, match=r"last axis of the inputs \(5\) must be as long as an embedding \(2\)"):
        TiedHead(embedding)(np.zeros((1, 5), "float32"))
