import numpy as np
import pytest

from tfdlcv.visualization.value_maps import draw_value_maps, error_map

IMAGE = np.full((20, 30, 3), 90, np.uint8)


def test_errors_of_depth_are_metres_and_of_normals_degrees():
    truth = np.array([[[2.0], [np.nan]]])
    np.testing.assert_array_equal(error_map(np.array([[[1.5], [3.0]]]), truth, "depth"), [[0.5, np.nan]])
    truth = np.array([[[0, 0, 1.0], [0, 1.0, 0], [np.nan] * 3]])
    found = np.array([[[0, 3.0, 0], [0, 0.5, 0], [1, 0, 0]]])
    np.testing.assert_allclose(error_map(found, truth, "normals"), [[90, 0, np.nan]], atol=1e-6)


def test_near_and_far_have_the_same_colour_in_truth_and_prediction():
    depth = np.linspace(1, 5, 600).reshape(20, 30, 1)
    same = draw_value_maps([IMAGE], [depth], "depth", truths=[depth], tile_pixels=120)
    columns = [same[60:80, 126 * column + 6 : 126 * column + 126] for column in (1, 2)]
    np.testing.assert_array_equal(*columns)
    assert np.ptp(columns[0].reshape(-1, 3), axis=0).max() > 5
    other = draw_value_maps([IMAGE], [depth[::-1]], "depth", truths=[depth], tile_pixels=120)
    assert (other != same).any()


def test_unknown_depth_is_white_and_unknown_errors_too():
    depth = np.ones((20, 30, 1))
    truth = depth.copy()
    truth[:, :15] = np.nan
    picture = draw_value_maps([IMAGE], [depth], "depth", truths=[truth], tile_pixels=120)
    for column in (1, 3):
        assert (picture[80, 126 * column + 20] == 255).all() and (picture[80, 126 * column + 110] != 255).any()


def test_normals_are_colours():
    normals = np.broadcast_to(np.array([0, 0, -1.0]), (20, 30, 3))
    picture = draw_value_maps([IMAGE], [normals], "normals", tile_pixels=60)
    facing = (picture == (128, 128, 0)).all(axis=-1)
    assert facing[:80].sum() == 60 * 40


def test_the_legend_of_normals_has_six_directions():
    picture = draw_value_maps([IMAGE], [np.ones((20, 30, 3))], "normals", tile_pixels=400)
    squares = []
    for axis in range(3):
        for end in (0, 255):
            rows, columns = np.nonzero((picture == np.where(np.arange(3) == axis, end, 128)).all(axis=-1))
            assert len(rows) == 11 * 11 and rows.min() > 400 * 20 // 30
            squares.append((rows.min(), columns.min()))
    # Left, right, up, down, towards the camera and away from it: y is down and z away.
    assert squares == sorted(squares)


def test_nothing_known_is_no_fault():
    unknown = np.full((20, 30, 1), np.nan)
    assert draw_value_maps([IMAGE], [np.ones((20, 30, 1))], "depth", truths=[unknown]).ndim == 3


@pytest.mark.parametrize("values", [[], [np.zeros((3, 3, 1))]])
def test_values_must_fit_the_images(values):
    with pytest.raises(ValueError, match="values must be as many as the images, and of their sizes"):
        draw_value_maps([IMAGE], values, "depth")
