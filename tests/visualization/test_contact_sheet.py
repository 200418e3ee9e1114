import numpy as np
import pytest

from tfdlcv.visualization import pictures
from tfdlcv.visualization.contact_sheet import draw_contact_sheet
from tfdlcv.visualization.predictions import draw_predictions

IMAGE = np.random.default_rng(0).integers(0, 256, (7, 10, 3), dtype=np.uint8)


def count(picture, rgb):
    return int((picture == np.array(rgb, "uint8")).all(axis=-1).sum())


def contains(picture, part):
    """Whether `part` lies somewhere in `picture`, pixel by pixel."""
    height, width = part.shape[:2]
    starts = np.argwhere((picture == part[0, 0]).all(axis=-1))
    return any(np.array_equal(picture[y : y + height, x : x + width], part) for y, x in starts)


def enlarged(image, factor):
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def test_small_images_are_enlarged_by_a_whole_factor():
    assert contains(draw_contact_sheet([IMAGE], ["a"], tile_pixels=40), enlarged(IMAGE, 4))
    assert contains(draw_contact_sheet([IMAGE], ["a"], tile_pixels=39), enlarged(IMAGE, 3))


def test_grey_images_show_as_grey():
    grey = IMAGE[..., :1]
    expected = enlarged(np.repeat(grey, 3, axis=-1), 4)
    assert contains(draw_contact_sheet([grey], ["a"], tile_pixels=40), expected)
    assert contains(draw_contact_sheet([grey[..., 0]], ["a"], tile_pixels=40), expected)


def test_large_images_are_reduced_whole():
    image = np.zeros((300, 500, 3), np.uint8)
    image[:, 250:] = 255
    picture = draw_contact_sheet([image], ["a"], tile_pixels=100)
    assert 0.45 * 100 * 60 < count(picture, (0, 0, 0)) < 0.55 * 100 * 60


def test_images_lie_row_by_row():
    shades = [np.full((4, 4), shade, np.uint8) for shade in (10, 20, 30)]
    picture = draw_contact_sheet(shades, ["a"] * 3, columns=2)
    centers = {shade: np.argwhere((picture == shade).all(axis=-1)).mean(axis=0) for shade in (10, 20, 30)}
    assert centers[10][0] == centers[20][0] < centers[30][0]
    assert centers[10][1] == centers[30][1] < centers[20][1]


def test_frames_say_right_wrong_or_unknown():
    picture = draw_contact_sheet([IMAGE] * 3, ["a"] * 3, correct=[True, False, None], columns=3)
    assert count(picture, pictures.RIGHT) > 4 * 4 * 140
    assert count(picture, pictures.WRONG) > 4 * 4 * 140
    neither = draw_contact_sheet([IMAGE] * 3, ["a"] * 3)
    assert count(neither, pictures.RIGHT) == count(neither, pictures.WRONG) == 0


def test_right_and_wrong_differ_without_colour_too():
    right, wrong = (draw_contact_sheet([IMAGE], ["a"], correct=[value]) for value in (True, False))
    below = slice(-30, None)
    assert not np.array_equal(right[below].min(axis=-1) < 220, wrong[below].min(axis=-1) < 220)


def test_long_captions_stay_in_their_tile():
    picture = draw_contact_sheet([IMAGE] * 2, ["W" * 200] * 2, columns=2, tile_pixels=60)
    assert picture.shape[1] == 10 + 2 * (60 + 8 + 10)
    gap = picture[:, 10 + 60 + 8 + 1 : 10 + 60 + 8 + 10 - 1]  # Between the tiles.
    assert (gap == 255).all()


def test_every_line_of_the_longest_caption_has_room():
    one, three = (draw_contact_sheet([IMAGE] * 2, [caption, "a"]).shape[0] for caption in ("a", "a\nb\nc"))
    assert three == one + 2 * 18


def test_wrong_arguments_name_their_values():
    with pytest.raises(ValueError, match="at least one image"):
        draw_contact_sheet([], [])
    with pytest.raises(ValueError, match="2 images, 1 captions, 3 correct"):
        draw_contact_sheet([IMAGE] * 2, ["a"], correct=[True] * 3)
    with pytest.raises(ValueError, match="columns=0"):
        draw_contact_sheet([IMAGE], ["a"], columns=0)
    with pytest.raises(ValueError, match=r"images\[1\] .* shape=\(7, 10, 3\), dtype=float32"):
        draw_contact_sheet([IMAGE, IMAGE.astype("float32")], ["a", "b"])
    with pytest.raises(ValueError, match=r"images\[0\] .* shape=\(7, 10, 2\)"):
        draw_contact_sheet([IMAGE[..., :2]], ["a"])


@pytest.fixture
def sheet(monkeypatch):
    """What `draw_predictions` hands to the contact sheet."""
    seen = {}
    monkeypatch.setattr(
        "tfdlcv.visualization.predictions.draw_contact_sheet",
        lambda images, captions, **options: seen.update(images=images, captions=captions, **options),
    )
    return seen


PROBABILITIES = np.array([[0.2, 0.7, 0.1], [0.9996, 0.0003, 0.0001], [0.3, 0.3, 0.4]])


def test_captions_of_predictions(sheet):
    draw_predictions([IMAGE] * 3, PROBABILITIES, ["cat", "dog", "eel"], labels=[1, 2, 9], image_names=["x", "y", "z"])
    assert sheet["captions"] == ["70 % dog\nx", "99.9 % cat\ntrue: eel\ny", "40 % eel\ntrue: 9\nz"]
    assert sheet["correct"] == [True, False, False]
    assert sheet["title"] == "1 of 3 right"


def test_captions_without_names_and_labels(sheet):
    draw_predictions([IMAGE] * 3, PROBABILITIES)
    assert sheet["captions"] == ["70 % 1", "99.9 % 0", "40 % 2"]
    assert sheet["correct"] is None
    assert sheet["title"] == ""


def test_predictions_that_do_not_fit_the_images_are_refused():
    with pytest.raises(ValueError, match=r"N = 2 images. Received: shape=\(3, 3\)"):
        draw_predictions([IMAGE] * 2, PROBABILITIES)
    with pytest.raises(ValueError, match=r"class_names \(2\) .* columns of probabilities \(3\)"):
        draw_predictions([IMAGE] * 3, PROBABILITIES, ["a", "b"])
    with pytest.raises(ValueError, match=r"labels \(1\) must be as many as images \(3\)"):
        draw_predictions([IMAGE] * 3, PROBABILITIES, labels=[1])


def test_predictions_are_drawn():
    picture = draw_predictions([IMAGE] * 3, PROBABILITIES, labels=[1, 0, 2])
    assert picture.dtype == np.uint8
    assert count(picture, pictures.RIGHT) > 0
    assert count(picture, pictures.WRONG) == 0
