"""The table of noisy, restored and true images."""

import numpy as np
import pytest

from tfdlcv.visualization.restorations import draw_restorations


def flat(value, size=130, channels=1):
    return np.full((size, size, channels), value, "float32")


def test_a_row_shows_the_image_every_method_the_truth_and_the_error():
    sheet = draw_restorations([flat(300.0)], {"first": [flat(90.0)], "other_one": [flat(50)]}, [flat(100)])
    assert sheet.dtype == np.uint8
    colors = {tuple(color) for color in sheet.reshape(-1, 3).tolist()}
    # Noisy values are cut to white; the error of 10 is shown as 50, as is the second method.
    assert {(90, 90, 90), (50, 50, 50), (100, 100, 100)} <= colors
    narrower = draw_restorations([flat(300.0)], {"first": [flat(90.0)]})
    assert narrower.shape[1] < sheet.shape[1] * 0.5 + 20


def test_large_images_are_cut_not_reduced():
    image = np.zeros((400, 500, 1), "uint8")
    image[136:264, 186:314] = np.indices((128, 128)).sum(axis=0)[..., None] % 2 * 200
    sheet = draw_restorations([image], {"restored": [image]})
    values, counts = np.unique(sheet[30:], return_counts=True)
    assert set(values[counts > 20_000].tolist()) == {0, 200, 255}  # And the white of the margins.


def test_images_of_which_some_have_no_truth():
    sheet = draw_restorations([flat(1), flat(2)], {"restored": [flat(1), flat(2)]}, [None, flat(60)], titles=["a", "b"])
    assert (sheet == 60).all(axis=-1).any()


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"restored\['network'\] must be as many as images, and of the same shapes"):
        draw_restorations([flat(1)], {"network": [flat(1, size=64)]})
