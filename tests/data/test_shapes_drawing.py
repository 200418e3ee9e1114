import math

import numpy as np
import pytest

from tfdlcv.data.shapes_drawing import SHAPE_NAMES, Outline, rasterize


def full(outline, height=64, width=64):
    patch = rasterize(outline, height, width)
    mask = np.zeros((height, width), bool)
    mask[patch.rows, patch.columns] = patch.inside
    return mask, patch


@pytest.mark.parametrize(
    "name, area",
    [
        ("disk", math.pi),
        ("square", 2.0),
        ("triangle", 3 * math.sqrt(3) / 4),
        ("ring", math.pi * (1 - 0.55**2)),
        ("cross", 2 * (2 * 0.3) * (2 * math.sqrt(1 - 0.3**2)) - 4 * 0.3**2),
    ],
)
def test_areas_are_those_of_geometry(name, area):
    for angle in (0.0, 0.4, 1.3):
        mask, patch = full(Outline(name, 31.7, 30.2, 25.0, angle))
        assert patch.area == mask.sum()
        assert mask.sum() == pytest.approx(area * 25**2, rel=0.02)


@pytest.mark.parametrize("name", SHAPE_NAMES)
def test_shapes_lie_in_their_circle_and_touch_it(name):
    mask, _ = full(Outline(name, 32.0, 32.0, 20.0, 0.7))
    rows, columns = np.nonzero(mask)
    distances = np.hypot(columns + 0.5 - 32, rows + 0.5 - 32)
    assert 19 < distances.max() <= 20


def test_pixels_of_small_shapes_by_hand():
    # Radius sqrt(2): the square's half side is 1, so the 2 x 2 pixels around the centre.
    mask, patch = full(Outline("square", 3.0, 2.0, math.sqrt(2) + 1e-3, 0.0), 6, 6)
    assert np.argwhere(mask).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    assert patch.area == 4
    triangle, _ = full(Outline("triangle", 8.0, 8.0, 6.0, 0.0), 16, 16)
    widths = triangle.sum(axis=1)
    assert (np.diff(widths[widths > 0]) >= 0).all()  # Its tip is up, its base down.


def test_what_is_outside_of_the_image_counts_in_the_area_alone():
    inside, patch = full(Outline("disk", 0.0, 32.0, 10.0, 0.0))
    whole, _ = full(Outline("disk", 32.0, 32.0, 10.0, 0.0))
    assert patch.area == whole.sum()
    assert inside.sum() == patch.area / 2
    gone, patch = full(Outline("disk", -30.0, 100.0, 10.0, 0.0))
    assert gone.sum() == 0 and patch.inside.size == 0 and patch.area == whole.sum()


def test_a_quarter_turn_turns_the_pixels():
    upright, _ = full(Outline("triangle", 32.0, 32.0, 20.0, 0.0))
    turned, _ = full(Outline("triangle", 32.0, 32.0, 20.0, math.pi / 2))
    different = (np.rot90(upright, -1) != turned).mean()  # Clockwise on the screen.
    assert different < 0.005
    assert (upright != turned).mean() > 0.05


def test_an_unknown_shape_is_named():
    with pytest.raises(ValueError, match="one of disk, square.*'star'"):
        rasterize(Outline("star", 5, 5, 3, 0), 10, 10)
