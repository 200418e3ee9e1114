import numpy as np
import pytest

from tfdlcv.visualization.point_clouds import (
    class_colors,
    draw_cloud_predictions,
    draw_labels,
    draw_point_cloud,
    draw_segmentations,
)

RED, BLUE = (255, 0, 0), (0, 0, 255)


def places(picture, color, tolerance=40):
    """Mean row and column of the pixels that are near a colour, and how many there are."""
    near = np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance
    rows, columns = np.nonzero(near)
    return rows.mean(), columns.mean(), len(rows)


def test_up_is_up():
    positions = np.array([[0, 0, 0], [0, 0, 1.0]])
    for up_axis in (0, 1, 2):
        turned = np.roll(positions, up_axis - 2, axis=1)
        picture = draw_point_cloud(turned, np.array([RED, BLUE], np.uint8), up_axis=up_axis, elevation_degrees=10)
        low, high = (
            np.nonzero((picture[..., channel] > 200) & (picture[..., 1] < 150))[0].mean() for channel in (0, 2)
        )
        assert high < low - 100, up_axis


def test_the_nearer_point_hides_the_farther():
    # Seen from straight above, the one with the larger z is nearer.
    positions = np.array([[0, 0, 0], [0, 0, 1], [3, 3, 0.0]])
    colors = np.array([RED, BLUE, RED], np.uint8)
    picture = draw_point_cloud(positions, colors, elevation_degrees=90, point_pixels=9)
    assert (picture == BLUE).all(axis=-1).sum() == 81


def test_points_are_squares_of_the_asked_size():
    positions = np.array([[0, 0, 0], [1, 0, 0.0]])
    for side in (1, 4):
        picture = draw_point_cloud(positions, np.zeros((2, 3), np.uint8), size=(100, 80), point_pixels=side)
        assert picture.shape == (80, 100, 3) and (picture < 255).all(axis=-1).sum() == 2 * side**2


def test_a_hundred_thousand_points_and_none():
    positions = np.random.default_rng(0).random((100_000, 3))
    picture = draw_point_cloud(positions, np.zeros_like(positions, np.uint8), size=(160, 120))
    assert (picture < 255).any(axis=-1).mean() > 0.3
    assert (draw_point_cloud(np.zeros((0, 3)), np.zeros((0, 3), np.uint8)) == 255).all()


def test_one_point_and_equal_points():
    for positions in (np.zeros((1, 3)), np.ones((5, 3))):
        assert (draw_point_cloud(positions, np.zeros_like(positions, np.uint8)) < 255).any()


def test_arguments_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"\(points, 3\) both. Received: \(4, 3\) and \(5, 3\)"):
        draw_point_cloud(np.zeros((4, 3)), np.zeros((5, 3), np.uint8))


def test_class_colours_differ():
    for count in (2, 13, 50):
        colors = class_colors(count)
        assert colors.shape == (count, 3) and len(np.unique(colors, axis=0)) == count
    np.testing.assert_array_equal(class_colors(5), class_colors(50)[:5])


def test_labels_have_the_colours_of_their_classes():
    positions = np.random.default_rng(0).random((500, 3))
    truth = np.full(500, 2)
    guess = np.full(500, 3)
    picture = draw_labels(positions, {"truth": truth, "prediction": guess}, ["a", "b", "c", "d"], size=(200, 150))
    palette = class_colors(4).astype(int)
    # Side by side: the first in the colour of class 2, the second in that of class 3, both in the legend.
    assert places(picture[26:176], palette[2])[1] < 200 < places(picture[26:176], palette[3])[1]
    assert picture.shape[1] == 400 and picture.shape[0] > 176
    assert places(picture[176:], palette[2])[2] > 100 and places(picture[176:], palette[0])[2] > 100


def test_unknown_labels_are_dark():
    positions = np.random.default_rng(0).random((50, 3))
    picture = draw_labels(positions, {"truth": np.full(50, -1)}, ["a", "b"], size=(100, 80))
    cloud = picture[26:106]
    assert cloud[(cloud < 255).any(axis=-1)].max() < 120


def test_clouds_below_each_other():
    positions = np.random.default_rng(0).random((2, 50, 3))
    labels = np.zeros((2, 50), int)
    options = {"size": (100, 80)}
    two = draw_segmentations(positions, {"truth": labels, "prediction": labels}, ["a", "b"], **options)
    colored = draw_segmentations(
        positions, {"truth": labels, "prediction": labels}, ["a", "b"], colors=np.zeros((2, 50, 3), np.uint8), **options
    )
    assert two.shape[1] == 200 and colored.shape[1] == 300
    assert two.shape[0] == 2 * 106 + 29


def test_predictions_of_whole_clouds():
    positions = np.random.default_rng(0).random((3, 50, 3))
    logits = np.array([[3.0, 0], [0, 3], [3, 0]])
    right = draw_cloud_predictions(positions, logits, ["a", "b"], labels=[0, 1, 0])
    wrong = draw_cloud_predictions(positions, logits, ["a", "b"], labels=[1, 1, 0])
    assert right.ndim == 3 and (right != 255).any()
    assert right.shape != wrong.shape or (right != wrong).any()
