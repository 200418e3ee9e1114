import numpy as np
import pytest

from tfdlcv.visualization.embedding_map import draw_embedding_map, tsne


def clusters(count=12, dimensions=6):
    """Three clusters that lie far apart, and which is whose."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], count)
    return 20 * np.eye(3, dimensions)[labels] + random.normal(size=(3 * count, dimensions)), labels


def test_neighbours_stay_neighbours():
    embeddings, labels = clusters()
    positions = tsne(embeddings)
    assert positions.shape == (36, 2)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(labels[distances.argmin(axis=1)], labels)


def test_the_same_embeddings_make_the_same_map():
    embeddings = clusters(4)[0]
    np.testing.assert_array_equal(tsne(embeddings), tsne(embeddings))


def test_maps_and_single_numbers_are_embeddings_too():
    embeddings = clusters(4, 8)[0]
    np.testing.assert_array_equal(tsne(embeddings.reshape(12, 2, 2, 2)), tsne(embeddings))
    assert np.isfinite(tsne(np.arange(10.0)[:, None])).all()


def test_the_fewest_are_ten():
    with pytest.raises(ValueError, match="embeddings must be at least 10. Received: 9"):
        tsne(np.ones((9, 3)))


def test_wrong_ones_are_ringed_and_classes_coloured():
    positions = np.random.default_rng(0).normal(size=(30, 2))
    labels = np.arange(30) % 3
    plain = draw_embedding_map(positions, labels, ["a", "b", "c"])
    ringed = draw_embedding_map(positions, labels, ["a", "b", "c"], wrong=np.arange(30) < 5)
    assert not np.array_equal(plain, ringed)
    assert len({tuple(color) for color in plain.reshape(-1, 3)} & {(31, 119, 180), (255, 127, 14), (44, 160, 44)}) == 3
    one = draw_embedding_map(positions, np.zeros(30, int), ["a", "b", "c"])
    assert (255, 127, 14) not in {tuple(color) for color in one.reshape(-1, 3)}


def test_many_classes_are_numbers():
    positions = np.random.default_rng(0).normal(size=(30, 2))
    picture = draw_embedding_map(positions, np.arange(30), [f"class {i}" for i in range(30)])
    assert (picture[50:-50, 50:600] < 60).all(axis=-1).sum() > 100  # Ink.
    with pytest.raises(ValueError, match=r"positions \(30, 2\) must be \(N, 2\) for the 29 class_ids"):
        draw_embedding_map(positions, np.arange(29), [])
