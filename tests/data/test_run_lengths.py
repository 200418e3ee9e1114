import numpy as np
import pytest

from tfdlcv.data import run_lengths


def test_the_published_example():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    assert run_lengths.encode(mask) == {"size": [4, 5], "counts": [5, 2, 2, 2, 2, 2, 5]}


@pytest.mark.parametrize(
    "mask, counts",
    [
        (np.zeros((2, 3)), [6]),
        (np.ones((2, 3)), [0, 6]),
        ([[1, 0], [0, 0]], [0, 1, 3]),
        ([[0, 0], [0, 1]], [3, 1]),
    ],
)
def test_first_and_last_runs(mask, counts):
    assert run_lengths.encode(np.array(mask, bool))["counts"] == counts


def test_pycocotools_reads_the_same_masks():
    masks = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        mask = random.random((13, 7)) < share
        made = run_lengths.encode(mask)
        np.testing.assert_array_equal(run_lengths.decode(made), mask)
        np.testing.assert_array_equal(masks.decode(masks.frPyObjects(made, 13, 7)).astype(bool), mask)


def test_counts_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"add up to 2 x 3. Received: counts of sum 5"):
        run_lengths.decode({"size": [2, 3], "counts": [2, 3]})
