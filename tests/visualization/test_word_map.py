"""Words on a plane."""

import numpy as np
import pytest

from tfdlcv.visualization.piano_roll import draw_piano_rolls
from tfdlcv.visualization.word_map import draw_word_map


def test_every_word_changes_the_picture():
    vectors = np.random.RandomState(0).randn(4, 5)
    first = draw_word_map(["a", "b", "$c", "d"], vectors)
    assert first.dtype == np.uint8 and first.shape == (700, 900, 3)
    assert (first != draw_word_map(["a", "b", "$c", "else"], vectors)).any()
    with pytest.raises(ValueError, match="words \\(3\\)"):
        draw_word_map(["a", "b", "c"], vectors)


def test_piano_rolls():
    roll = np.zeros((20, 88))
    empty = draw_piano_rolls({"played": roll})
    roll[3, 40] = 1
    assert (draw_piano_rolls({"played": roll}) != empty).any()
    assert draw_piano_rolls({"played": roll, "expected": roll}).shape == (440, 800, 3)
    with pytest.raises(ValueError, match="at least one"):
        draw_piano_rolls({})
