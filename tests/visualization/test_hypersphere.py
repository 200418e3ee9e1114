import numpy as np
import pytest

from tfdlcv.ops.prototypes import separate
from tfdlcv.visualization import hypersphere
from tfdlcv.visualization.hypersphere import draw_hypersphere

NAMES = tuple("abcde")


def colored(picture):
    """Pixels that are neither white nor grey."""
    wide = picture.astype(int)
    return (wide.max(axis=-1) - wide.min(axis=-1)) > 40


@pytest.mark.parametrize("dimensions", [2, 3, 7])
def test_it_draws_every_dimension(dimensions):
    points = separate(5, dimensions)
    labels = np.arange(40) % 5
    embeddings = points[labels] + 0.1 * np.random.default_rng(0).standard_normal((40, dimensions))
    picture = draw_hypersphere(embeddings, labels=labels, class_names=NAMES, prototypes=points, title="title")
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    without = draw_hypersphere(embeddings, labels=labels, class_names=NAMES)
    assert colored(picture).sum() > colored(without).sum() > 500


def test_dots_lie_where_their_directions_are():
    right, up = (
        draw_hypersphere(np.array([direction] * 3), labels=[0, 0, 0]) for direction in ([5.0, 0.0], [0.0, 0.2])
    )
    assert np.argwhere(colored(right))[:, 1].min() > 450  # Of 560 pixels.
    assert np.argwhere(colored(up))[:, 0].max() < 150


def test_the_near_side_of_the_sphere_is_strong_and_the_far_side_pale():
    _, front = hypersphere._seen(np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert front.tolist() == [True, True, False]
    places, _ = hypersphere._seen(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    assert places[0, 1] > 0.8 and places[1, 1] < -0.8  # The poles are up and down.


def test_more_dimensions_are_seen_from_where_they_vary():
    generator = np.random.default_rng(0)
    points = np.zeros((50, 6))
    points[:, [1, 3, 4]] = generator.standard_normal((50, 3))
    shown, rings = hypersphere._in_three_dimensions(points, points[:4])
    np.testing.assert_allclose(np.linalg.norm(shown, axis=1), np.linalg.norm(points, axis=1))
    np.testing.assert_allclose(rings, shown[:4])


def test_values_and_zero_embeddings():
    embeddings = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert colored(draw_hypersphere(embeddings, values=[0.0, 5.0, 10.0], value_name="angle")).any()
    draw_hypersphere(embeddings, values=[3.0, 3.0, 3.0])


def test_many_classes_are_coloured_but_not_named():
    labels = np.arange(60)
    embeddings = np.random.default_rng(0).standard_normal((60, 3))
    draw_hypersphere(embeddings, labels=labels, class_names=[str(i) for i in labels])
    assert len(np.unique(hypersphere._class_colors(60), axis=0)) == 60


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"embeddings": np.ones((3, 1)), "labels": [0, 0, 0]}, r"d at least 2. Received: shape=\(3, 1\)"),
        ({"embeddings": np.ones((3, 2))}, "either labels or values"),
        ({"embeddings": np.ones((1, 2)), "labels": [0], "values": [1.0]}, "either labels or values"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_hypersphere(**arguments)
