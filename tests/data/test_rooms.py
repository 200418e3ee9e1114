import numpy as np
import pytest

from tfdlcv.data import rooms
from tfdlcv.data.rooms import CLASS_NAMES, Rooms, RoomsConfig, sample_building, sample_room


@pytest.fixture(scope="module")
def room():
    return sample_room(6000, np.random.default_rng(1), noise_metres=0.0, color_noise=0.0)


def of_class(room, name):
    return room.positions[room.label == CLASS_NAMES.index(name)]


def test_floor_and_walls_bound_the_room(room):
    floor = of_class(room, "floor")
    assert np.abs(floor[:, 2]).max() == 0
    walls = of_class(room, "wall")
    width, depth = walls[:, 0].max(), walls[:, 1].max()
    on_wall = np.isclose(walls[:, 0], 0) | np.isclose(walls[:, 1], 0)
    on_wall |= np.isclose(walls[:, 0], width) | np.isclose(walls[:, 1], depth)
    assert on_wall.all()
    assert 3.2 <= width <= 6 and 3.2 <= depth <= 6 and 2.3 < walls[:, 2].max() <= 2.8
    assert (room.positions >= -1e-6).all()


@pytest.mark.parametrize(
    ("name", "lowest", "highest"), [("table", 0.7, 0.78), ("chair", 0.8, 1.0), ("shelf", 1.1, 2.1)]
)
def test_furniture_has_the_height_of_furniture(room, name, lowest, highest):
    assert lowest * 0.97 <= of_class(room, name)[:, 2].max() <= highest


def test_nothing_lies_in_the_floor_but_the_floor(room):
    low = room.positions[:, 2] < 1e-6
    assert set(room.label[low]) == {CLASS_NAMES.index("floor")}


def test_noise_is_metres_and_levels_of_colour(room):
    noisy = sample_room(6000, np.random.default_rng(1), noise_metres=0.02, color_noise=10.0)
    floor = of_class(noisy, "floor")[:, 2]
    assert floor.std() == pytest.approx(0.02, rel=0.1)
    colors = {len(np.unique(cloud.color[cloud.label == 0], axis=0)) for cloud in (room,)}
    assert colors == {1}
    assert noisy.color[noisy.label == 0].astype(float).std(axis=0) == pytest.approx(10, rel=0.2)


def test_rooms_are_functions_of_seed_part_and_index():
    config = RoomsConfig(name="rooms", points=300)
    first = Rooms(config, "validation").load(2)
    again = Rooms(config, "validation").load(2)
    for key in ("positions", "color", "label"):
        np.testing.assert_array_equal(getattr(first, key), getattr(again, key))
    assert not np.array_equal(first.positions, Rooms(config, "test").load(2).positions)
    assert len(Rooms(config, "test")) == config.test_examples
    data = rooms.build(config)
    assert data.class_names == CLASS_NAMES and data.test.describe(5) == "test room 5"


def test_a_colour_tells_no_class():
    labels = {}
    for seed in range(60):
        room = sample_room(400, np.random.default_rng(seed), color_noise=0.0)
        for color, label in zip(room.color.tolist(), room.label.tolist(), strict=True):
            nearest = int(np.argmin(np.abs(rooms._PALETTE - color).sum(axis=1)))
            labels.setdefault(nearest, set()).add(label)
    assert min(len(found) for found in labels.values()) >= 5


def test_a_building_has_so_many_points_and_rooms_apart():
    building = sample_building(2500, points_per_room=1000)
    assert len(building) == len(building.color) == len(building.label) == 2500
    columns = np.unique((building.positions[:, :2] + 0.1) // 6.3, axis=0)
    assert len(columns) == 3
