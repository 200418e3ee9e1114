"""Text as sequences of words or characters, from files or from the documentation in scikit-learn.

The batch dict is described in `tfdlcv.data.sequences`.

    tokens: (B, T) int32.
    targets: (B, T) int32, the tokens one place later.
    counted: (B, T) bool: in training the last `scored` of the T places, whose history is long; in evaluation each place
        of the text once.

files: `train.txt`, `valid.txt` and `test.txt` in a folder, in the layout of the Penn Treebank files (words apart by
    blanks; the end of a line is the word <eos>).
sklearn: the documentation in scikit-learn's modules, some 1.2 MB of technical English; of each module the last two
    tenths are for validation and testing.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

END, UNKNOWN = "<eos>", "<unk>"
_SKLEARN_PARTS = ("cluster", "decomposition", "ensemble", "linear_model", "metrics", "model_selection", "svm")
_FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}


class _TextConfig(Section):
    unit: Literal["word", "character"] = "character"
    lower_case: bool = False
    vocabulary_size: int | None = Field(None, ge=2)
    """Keep the most frequent words or characters of the training text, <unk> included; the others become <unk>."""
    steps: int = Field(ge=1)
    """T, the length of a sequence."""
    scored: int | None = Field(None, ge=1)
    """How many of the T places count in training, the last ones; default: all."""

    @model_validator(mode="after")
    def _scored_fits(self):
        if self.scored is not None and self.scored > self.steps:
            raise ValueError(f"scored ({self.scored}) must be at most steps ({self.steps})")
        return self


class TextFiles(_TextConfig):
    """train.txt, valid.txt and test.txt of a folder."""

    name: Literal["files"]
    folder: str = Field(min_length=1)


class SklearnText(_TextConfig):
    """The documentation in the modules of scikit-learn."""

    name: Literal["sklearn"]


TextConfig = Annotated[TextFiles | SklearnText, Field(discriminator="name")]


@dataclass(frozen=True)
class Text:
    """Splits, and the V tokens in the order of their numbers."""

    train: Split
    validation: Split
    test: Split
    vocabulary: tuple[str, ...]


def build(config: TextConfig) -> Text:
    """Reads the text, counts its vocabulary, and cuts it into sequences."""
    texts = read(config)
    units = {part: tokenize(text, config.unit, config.lower_case) for part, text in texts.items()}
    vocabulary = vocabulary_of(units["train"], config.vocabulary_size)
    scored = config.scored or config.steps
    ids = {part: encode(tokens, vocabulary, what=f"the {part} text") for part, tokens in units.items()}
    for part, numbers in ids.items():
        if len(numbers) <= config.steps:
            raise UserError(
                f"the {part} text has {len(numbers)} tokens; data.steps ({config.steps}) needs at least "
                f"{config.steps + 1}"
            )
    return Text(
        train=_windows(ids["train"], config.steps, scored, evaluation=False),
        validation=_windows(ids["validation"], config.steps, scored, evaluation=True),
        test=_windows(ids["test"], config.steps, scored, evaluation=True),
        vocabulary=vocabulary,
    )


def read(config: TextConfig) -> dict[str, str]:
    """The texts of train, validation and test."""
    if isinstance(config, SklearnText):
        return _read_sklearn()
    texts = {}
    for part, name in _FILES.items():
        path = Path(config.folder).expanduser() / name
        if not path.is_file():
            raise UserError(f"{path}: no such file; data.folder must hold {', '.join(_FILES.values())}")
        try:
            texts[part] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from None
    return texts


def tokenize(text: str, unit: Literal["word", "character"], lower_case: bool = False) -> list[str]:
    """Words apart by blanks with <eos> at each line's end, or characters."""
    text = text.lower() if lower_case else text
    if unit == "character":
        return list(text)
    return [word for line in text.splitlines() for word in (*line.split(), END)]


def vocabulary_of(tokens: Sequence[str], size: int | None = None) -> tuple[str, ...]:
    """The tokens of a text, the most frequent first; with a `size`, <unk> takes the place of the rare ones."""
    ranked = [token for token, _ in sorted(collections.Counter(tokens).items(), key=lambda item: (-item[1], item[0]))]
    if size is None or len(ranked) <= size:
        return tuple(ranked)
    kept = [token for token in ranked if token != UNKNOWN][: size - 1]
    return (UNKNOWN, *kept)


def encode(tokens: Sequence[str], vocabulary: Sequence[str], *, what: str = "the text") -> np.ndarray:
    """Numbers (N,) int32 of tokens; those outside the vocabulary become <unk>.

    Raises:
        UserError: a token outside a vocabulary that has no <unk>.
    """
    number = {token: index for index, token in enumerate(vocabulary)}
    unknown = number.get(UNKNOWN)
    if unknown is None:
        outside = next((index for index, token in enumerate(tokens) if token not in number), None)
        if outside is not None:
            raise UserError(
                f"{what}: token {outside}, {tokens[outside]!r}, is outside the vocabulary of {len(vocabulary)} tokens, "
                f"which has no {UNKNOWN}; set data.vocabulary_size below {len(vocabulary)} to have one"
            )
    return np.array([number.get(token, unknown) for token in tokens], np.int32)


def decode(ids: Sequence[int], vocabulary: Sequence[str], unit: Literal["word", "character"]) -> str:
    """Text of numbers."""
    tokens = [vocabulary[index] for index in ids]
    return "".join(tokens) if unit == "character" else " ".join(tokens).replace(f" {END}", "\n")


def _windows(ids: np.ndarray, steps: int, scored: int, *, evaluation: bool) -> Split:
    """Sequences that overlap so that every place is scored once; in evaluation the first one is scored whole."""
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    last_start = len(ids) - 1 - steps
    starts = [*range(0, last_start + 1, scored)]
    if evaluation and starts[-1] < last_start:
        starts.append(last_start)
    firsts = [0 if evaluation and index == 0 else steps - scored for index in range(len(starts))]
    if evaluation and len(starts) > 1:
        firsts[-1] = starts[-2] + steps - starts[-1]  # What the sequence before has scored does not count again.
    with tf.device("CPU:0"):
        ids, starts, firsts = (tf.constant(np.asarray(values, np.int32)) for values in (ids, starts, firsts))

    def fetch(indices):
        places = tf.gather(starts, indices)[:, None] + tf.range(steps + 1)
        window = tf.gather(ids, places)  # (B, T + 1)
        counted = tf.range(steps) >= tf.gather(firsts, indices)[:, None]
        return {"tokens": window[:, :-1], "targets": window[:, 1:], "counted": counted}

    return Split(len(starts), fetch, lambda index: f"sequence {index}, from token {int(starts[index])}")


def _read_sklearn() -> dict[str, str]:
    import ast
    import importlib.util

    package = importlib.util.find_spec("sklearn")
    if package is None:
        raise UserError("data.name sklearn needs the package scikit-learn, which ships this text")
    texts = []
    for part in _SKLEARN_PARTS:
        for path in sorted((Path(package.origin).parent / part).glob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
            docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
            texts.append("\n".join(docstrings).encode("ascii", "ignore").decode())
    # Every file is divided, since each has a vocabulary of its own.
    cuts = [(text, int(0.8 * len(text)), int(0.9 * len(text))) for text in texts]
    return {
        "train": "\n".join(text[:first] for text, first, _ in cuts),
        "validation": "\n".join(text[first:second] for text, first, second in cuts),
        "test": "\n".join(text[second:] for text, _, second in cuts),
    }
