"""What is known of classes, from files: word vectors, or a hierarchy.

Word vectors are text, one word a line, with its values behind it, as word2vec's text format, GloVe and fastText have
it; a first line of two numbers is a header. A hierarchy is CSV without a header: a class, then its groups from the
narrowest to the widest.

Shape legend: K classes, D values of a word vector.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfdlcv.data.labelled_images import listed
from tfdlcv.errors import UserError


def read_word_vectors(path: str | Path, class_names: Sequence[str]) -> np.ndarray:
    """The vectors (K, D) float64 of the classes.

    A class is looked up by its name, as it is and in lower case, with spaces, hyphens or underscores between its words.
    A name that is not there takes the mean of its words' vectors.

    Raises:
        UserError: for a file that is not of this form, and for class names, or words of them, that it lacks.
    """
    path = Path(path).expanduser()
    spellings = {name: _spellings(name) for name in class_names}
    parts = {name: _spellings(name)[0].lower().split("_") for name in class_names}
    wanted = {spelling for each in spellings.values() for spelling in each} | {
        w for each in parts.values() for w in each
    }
    found = _read_vectors(path, wanted)
    vectors, missing = [], []
    for name in class_names:
        whole = next((found[spelling] for spelling in spellings[name] if spelling in found), None)
        if whole is None and all(word in found for word in parts[name]):
            whole = np.mean([found[word] for word in parts[name]], axis=0)
        if whole is None:
            missing.append(name)
        vectors.append(whole)
    if missing:
        raise UserError(f"{path} has no vector for {len(missing)} of {len(class_names)} classes: {listed(missing)}")
    return np.stack(vectors)


def read_hierarchy(path: str | Path, class_names: Sequence[str]) -> list[tuple[str, ...]]:
    """For each class its groups, from the widest to the narrowest.

    Raises:
        UserError: for a file that cannot be read, and for classes that it lacks, repeats or has besides.
    """
    path = Path(path).expanduser()
    groups: dict[str, tuple[str, ...]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file):
                cells = [cell.strip() for cell in row if cell.strip()]
                if not cells:
                    continue
                if len(cells) < 2:
                    raise UserError(f"{path}: class {cells[0]} has no group")
                if cells[0] in groups:
                    raise UserError(f"{path} has class {cells[0]} twice")
                groups[cells[0]] = tuple(reversed(cells[1:]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8: {error}") from None
    missing = [name for name in class_names if name not in groups]
    if missing:
        near = difflib.get_close_matches(missing[0], groups, n=1)
        hint = f" (near: {near[0]})" if near else ""
        raise UserError(f"{path} lacks {len(missing)} of {len(class_names)} classes: {listed(missing)}{hint}")
    return [groups[name] for name in class_names]


def _spellings(name: str) -> list[str]:
    words = name.replace("-", " ").replace("_", " ").split()
    joined = [separator.join(words) for separator in ("_", "-", "")]
    return [*dict.fromkeys([*joined, name, *(text.lower() for text in joined)])]


def _read_vectors(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    found, length = {}, None
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *values = line.rstrip().split(" ")
                if number == 1 and len(values) == 1:
                    continue  # word2vec's header: how many words and values.
                if length is None:
                    length = len(values)
                if len(values) != length or length < 2:
                    raise UserError(f"{path}:{number} has {len(values)} values behind {word!r}, and line 1 {length}")
                if word in wanted:
                    try:
                        found[word] = np.array(values, np.float64)
                    except ValueError:
                        raise UserError(f"{path}:{number}: the values behind {word!r} are not all numbers") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: {error}") from None
    return found
