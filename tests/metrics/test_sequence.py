"""Perplexity and bits of cross-entropies, over batches of different weight."""

import numpy as np
import pytest

from tfdlcv.metrics.sequence import BitsPerToken, Perplexity


@pytest.mark.parametrize(("metric", "expected"), [(Perplexity(), 8.0), (BitsPerToken(), 3.0)])
def test_of_a_uniform_choice_among_eight(metric, expected):
    metric.update_state(np.full((2, 3), np.log(8)), np.ones((2, 3)))
    metric.update_state(np.full((1, 3), 100.0), np.zeros((1, 3)))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_the_mean_is_taken_before_the_exponential():
    metric = Perplexity()
    metric.update_state(np.log([2.0]), [3.0])
    metric.update_state(np.log([32.0]), [1.0])
    assert float(metric.result()) == pytest.approx(4.0, rel=1e-5)
