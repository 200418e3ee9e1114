import numpy as np
import pytest
import tensorflow as tf

from tests.data.published_layouts import write_image, write_omniart
from tfdlcv.data import image_table
from tfdlcv.data.image_table import ImageTable
from tfdlcv.errors import UserError


def config(folder, **options):
    defaults = {
        "name": "image_table",
        "folder": str(folder),
        "train_table": "train_complete.csv",
        "test_table": "test_complete.csv",
        "train_images": "train",
        "test_images": "test",
        "file_column": "omni_id",
        "file_ending": ".jpg",
        "label_column": "school",
        "value_column": "creation_year",
        "value_range": (1000.0, 1932.0),
        "unit": "years",
        "image_size": (16, 20),
        "cache_folder": str(folder / "cache"),
    }
    return ImageTable.model_validate({**defaults, **options})


@pytest.fixture
def omniart(tmp_path):
    write_omniart(tmp_path)
    return tmp_path


def examples(split):
    rows = [split.fetch(tf.constant(index, tf.int64)) for index in range(split.num_examples)]
    return {name: np.stack([row[name].numpy() for row in rows]) for name in rows[0]}


def test_omniart(omniart):
    data = image_table.build(config(omniart))
    images = data.images
    assert images.class_names == tuple(f"school {i}" for i in range(4))
    assert images.image_shape == (16, 20, 3)
    assert (images.train.num_examples, images.validation.num_examples, images.test.num_examples) == (36, 4, 12)
    assert (data.value.name, data.value.unit, data.value.lower, data.value.upper) == (
        "creation_year",
        "years",
        1000,
        1932,
    )
    for part in (images.train, images.validation, images.test):
        rows = examples(part)
        for index in range(part.num_examples):
            number = int(part.describe(index).split("/")[1][:-4]) - 1000
            assert rows["label"][index] == number % 4
            assert rows["value"][index] == 1000 + (number * 131) % 933
    assert images.test.describe(3) == "test/1003.jpg"


def test_cached_images_keep_their_values(omniart):
    data = image_table.build(config(omniart, cache="memory"))
    batch = data.images.test.fetch(tf.constant([5, 2], tf.int64))
    np.testing.assert_array_equal(batch["value"], [1000 + 655, 1000 + 262])


def test_classes_can_be_chosen(omniart):
    data = image_table.build(config(omniart, classes=("school 2", "school 0")))
    assert data.images.class_names == ("school 2", "school 0")
    assert data.images.class_counts == (9, 9)


def test_values_alone_and_labels_alone(omniart):
    values = image_table.build(config(omniart, label_column=None))
    assert values.images.class_names == ("all",) and values.value is not None
    labels = image_table.build(config(omniart, value_column=None, value_range=None))
    assert labels.value is None and "value" not in examples(labels.images.test)


def test_one_table_is_divided(omniart):
    data = image_table.build(config(omniart, test_table=None, test_fraction=0.2)).images
    assert [split.num_examples for split in (data.train, data.validation, data.test)] == [28, 4, 8]


def test_values_outside_the_range(omniart):
    with pytest.raises(UserError, match=r"has creation_year 1\d\d\d, outside data.value_range \[1500, 1932\]"):
        image_table.build(config(omniart, value_range=(1500.0, 1932.0)))
    clipped = image_table.build(config(omniart, value_range=(1500.0, 1932.0), out_of_range="clip"))
    assert examples(clipped.images.train)["value"].min() == 1500


def write_table(folder, text):
    (folder / "train_complete.csv").write_text("omni_id,creation_year,school\n" + text)


@pytest.mark.parametrize(
    "table, message",
    [
        ("1000,1500,a\n,1600,b\n", "train_complete.csv:3 has no omni_id"),
        ("1000,1500,a\n1001,1600,\n", "train_complete.csv:3 has no school"),
        ("1000,1500,a\n1001,early,b\n", "train_complete.csv:3: creation_year must be a number. Received: 'early'"),
        ("1000,1500,a\n1001,nan,b\n", "train/1001.jpg has no creation_year: nan"),
        ("1000,1500,a\n1001,1600,a\n", "has a single school, a"),
        (
            "1000,1500,a\n9999,1600,b\n",
            "1 of 2 files that .*train_complete.csv lists do not exist, among them .*9999.jpg",
        ),
        ("1000,1500,a\n1001,1600,b\n1000,1500,a\n", "train_complete.csv lists train/1000.jpg 2 times"),
        ("", "train_complete.csv has no rows"),
    ],
)
def test_faulty_tables(omniart, table, message):
    write_table(omniart, table)
    (omniart / "test_complete.csv").write_text("omni_id,creation_year,school\n1000,1500,a\n1001,1600,a\n")
    for index in (1000, 1001):
        write_image(omniart / "train" / f"{index}.jpg", index)
    with pytest.raises(UserError, match=message):
        image_table.build(config(omniart, validation_fraction=0))


def test_other_faults(omniart):
    with pytest.raises(UserError, match=r"has no column year; its columns are omni_id, creation_year, century, school"):
        image_table.build(config(omniart, value_column="year"))
    with pytest.raises(UserError, match="cannot read .*absent.csv: No such file"):
        image_table.build(config(omniart, test_table="absent.csv"))
    (omniart / "test_complete.csv").write_text("omni_id,creation_year,school\n1000,1500,another\n")
    with pytest.raises(UserError, match="test_complete.csv:2: school another is not in the training table"):
        image_table.build(config(omniart))


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"label_column": None, "value_column": None, "value_range": None},
            "label_column and value_column must not both be absent",
        ),
        ({"value_range": None}, r"value_column \(creation_year\) and value_range \(absent\) must come together"),
        ({"value_range": (5.0, 5.0)}, "value_range must be two finite numbers, the first less than the second"),
        ({"label_column": None, "classes": ("a", "b")}, r"classes \(a, b\) needs label_column"),
    ],
)
def test_config_errors(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **options)
