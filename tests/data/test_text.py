"""Text: tokens, vocabularies, windows that score every place once, and errors with their numbers."""

import numpy as np
import pydantic
import pytest
import tensorflow as tf

from tfdlcv.data import text
from tfdlcv.data.text import SklearnText, TextFiles
from tfdlcv.errors import UserError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.txt").write_text(" the cat sat \n the dog sat \n the end \n" * 3)
    (tmp_path / "valid.txt").write_text(" the cat sat \n the dog \n")
    (tmp_path / "test.txt").write_text(" the end \n the dog sat \n")
    return str(tmp_path)


def test_words(folder):
    data = text.build(TextFiles(name="files", folder=folder, unit="word", steps=4))
    assert data.vocabulary[:2] == ("<eos>", "the") and len(data.vocabulary) == 6
    batch = data.train.fetch(tf.constant([0, 1]))
    np.testing.assert_array_equal(batch["targets"][:, :-1], batch["tokens"][:, 1:])
    words = text.decode(np.asarray(batch["tokens"][0]), data.vocabulary, "word")
    assert words == "the cat sat\n"


def test_rare_words_become_unknown_and_without_it_are_errors(folder):
    data = text.build(TextFiles(name="files", folder=folder, unit="word", steps=4, vocabulary_size=4))
    assert data.vocabulary == ("<unk>", "<eos>", "the", "sat")
    with pytest.raises(UserError, match="token 1, 'bird', is outside the vocabulary of 2 tokens"):
        text.encode(["the", "bird"], ["the", "cat"])
    assert text.encode(["the", "bird"], ["<unk>", "the"]).tolist() == [1, 0]


@pytest.mark.parametrize("scored", [None, 1, 3, 5])
def test_every_place_counts_once_in_evaluation(scored):
    ids = np.arange(23, dtype="int32")
    split = text._windows(ids, 5, scored or 5, evaluation=True)
    batch = {name: value.numpy() for name, value in split.fetch(tf.range(split.num_examples)).items()}
    counted = batch["targets"][batch["counted"]]
    assert sorted(counted) == [*range(1, 23)]


def test_only_the_last_places_count_in_training():
    split = text._windows(np.arange(23, dtype="int32"), 5, 2, evaluation=False)
    counted = split.fetch(tf.range(split.num_examples))["counted"].numpy()
    assert (counted == [False, False, False, True, True]).all() and len(counted) == 9


def test_shipped_text():
    data = text.build(SklearnText(name="sklearn", steps=50, vocabulary_size=64))
    assert data.train.num_examples > 1000 and len(data.vocabulary) == 64
    assert text.decode(np.asarray(data.train.fetch(tf.constant([0]))["tokens"])[0], data.vocabulary, "character")


def test_bad_input(folder, tmp_path):
    with pytest.raises(UserError, match="test text has 6 tokens; data.steps \\(50\\)|text has .* needs at least 51"):
        text.build(TextFiles(name="files", folder=folder, unit="word", steps=50))
    with pytest.raises(UserError, match="no such file; data.folder must hold train.txt"):
        text.build(TextFiles(name="files", folder=str(tmp_path / "none"), unit="word", steps=5))
    with pytest.raises(pydantic.ValidationError, match="scored \\(6\\) must be at most steps \\(5\\)"):
        SklearnText(name="sklearn", steps=5, scored=6)
