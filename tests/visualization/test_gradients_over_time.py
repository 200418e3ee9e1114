"""The picture of gradients over time."""

import numpy as np
import pytest

from tfdlcv.visualization.gradients_over_time import draw_gradients_over_time


def test_lines_differ_and_zeros_can_be_drawn():
    falling = draw_gradients_over_time({"rnn": 0.5 ** np.arange(30.0)[::-1]})
    assert falling.dtype == np.uint8 and falling.shape == (400, 700, 3)
    both = draw_gradients_over_time({"rnn": 0.5 ** np.arange(30.0)[::-1], "tcn": np.zeros(30)})
    assert (falling != both).any() and falling.std() > 5


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="at least 1 step. Received: { ?{?'rnn': \\(0,\\)"):
        draw_gradients_over_time({"rnn": np.zeros(0)})
    with pytest.raises(ValueError, match="Received"):
        draw_gradients_over_time({})
