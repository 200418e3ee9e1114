"""Pairs of words near each other, and noise words, to learn word vectors from.

Mikolov, Sutskever, Chen, Corrado and Dean, "Distributed Representations of Words and Phrases and their
Compositionality", 2013, and the authors' word2vec.c, whose subsampling differs from the paper's formula.

    center: (B,) int32, a word.
    candidates: (B, 1 + K) int32, a word from its neighbourhood, and K noise words drawn by count^0.75.

An example is a function of seed and index: index i is a place of the text and a draw; the window is shrunk uniformly,
as word2vec.c does. Frequent words are left out of the text once, before training; word2vec.c does so in every epoch.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.data import text
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

_NOISE_POWER = 0.75  # Paper, section 2.2.


class _Corpus(Section):
    lower_case: bool = True
    min_count: int = Field(5, ge=1)
    """Words that come less often in the training text are left out, as in word2vec.c."""


class CorpusFiles(_Corpus):
    """train.txt, valid.txt and test.txt of a folder."""

    name: Literal["files"]
    folder: str = Field(min_length=1)


class SklearnCorpus(_Corpus):
    """The documentation in the modules of scikit-learn."""

    name: Literal["sklearn"]


CorpusConfig = Annotated[CorpusFiles | SklearnCorpus, Field(discriminator="name")]


def read_corpus(config: CorpusConfig) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Word numbers (N,) int32 of train, validation and test, and the words, the most frequent first."""
    options = {"unit": "word", "steps": 1, "lower_case": config.lower_case}
    if isinstance(config, CorpusFiles):
        texts = text.read(text.TextFiles(name="files", folder=config.folder, **options))
    else:
        texts = text.read(text.SklearnText(name="sklearn", **options))
    words = {part: content.lower() if config.lower_case else content for part, content in texts.items()}
    words = {part: [_stripped(word) for word in content.split()] for part, content in words.items()}
    counts = collections.Counter(word for word in words["train"] if word)
    vocabulary = tuple(word for word in text.vocabulary_of([*counts.elements()]) if counts[word] >= config.min_count)
    if len(vocabulary) < 2:
        raise UserError(
            f"{len(vocabulary)} words come {config.min_count} times or more in the training text; lower data.min_count"
        )
    number = {word: index for index, word in enumerate(vocabulary)}
    ids = {
        part: np.array([number[word] for word in content if word in number], np.int32)
        for part, content in words.items()
    }
    return ids, vocabulary


def _stripped(word: str) -> str:
    return word.strip(".,;:!?()[]{}<>'\"`*=-_")


def keep_probabilities(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Probability (V,) with which an occurrence of each word stays: (sqrt(f / t) + 1) t / f, at most 1 (word2vec.c)."""
    frequencies = counts / counts.sum()
    return np.minimum((np.sqrt(frequencies / threshold) + 1) * threshold / frequencies, 1.0)


def noise_distribution(counts: np.ndarray) -> np.ndarray:
    """Probability (V,) of each word as noise, proportional to count^0.75."""
    weights = np.asarray(counts, np.float64) ** _NOISE_POWER
    return weights / weights.sum()


def build(
    ids: np.ndarray,
    *,
    vocabulary_size: int,
    window: int,
    negatives: int,
    subsampling: float | None,
    seed: int,
    pairs_per_word: int = 1,
) -> Split:
    """Pairs from a text of word numbers (N,) int32.

    Args:
        window: The farthest neighbour, in words.
        negatives: K.
        subsampling: Threshold t of `keep_probabilities`; None keeps every word.
        pairs_per_word: Examples for each place of the text in an epoch.
    """
    import tensorflow as tf

    from tfdlcv.data import counter_random
    from tfdlcv.data.pipeline import Split

    counts = np.maximum(np.bincount(ids, minlength=vocabulary_size), 1)
    if subsampling is not None:
        kept = np.random.default_rng(seed).random(len(ids)) < keep_probabilities(counts, subsampling)[ids]
        ids = ids[kept]
    if len(ids) < 2:
        raise UserError(f"{len(ids)} words are left of the text after subsampling; raise data.subsampling")
    with tf.device("CPU:0"):
        words = tf.constant(ids, tf.int32)
        cumulative = tf.constant(np.cumsum(noise_distribution(counts)), tf.float64)
    places = len(ids)

    def fetch(indices):
        place = tf.cast(indices % places, tf.int32)  # (B,)
        reach = counter_random.integers(indices, 1, 1, window + 1, key=(seed, 0))[:, 0]
        offset = counter_random.integers(indices, 1, 1, reach[:, None] + 1, key=(seed, 1))[:, 0]
        step = offset * (2 * counter_random.integers(indices, 1, 0, 2, key=(seed, 2))[:, 0] - 1)
        neighbour = place + step
        # A place near the text's end takes the neighbour on its other side.
        neighbour = tf.where((neighbour < 0) | (neighbour >= places), place - step, neighbour)
        neighbour = tf.clip_by_value(neighbour, 0, places - 1)
        draws = counter_random.uniform(indices, negatives, key=(seed, 3))
        noise = tf.reshape(tf.searchsorted(cumulative, tf.reshape(draws, (-1,)), side="right"), (-1, negatives))
        noise = tf.minimum(noise, vocabulary_size - 1)
        candidates = tf.concat([tf.gather(words, neighbour)[:, None], noise], axis=1)
        return {"center": tf.gather(words, place), "candidates": candidates}

    return Split(places * pairs_per_word, fetch, lambda index: f"pair {index // places} at word {index % places}")
