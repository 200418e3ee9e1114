"""Skip-gram's logits, nearest words and analogies by hand."""

import numpy as np
import pytest

from tfdlcv.models.skip_gram import analogy, nearest, skip_gram

# Two axes, royalty and sex: king, queen, man, woman, and two words aside.
VECTORS = np.array([[1, 1, 0], [1, -1, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0.1, 1]], float)


def test_logits_are_products():
    network = skip_gram(5, dimensions=3)
    contexts = np.random.RandomState(0).randn(5, 3)
    network.get_layer("contexts").set_weights([contexts])
    vectors = network.get_layer("vectors").get_weights()[0]
    assert np.abs(vectors).max() <= 0.5 / 3
    logits = network({"center": np.array([4, 0]), "candidates": np.array([[1, 2], [3, 3]])})
    expected = [[vectors[4] @ contexts[1], vectors[4] @ contexts[2]], [vectors[0] @ contexts[3]] * 2]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_nearest_and_analogy():
    indices, cosines = nearest(VECTORS, VECTORS[[4]], 2, leave_out=[[4]])
    assert indices[0, 0] == 5
    assert cosines[0, 0] == pytest.approx(1 / np.sqrt(1.01))
    assert analogy(VECTORS, 2, 0, 3)[0][0] == 1  # Man is to king as woman is to queen.
    assert len(analogy(VECTORS, 2, 0, 3, count=10)[0]) == 3


def test_bad_sizes():
    with pytest.raises(ValueError, match="dimensions=0"):
        skip_gram(5, dimensions=0)
