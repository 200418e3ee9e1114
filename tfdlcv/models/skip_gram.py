"""Skip-gram with negative sampling: word vectors whose products tell neighbours from noise.

Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed Representations of Words and Phrases and their
Compositionality", 2013.

Shapes: B examples, 1 + K candidates, V words, E numbers of a vector.
"""

import keras
import numpy as np
from keras import ops


def skip_gram(vocabulary_size: int, *, dimensions: int, name: str = "skip_gram") -> keras.Model:
    """The logits u_candidate . v_center.

    Args:
        vocabulary_size: V.
        dimensions: E.
        name: Name of the model.

    Returns:
        A model from `center` (B,) and `candidates` (B, 1 + K), int32, to (B, 1 + K) float32. Its layer `vectors` holds
        v, uniform within +-0.5 / E at first; `contexts` holds u, zeros at first (both as in word2vec.c).
    """
    for argument, size in {"vocabulary_size": vocabulary_size, "dimensions": dimensions}.items():
        if size < 1:
            raise ValueError(f"{argument} must be at least 1. Received: {argument}={size}")
    center = keras.Input((), dtype="int32", name="center")
    candidates = keras.Input((None,), dtype="int32", name="candidates")
    initializer = keras.initializers.RandomUniform(-0.5 / dimensions, 0.5 / dimensions)
    vectors = keras.layers.Embedding(vocabulary_size, dimensions, initializer, dtype="float32", name="vectors")
    contexts = keras.layers.Embedding(vocabulary_size, dimensions, "zeros", dtype="float32", name="contexts")
    v = ops.expand_dims(vectors(center), axis=1)  # (B, 1, E)
    logits = ops.sum(v * contexts(candidates), axis=-1)
    return keras.Model([center, candidates], logits, name=name)


def nearest(vectors: np.ndarray, queries: np.ndarray, count: int, *, leave_out=()) -> tuple[np.ndarray, np.ndarray]:
    """Words by cosine: indices and cosines of the vectors (V, E) nearest to queries (Q, E), each (Q, count).

    Where V is small, there are fewer than `count`.

    Args:
        leave_out: For each query, the indices that do not count, such as the query's own words.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = queries @ unit.T / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)  # (Q, V)
    for row, words in zip(cosines, leave_out, strict=bool(leave_out)):
        row[list(words)] = -np.inf
    count = min(count, len(vectors) - max((len(set(words)) for words in leave_out), default=0))
    best = np.argsort(-cosines, axis=1)[:, :count]
    return best, np.take_along_axis(cosines, best, axis=1)


def analogy(vectors: np.ndarray, a: int, b: int, c: int, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What is to c as b is to a: indices and cosines (count,) nearest to b - a + c of unit vectors (3CosAdd).

    Mikolov, Yih and Zweig, "Linguistic Regularities in Continuous Space Word Representations", 2013.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    indices, cosines = nearest(unit, (unit[b] - unit[a] + unit[c])[None], count, leave_out=[(a, b, c)])
    return indices[0], cosines[0]
