import numpy as np
import pytest

from tests.data.published_layouts import ROOT
from tfdlcv.data.class_semantics_files import read_hierarchy, read_word_vectors
from tfdlcv.errors import UserError

VECTORS = """cat 1 0 0.5
dog 0.9 0.1 0.5
maple_tree 0 1 0
oak 0 3 0
tree 0 1 2
Tokyo 1e-1 -2 3
"""


def test_word_vectors_by_any_spelling_and_as_means_of_words(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    vectors = read_word_vectors(path, ["cat", "maple tree", "Oak-Tree", "DOG", "Tokyo"])
    expected = [[1, 0, 0.5], [0, 1, 0], [0, 2, 1], [0.9, 0.1, 0.5], [0.1, -2, 3]]
    np.testing.assert_allclose(vectors, expected)


def test_header_of_word2vec(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("6 3\n" + VECTORS)
    np.testing.assert_allclose(read_word_vectors(path, ["dog"]), [[0.9, 0.1, 0.5]])


@pytest.mark.parametrize(
    "text, message",
    [
        (VECTORS, "has no vector for 2 of 3 classes: horse, red fox"),
        ("cat 1 2 3\ndog 1 2\n", "vectors.txt:2 has 2 values behind 'dog', and line 1 3"),
        ("cat 1 two 3\n", "vectors.txt:1: the values behind 'cat' are not all numbers"),
    ],
)
def test_faulty_word_vectors(tmp_path, text, message):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_word_vectors(path, ["horse", "cat", "red fox"])
    with pytest.raises(UserError, match="cannot read .*absent.txt: No such file"):
        read_word_vectors(tmp_path / "absent.txt", ["cat"])


def test_hierarchy_from_the_widest_group(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("cat, pet, animal\n\noak,tree\nunused,x\n")
    assert read_hierarchy(path, ["oak", "cat"]) == [("tree",), ("animal", "pet")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("cat,pet\n", "groups.csv lacks 1 of 2 classes: cats \\(near: cat\\)"),
        ("cat\n", "groups.csv: class cat has no group"),
        ("cat,pet\ncat,animal\n", "groups.csv has class cat twice"),
    ],
)
def test_faulty_hierarchies(tmp_path, text, message):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_hierarchy(path, ["cats", "cat"])


def test_the_groups_of_cifar100_are_twenty_of_five():
    path = ROOT / "configs" / "hyperspherical" / "cifar100_groups.csv"
    names = [line.split(",")[0] for line in path.read_text().split()]
    groups = read_hierarchy(path, sorted(names))
    assert len(set(names)) == 100
    assert sorted(groups.count(group) for group in set(groups)) == [5] * 20
