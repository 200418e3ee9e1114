import numpy as np
import pytest

from tests.data.published_clouds import room_objects, write_s3dis, write_stanford_2d3ds
from tfdlcv.data import stanford
from tfdlcv.data.stanford import CLASS_NAMES, StanfordConfig
from tfdlcv.errors import UserError

WRITERS = {"s3dis": write_s3dis, "stanford_2d3ds": write_stanford_2d3ds}


def build(folder, name="s3dis", **options):
    options = {"points": 200, "train_examples": 5, "validation_fraction": 0.5, **options}
    return stanford.build(StanfordConfig(name=name, folder=str(folder), **options))


@pytest.mark.parametrize("name", WRITERS)
def test_rooms_are_read_thinned_and_kept(name, tmp_path):
    WRITERS[name](tmp_path)
    data = build(tmp_path, name)
    assert data.class_names == CLASS_NAMES
    assert {key.split("/")[0][:6].lower() for key in data.test.rooms} == {"area_5"}
    room = next(room for key, room in data.test.rooms.items() if key.endswith("office_1"))
    assert set(np.unique(room.label)) - {-1} == {CLASS_NAMES.index(n) for n in ("floor", "wall", "chair", "clutter")}
    # One point in each cell of 4 cm.
    cells = np.floor((room.positions - room.positions.min(axis=0)) / 0.04)
    assert len(np.unique(cells, axis=0)) == len(room)
    objects = np.concatenate([*room_objects(0).values()])
    known = room.label >= 0
    positions = np.round(objects[:, :3], 3) if name == "s3dis" else objects[:, :3]  # The text has three digits.
    written = {tuple(row) for row in positions.astype(np.float32)}
    found = {tuple(row) for row in room.positions[known]}
    assert found <= written and len(found) > 500
    for path in tmp_path.iterdir():  # The second time, the originals are not needed.
        if path.name.lower().startswith("area"):
            for file in path.rglob("*"):
                if file.is_file() and file.suffix == ".txt":
                    file.write_text("gone")
    again = build(tmp_path, name)
    np.testing.assert_array_equal(again.test.load(0).positions, data.test.load(0).positions)


def test_a_control_character_between_numbers_is_a_blank(tmp_path):
    write_s3dis(tmp_path)
    path = tmp_path / "Area_5" / "office_1" / "Annotations" / "wall_1.txt"
    assert b"\x10" in path.read_bytes()
    np.testing.assert_allclose(stanford._object_table(path), np.round(room_objects(0)["wall_1"], 3), atol=1e-9)


def test_parts_are_areas_and_rooms(tmp_path):
    write_s3dis(tmp_path)
    data = build(tmp_path)
    assert len(data.train.rooms) == 1 and len(data.validation.rooms) == 2 and len(data.test.rooms) == 2
    assert not set(data.train.rooms) & set(data.validation.rooms)
    everything = build(tmp_path, validation_fraction=0.0)
    assert len(everything.train.rooms) == 3 and set(everything.validation.rooms) == set(everything.test.rooms)
    other = build(tmp_path, test_area=1)
    assert {name.split("/")[0] for name in other.test.rooms} == {"Area_1"}


def test_crops_are_the_nearest_points(tmp_path):
    write_s3dis(tmp_path)
    data = build(tmp_path)
    assert len(data.train) == 5
    crop = data.train.load(1)
    name, middle = data.train._middle(1, np.random.default_rng((0, 4, 1)))
    room = data.train.rooms[name]
    distances = np.linalg.norm(room.positions - room.positions[middle], axis=1)
    inside = np.linalg.norm(crop.positions - room.positions[middle], axis=1)
    np.testing.assert_allclose(np.sort(inside), np.sort(distances)[:200], rtol=1e-5)
    assert data.train.describe(1) == f"{name} around point {middle}"


def test_test_crops_cover_every_room(tmp_path):
    write_s3dis(tmp_path)
    data = build(tmp_path, points=600)
    names = [data.test.describe(index).split(" ")[0] for index in range(len(data.test))]
    assert set(names) == set(data.test.rooms)
    covered = {tuple(p) for i in range(len(data.test)) for p in data.test.load(i).positions}
    assert len(covered) > 0.75 * sum(len(room) for room in data.test.rooms.values())


def test_small_rooms_repeat_points(tmp_path):
    write_s3dis(tmp_path)
    crop = build(tmp_path, points=5000).test.load(0)
    assert len(crop) == 5000 and len(np.unique(crop.positions, axis=0)) < 2000


def test_clutter_may_be_left_out(tmp_path):
    write_s3dis(tmp_path)
    data = build(tmp_path, clutter="unlabelled")
    labels = np.concatenate([room.label for room in data.test.rooms.values()])
    assert len(data.class_names) == 12 and labels.max() == CLASS_NAMES.index("chair") and (labels == -1).any()


def test_bad_folders(tmp_path):
    with pytest.raises(UserError, match="does not exist; it should hold the areas of s3dis"):
        build(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no area of stanford_2d3ds: expected area_1/3d/pointcloud.mat"):
        build(tmp_path, "stanford_2d3ds")
    write_s3dis(tmp_path)
    with pytest.raises(UserError, match=r"no test area for data.test_area \(3\). Areas: \['Area_1', 'Area_5'\]"):
        build(tmp_path, test_area=3)


def test_damaged_files(tmp_path):
    write_s3dis(tmp_path)
    path = tmp_path / "Area_1" / "office_1" / "Annotations" / "floor_1.txt"
    path.write_text(path.read_text()[:501])
    with pytest.raises(UserError, match="floor_1.txt: damaged, or cut short at byte 501"):
        build(tmp_path)
    path.write_text("1 2 3 4 5 6\n")
    build(tmp_path)
    store = tmp_path / "tfdlcv_cache" / "s3dis_Area_1_0.04m.npz"
    whole = store.read_bytes()
    store.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"Area_1_0.04m.npz is damaged: .*zip file.*\. Remove it, to have it made anew"):
        build(tmp_path)
    np.savez(store, **{"Area_1/office_1/positions": np.eye(3)})
    with pytest.raises(UserError, match=r"is damaged: .*Area_1/office_1/color.*\. Remove it, to have it made anew"):
        build(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    write_stanford_2d3ds(other)
    mat = other / "area_1" / "3d" / "pointcloud.mat"
    mat.write_bytes(mat.read_bytes()[:3000])
    with pytest.raises(UserError, match="pointcloud.mat: damaged, or cut short at byte 3000"):
        build(other, "stanford_2d3ds")
