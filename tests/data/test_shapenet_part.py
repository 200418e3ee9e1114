import numpy as np
import pytest

from tests.data.published_clouds import write_shapenet_part
from tfdlcv.data import shapenet_part
from tfdlcv.data.shapenet_part import PARTS, ShapeNetPartConfig
from tfdlcv.errors import UserError


@pytest.fixture
def folder(tmp_path):
    write_shapenet_part(tmp_path)
    return tmp_path


def build(folder, points=32, **options):
    options = {"name": "shapenet_part", "folder": str(folder), "points": points, **options}
    return shapenet_part.build(ShapeNetPartConfig(**options))


def test_the_published_numbers():
    assert len(PARTS) == 16 and sum(PARTS.values()) == 50


def test_parts_and_categories(folder):
    data = build(folder)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [32, 16, 16]
    # The first part of each category, as PointNet's code numbers them.
    firsts = {data.class_names[i]: i for i in range(50) if data.class_names[i].endswith(" 0")}
    assert firsts["Table 0"] == 47 and firsts["Motorbike 0"] == 30 and firsts["Laptop 0"] == 28
    assert data.label_category[:5] == (0, 0, 0, 0, 1) and data.label_category[47:] == (15, 15, 15)
    assert build(folder, features=("position",)).category_names == data.category_names == tuple(PARTS)
    cloud = data.test.load(10)
    assert cloud.category == 10 and data.test.describe(10) == "Motorbike shape3"
    assert 30 <= cloud.label.min() <= cloud.label.max() <= 35
    rows = np.loadtxt(folder / "02000010" / "shape3.txt", dtype=np.float32)
    together = np.column_stack([cloud.positions, cloud.normal, cloud.label]).astype(np.float32)
    assert {tuple(row) for row in together} < {tuple(row) for row in rows}


def test_small_shapes_repeat_points(folder):
    cloud = build(folder, points=100).train.load(0)
    assert len(cloud) == 100 and len(np.unique(cloud.positions, axis=0)) <= 60


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "synsetoffset2category.txt").unlink(), "synsetoffset2category.txt is missing"),
        (lambda f: (f / "synsetoffset2category.txt").write_text("Boat\t1\n"), "Boat is no category"),
        (lambda f: (f / "02000001" / "shape3.txt").unlink(), "1 of 16 shapes .* are missing, such as"),
        (lambda f: (f / "train_test_split/shuffled_val_file_list.json").write_text("["), "missing or damaged"),
    ],
)
def test_folders_that_lack_something(spoil, message, folder):
    spoil(folder)
    with pytest.raises(UserError, match=message):
        build(folder)


def test_damaged_files(folder):
    data = build(folder)
    path = folder / "02000000" / "shape0.txt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="shape0.txt: damaged, or cut short at byte 1000: .*row"):
        data.train.load(0)
    path.unlink()
    with pytest.raises(UserError, match="shape0.txt cannot be read: .*shape0.txt"):
        data.train.load(0)


def test_a_part_of_another_category(folder):
    path = folder / "02000000" / "shape0.txt"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].rpartition(" ")[0] + " 17.0"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="line 5: part 17 is none of Airplane's, 0..3"):
        build(folder).train.load(0)
