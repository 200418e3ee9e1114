"""Word vectors: skip-gram with negative sampling, nearest words and analogies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.skip_grams import CorpusConfig
from tfdlcv.errors import UserError
from tfdlcv.systems import sequence_networks
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_NEIGHBOURS = 10
_MAP_WORDS = 120  # The most frequent words that fit on a picture.


class SkipGramConfig(Section):
    """Skip-gram; defaults of word2vec.c."""

    name: Literal["skip_gram"]
    dimensions: int = Field(100, ge=2)
    window: int = Field(5, ge=1)
    negatives: int = Field(5, ge=1)
    subsampling: float | None = Field(1e-3, gt=0)
    """Threshold above which the share of a word makes it be left out at times; null keeps every word."""


class NegativeSamplingConfig(Section):
    """-log sigmoid(u_context . v) - sum over noise words of log sigmoid(-u_noise . v)."""

    name: Literal["negative_sampling"] = "negative_sampling"


class Config(Section):
    """A run of word2vec."""

    system: Literal["sequence/word2vec"]
    model: SkipGramConfig
    data: CorpusConfig
    loss: NegativeSamplingConfig = NegativeSamplingConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the text; an epoch has as many pairs as the subsampled text has words, times the mean window."""
    from tfdlcv.data import skip_grams
    from tfdlcv.data.pipeline import Datasets

    ids, vocabulary = skip_grams.read_corpus(config.data)
    splits = {
        part: skip_grams.build(
            numbers,
            vocabulary_size=len(vocabulary),
            window=config.model.window,
            negatives=config.model.negatives,
            subsampling=config.model.subsampling,
            seed=config.trainer.seed,
            pairs_per_word=config.model.window + 1 if part == "train" else 1,
        )
        for part, numbers in ids.items()
    }
    return Datasets(**splits, facts={"vocabulary": list(vocabulary)})


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss, and how often the neighbour stands above all noise words."""
    import keras
    from keras import ops

    from tfdlcv.models.skip_gram import skip_gram
    from tfdlcv.training.task import Task

    network = skip_gram(len(facts["vocabulary"]), dimensions=config.model.dimensions)

    def losses(batch, logits):
        logits = ops.cast(logits, "float32")
        terms = ops.softplus(-logits[:, 0]) + ops.sum(ops.softplus(logits[:, 1:]), axis=1)  # (B,)
        valid = ops.cast(batch["valid"], "float32")
        return {"negative_sampling": ops.sum(terms * valid) / ops.maximum(ops.sum(valid), 1.0)}

    def above_noise(batch, logits):
        return ops.cast(logits[:, 0] > ops.max(logits[:, 1:], axis=1), "float32"), batch["valid"]

    accuracy = keras.metrics.Mean(name="accuracy")
    options = sequence_networks.task_options(config.trainer)
    return Task(network, losses=losses, metrics=[accuracy], metric_inputs=above_noise, **options)


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: the most frequent words on a plane."""
    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.word_map import draw_word_map

    words = facts["vocabulary"][:_MAP_WORDS]
    return {
        "word_map": Picture(
            read=lambda: _vectors(task)[: len(words)], draw=lambda vectors: draw_word_map(words, vectors)
        )
    }


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: words to their vectors and neighbours, and three words to what completes the analogy."""
    import numpy as np
    import tensorflow as tf

    from tfdlcv.training.export import Serving, WarmupRequest

    vocabulary = tf.constant(facts["vocabulary"])
    count = max(min(_NEIGHBOURS, len(facts["vocabulary"]) - 3), 1)  # Without the words of the question.
    table = tf.Variable(_vectors(task), trainable=False, name="vectors")

    def look_up(words):
        same = words[:, None] == vocabulary  # (B, V)
        known = tf.reduce_any(same, axis=1)
        unknown = tf.boolean_mask(words, tf.logical_not(known))
        message = [f"words must be among the {len(facts['vocabulary'])} of the vocabulary; not among them:", unknown]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), message)]):
            return tf.argmax(same, axis=1)

    def neighbours(queries, excluded):
        unit = tf.math.l2_normalize(table, axis=1)
        cosines = tf.matmul(tf.math.l2_normalize(queries, axis=1), unit, transpose_b=True)  # (B, V)
        hidden = tf.reduce_max(tf.one_hot(excluded, vocabulary.shape[0]), axis=1)  # (B, V)
        best = tf.math.top_k(cosines - 3.0 * hidden, count)  # Cosines differ by 2 at most.
        return {"neighbours": tf.gather(vocabulary, best.indices), "cosines": best.values}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="words")], autograph=False)
    def nearest_words(words):
        indices = look_up(tf.ensure_shape(words, (None,)))
        vectors = tf.gather(table, indices)
        return {"vectors": vectors, **neighbours(vectors, indices[:, None])}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name=name) for name in "abc"], autograph=False)
    def analogies(a, b, c):
        indices = [look_up(tf.ensure_shape(words, (None,))) for words in (a, b, c)]
        unit = tf.math.l2_normalize(table, axis=1)
        of_a, of_b, of_c = (tf.gather(unit, index) for index in indices)
        return neighbours(of_b - of_a + of_c, tf.stack(indices, axis=1))

    word = np.array([facts["vocabulary"][0]], dtype=object)
    return Serving(
        signatures={"serving_default": nearest_words, "analogies": analogies},
        warmup_requests=(WarmupRequest("serving_default", {"words": word}),),
    )


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Of text files: for a line of one word, its neighbours; for a line `a b c`, what is to c as b is to a."""
    from tfdlcv.models import skip_gram

    vocabulary = facts["vocabulary"]
    number = {word: index for index, word in enumerate(vocabulary)}
    vectors = _vectors(task)
    answers = []
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        for line_number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            words = (line.lower() if config.data.lower_case else line).split()
            if not words:
                continue
            try:
                indices = _indices(words, number, f"{path}:{line_number}")
            except UserError as error:
                if on_error == "stop":
                    raise
                print(f"Skipped: {error}")
                continue
            if len(words) == 1:
                found, cosines = (
                    values[0]
                    for values in skip_gram.nearest(vectors, vectors[indices], _NEIGHBOURS, leave_out=[indices])
                )
            else:
                found, cosines = skip_gram.analogy(vectors, *indices, count=_NEIGHBOURS)
            nearest = [
                (vocabulary[index], round(float(cosine), 4)) for index, cosine in zip(found, cosines, strict=True)
            ]
            answers.append({"words": words, "nearest": nearest})
            print(f"{' '.join(words)}: {', '.join(word for word, _ in nearest[:5])}")
    if not answers:
        raise UserError("there is no word to look up")
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "words.json"
    target.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {"words": target}


def _indices(words: Sequence[str], number: dict[str, int], where: str) -> list[int]:
    if len(words) not in (1, 3):
        raise UserError(f"{where} must hold 1 word or 3, but holds {len(words)}")
    unknown = [word for word in words if word not in number]
    if unknown:
        raise UserError(f"{where}: {', '.join(unknown)} not among the {len(number)} words of the vocabulary")
    return [number[word] for word in words]


def _vectors(task: Task):
    from keras import ops

    return ops.convert_to_numpy(task.network.get_layer("vectors").embeddings)
