import numpy as np
import pytest

from tfdlcv.visualization import tiles
from tfdlcv.visualization.explanation_sheet import draw_explanations

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)


def test_a_table_has_its_images_in_rows_and_columns():
    shades = [[np.full((3, 3, 1), 10 * (2 * row + column + 1), np.uint8) for column in range(2)] for row in range(2)]
    shades[1][1] = None
    picture = tiles.draw_table(shades, tile_pixels=9)
    assert picture[6:15, 6:15].min() == picture[6:15, 6:15].max() == 10
    assert picture[6:15, 21:30].max() == 20 and picture[21:30, 6:15].max() == 30
    assert picture[21:30, 21:30].min() == 255


def test_titles_take_room_and_nothing_else():
    plain = tiles.draw_table([[IMAGES[0]]], tile_pixels=40)
    titled = tiles.draw_table([[IMAGES[0]]], row_titles=["one\ntwo"], column_titles=["c"], tile_pixels=40)
    assert titled.shape[0] > plain.shape[0] and titled.shape[1] > plain.shape[1]
    np.testing.assert_array_equal(titled[-46:-6, -46:-6], plain[6:46, 6:46])


def test_images_that_are_not_square_keep_their_shape():
    wide = np.zeros((2, 4, 1), np.uint8)
    picture = tiles.draw_table([[wide]], tile_pixels=40)
    assert (picture == 0).all(axis=-1).sum() == 40 * 20


def test_signs_have_opposite_colours_and_zero_is_the_middle():
    values = np.array([[-2.0, 0.0, 2.0]])
    assert tiles.signed_pixels(values[..., None])[..., 0].tolist() == [[0, 128, 255]]
    colors = tiles.signed_over(np.full((1, 3, 1), 100, np.uint8), values)[0].astype(int)
    assert colors[2, 0] > colors[2, 2] + 30 and colors[0, 2] > colors[0, 0] + 30
    assert abs(colors[1, 0] - colors[1, 2]) <= 2
    np.testing.assert_array_equal(tiles.signed_pixels(np.zeros((2, 2, 1))), 128)


def test_heat_rises_with_the_value():
    heat = tiles.heat(np.array([[0.0, 1.0, 2.0, 4.0]]))[0].astype(int).sum(axis=-1)
    assert (np.diff(heat) > 0).all()


def test_a_row_for_each_image_and_a_column_for_each_map():
    maps = {
        "saliency": np.random.default_rng(1).uniform(size=(2, 4, 4)),
        "grad_cam": np.ones((2, 4, 4)),
        "occlusion": np.ones((2, 4, 4)),
        "guided_backpropagation": np.zeros((2, 4, 4, 3)),
    }
    both = draw_explanations(IMAGES, maps, ["a", "a"])
    alone = draw_explanations(IMAGES[:1], {name: values[:1] for name, values in maps.items()}, ["a"])
    assert both.shape[0] - alone.shape[0] == 126 and both.shape[1] == alone.shape[1]
    np.testing.assert_array_equal(both[: alone.shape[0] - 6], alone[:-6])
    fewer = draw_explanations(IMAGES, {"saliency": maps["saliency"]}, ["a", "a"])
    assert both.shape[1] > fewer.shape[1] + 3 * 120


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"map 'grad_cam' \(2, 3, 3\) must be of the images' size \(2, 4, 4\)"):
        draw_explanations(IMAGES, {"grad_cam": np.ones((2, 3, 3))}, ["a", "b"])
    with pytest.raises(ValueError, match=r"row_titles \(1\) must be as many as there are \(2\)"):
        draw_explanations(IMAGES, {}, ["a"])
    with pytest.raises(ValueError, match="rows must hold at least one image"):
        tiles.draw_table([])
    with pytest.raises(ValueError, match=r"shape=\(3, 3, 2\), dtype=uint8"):
        tiles.draw_table([[np.zeros((3, 3, 2), np.uint8)]])
