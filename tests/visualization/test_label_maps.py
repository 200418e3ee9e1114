import numpy as np
import pytest
from PIL import Image

from tfdlcv.visualization import pictures
from tfdlcv.visualization.label_maps import draw_segmentations, errors_over, labels_over, palette, save_label_png
from tfdlcv.visualization.legend import draw_legend

COLORS = ((0, 0, 0), (200, 0, 0), (0, 0, 200))


def test_an_indexed_png_holds_labels_and_shows_colours(tmp_path):
    labels = np.array([[0, 1, 2], [255, 2, 1]])
    path = save_label_png(labels, tmp_path / "new" / "a.png", COLORS)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette(COLORS)[labels])
    assert [each.name for each in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((2, 2), 3), r"labels must be \(H, W\) of 0..2 or 255. Received: shape=\(2, 2\), label 3"),
        (np.full((2, 2), -1), "label -1"),
        (np.zeros((2, 2, 1), int), r"Received: shape=\(2, 2, 1\)"),
    ],
)
def test_what_a_label_png_cannot_hold(labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_label_png(labels, tmp_path / "a.png", COLORS)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("count", [0, 256])
def test_a_palette_leaves_room_for_void(count):
    with pytest.raises(ValueError, match=rf"colors \({count}\) must be 1 to 255"):
        palette([(1, 2, 3)] * count)


def test_labels_lie_over_the_grey_image():
    image = np.full((1, 2, 3), (30, 60, 90), np.uint8)
    np.testing.assert_array_equal(labels_over(image, np.array([[0, 1]]), COLORS)[0], [[24] * 3, [144, 24, 24]])
    np.testing.assert_array_equal(labels_over(image[..., 1:2], np.array([[0, 1]]), COLORS)[0, 1], [144, 24, 24])


def test_mistakes_are_where_labels_differ_and_the_truth_is_known():
    truth, labels = np.array([[0, 1, 255, 1]]), np.array([[0, 2, 0, 1]])
    picture = errors_over(np.full((1, 4, 3), 100, np.uint8), truth, labels)[0].astype(int)
    wrong = np.abs(picture - pictures.WRONG).sum(axis=1) < 100
    assert wrong.tolist() == [False, True, False, False]


def test_a_row_for_each_image_and_a_column_for_each_picture():
    image, labels = np.full((20, 30, 3), 90, np.uint8), np.ones((20, 30), int)
    names = ("ground", "a", "b")
    alone = draw_segmentations([image], [labels], names, COLORS, tile_pixels=60)
    beside = draw_segmentations([image] * 2, [labels] * 2, names, COLORS, truths=[labels * 2] * 2, tile_pixels=60)
    assert beside.shape[1] > 1.8 * alone.shape[1] and beside.shape[0] > alone.shape[0] + 50
    predicted = labels_over(image, labels, COLORS)[0, 0]
    assert (beside == predicted).all(axis=-1).sum() == 2 * 60 * 40
    assert (beside == labels_over(image, labels * 2, COLORS)[0, 0]).all(axis=-1).sum() == 2 * 60 * 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [np.zeros((3, 2), int)]}, r"labels\[0\] must have the size of its image. Received: \(3, 2\) and"),
        ({"labels": []}, r"labels \(0\) must be as many as images \(1\)"),
        ({"truths": [np.zeros((5, 5), int)]}, r"truths\[0\] must have the size of its image"),
        ({"class_names": ("a",)}, r"class_names \(1\) must be as many as colors \(3\)"),
    ],
)
def test_what_does_not_fit_together(change, message):
    arguments = {"images": [np.zeros((2, 2, 3), np.uint8)], "labels": [np.zeros((2, 2), int)], "colors": COLORS}
    with pytest.raises(ValueError, match=message):
        draw_segmentations(**{**arguments, "class_names": ("a", "b", "c"), **change})


def test_a_legend_takes_as_many_lines_as_it_needs():
    names = [f"a class with a long name {index}" for index in range(8)]
    colors = np.arange(24).reshape(8, 3) * 10
    wide, narrow = draw_legend(names, colors, 3000), draw_legend(names, colors, 300)
    assert narrow.shape[0] > 4 * wide.shape[0] and narrow.shape[1] == 300
    for color in colors:
        assert (narrow == color).all(axis=-1).sum() >= 100
