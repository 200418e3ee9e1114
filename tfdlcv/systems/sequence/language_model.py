"""Language models: which word or character comes next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.data.text import TextConfig
from tfdlcv.errors import UserError
from tfdlcv.systems import sequence_networks
from tfdlcv.systems.sequence_networks import GruConfig, LstmConfig, RnnConfig, TcnConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    import keras

    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_CONTINUATION = 200  # Tokens that `predict` adds to a text.


class _Embedding(Section):
    embedding_size: int = Field(ge=1)
    embedding_dropout: float = Field(0.0, ge=0, lt=1)
    embedding_initializer: Literal["words", "characters"] = "words"
    """As the authors' two models have it. words: N(0, 0.01); characters: uniform in +-0.1."""
    tied: bool = False
    """Whether the output layer shares the embedding's matrix; last_filters (by default filters) or units must then
    equal embedding_size."""

    @model_validator(mode="after")
    def _tied_sizes(self):
        names = [name for name in ("last_filters", "filters", "units") if getattr(self, name, None) is not None]
        if self.tied and not names:
            raise ValueError("tied needs units, not parameters: they must equal embedding_size")
        width = getattr(self, names[0], None) if names else None
        if self.tied and width != self.embedding_size:
            raise ValueError(f"tied needs {names[0]} ({width}) to equal embedding_size ({self.embedding_size})")
        return self


class TcnLanguageConfig(_Embedding, TcnConfig):
    """Temporal convolutional network on embeddings."""


class RnnLanguageConfig(_Embedding, RnnConfig):
    """Tanh units on embeddings."""


class LstmLanguageConfig(_Embedding, LstmConfig):
    """LSTM units on embeddings."""


class GruLanguageConfig(_Embedding, GruConfig):
    """Gated recurrent units on embeddings."""


LanguageNetworkConfig = Annotated[
    TcnLanguageConfig | RnnLanguageConfig | LstmLanguageConfig | GruLanguageConfig, Field(discriminator="name")
]


class CrossEntropyConfig(Section):
    """Cross-entropy, the mean over counted places."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Config(Section):
    """A run of a language model."""

    system: Literal["sequence/language_model"]
    model: LanguageNetworkConfig
    data: TextConfig
    loss: CrossEntropyConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Reads the text and its vocabulary."""
    from tfdlcv.data import text
    from tfdlcv.data.pipeline import Datasets

    data = text.build(config.data)
    return Datasets(data.train, data.validation, data.test, {"vocabulary": list(data.vocabulary)})


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss, and perplexity of words or bits per character."""
    from tfdlcv.losses import sequence as sequence_losses
    from tfdlcv.metrics.sequence import BitsPerToken, Perplexity
    from tfdlcv.training.task import Task

    options = sequence_networks.task_options(config.trainer)
    network = build_network(config.model, vocabulary_size=len(facts["vocabulary"]), xla=options["xla"])

    def losses(batch, logits):
        places = sequence_losses.step_cross_entropy(logits, batch["targets"])
        mean = sequence_losses.mean_over_steps(places, counted=batch["counted"], valid=batch["valid"])
        return {"cross_entropy": mean}

    def counted_places(batch, logits):
        places = sequence_losses.step_cross_entropy(logits, batch["targets"])
        return places, sequence_losses.step_weights(places, counted=batch["counted"], valid=batch["valid"])

    metric = Perplexity(name="perplexity") if config.data.unit == "word" else BitsPerToken(name="bits_per_character")
    return Task(network, losses=losses, metrics=[metric], metric_inputs=counted_places, **options)


def build_network(config: LanguageNetworkConfig, *, vocabulary_size: int, xla: bool) -> keras.Model:
    """`tokens` (B, T) int32 -> logits (B, T, V) float32."""
    import keras

    from tfdlcv.layers.tied_head import TiedHead

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    if config.embedding_initializer == "characters":
        initializer = keras.initializers.RandomUniform(-0.1, 0.1)
    embedding = keras.layers.Embedding(vocabulary_size, config.embedding_size, initializer, name="embedding")
    x = embedding(tokens)
    if config.embedding_dropout:
        x = keras.layers.Dropout(config.embedding_dropout, name="embedding_dropout")(x)
    plain = type(config).__mro__[2]  # The network's section without those of the embedding.
    body = sequence_networks.build_sequence_network(
        plain(**config.model_dump(include=set(plain.model_fields))),
        input_shape=(None, config.embedding_size),
        outputs=vocabulary_size,
        last_step_only=False,
        xla=xla,
        head=TiedHead(embedding, name="head") if config.tied else None,
    )
    return keras.Model(tokens, body(x), name=body.name)


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """None: what a language model says is text; see `predict`."""
    return {}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: tokens to probabilities of the next one; of a TCN, also token by token."""
    import tensorflow as tf

    from tfdlcv.training.sequence_serving import sequence_serving

    def describe(logits):
        return {"probabilities": tf.nn.softmax(logits), "token": tf.argmax(logits, axis=-1)}

    return sequence_serving(task.network, describe=describe, vocabulary_size=len(facts["vocabulary"]))


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Continues texts in files: draws tokens by their probabilities and writes each text to `directory`."""
    import numpy as np

    from tfdlcv.data import text

    vocabulary = facts["vocabulary"]
    written = {}
    for path in paths:
        try:
            if not path.is_file():
                raise UserError(f"{path}: no such file")
            prompt = text.tokenize(
                path.read_text(encoding="utf-8").rstrip("\n"), config.data.unit, config.data.lower_case
            )
            if config.data.unit == "word" and prompt:
                prompt = prompt[:-1]  # The text goes on in its last line.
            if not prompt:
                raise UserError(f"{path} holds no text to continue")
            ids = text.encode(prompt, vocabulary, what=str(path))
        except UserError as error:
            if on_error == "stop":
                raise
            print(f"Skipped: {error}")
            continue
        random = np.random.RandomState(config.trainer.seed)
        drawn = continue_tokens(task.network, ids, _CONTINUATION, random, most_steps=config.data.steps)
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / f"{path.stem}_continued.txt"
        target.write_text(text.decode([*ids, *drawn], vocabulary, config.data.unit) + "\n", encoding="utf-8")
        written[path.stem] = target
    if not written:
        raise UserError("there is no text to continue")
    return written


def continue_tokens(network: keras.Model, ids, count: int, random, *, most_steps: int) -> list[int]:
    """Draws `count` tokens after `ids` (N,); a TCN streams, another network reads the last `most_steps` again."""
    import numpy as np
    import tensorflow as tf

    from tfdlcv.models.tcn_streaming import TcnStream

    ids = np.asarray(ids, np.int32)
    try:
        stream = TcnStream(network)
    except ValueError:
        stream = None
    if stream is not None:
        step = tf.function(stream.step, autograph=False)
        logits, state = step(tf.constant(ids[None]), stream.initial_state(1))
    drawn: list[int] = []
    for _ in range(count):
        if stream is None:
            window = np.concatenate([ids, np.array(drawn, np.int32)])[-most_steps:]
            logits = network(window[None], training=False)
        scores = np.asarray(logits[0, -1], np.float64)
        probabilities = np.exp(scores - scores.max())
        drawn.append(int(random.choice(len(scores), p=probabilities / probabilities.sum())))
        if stream is not None:
            logits, state = step(tf.constant([[drawn[-1]]], tf.int32), state)
    return drawn
