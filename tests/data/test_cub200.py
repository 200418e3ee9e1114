import pytest
import tensorflow as tf

from tests.data.published_layouts import write_cub200
from tfdlcv.data import cub200
from tfdlcv.data.cub200 import Cub200
from tfdlcv.errors import UserError


def config(folder, **options):
    defaults = {"name": "cub200", "folder": str(folder), "image_size": (16, 16), "cache_folder": str(folder / "cache")}
    return Cub200.model_validate({**defaults, **options})


@pytest.fixture
def birds(tmp_path):
    write_cub200(tmp_path / "CUB_200_2011")
    return tmp_path


def test_published_split_and_names(birds):
    for folder in (birds, birds / "CUB_200_2011"):
        data = cub200.build(config(folder, validation_fraction=0.2))
        assert data.class_names == tuple(f"Spotted Bird {letter}" for letter in "abcde")
        assert [s.num_examples for s in (data.train, data.validation, data.test)] == [25, 5, 30]
        for index in range(data.test.num_examples):
            name = data.test.describe(index)
            number = int(name[-8:-4])
            assert number % 12 >= 6
            assert int(data.test.fetch(tf.constant(index, tf.int64))["label"]) == number // 12


def test_classes_can_be_chosen(birds):
    data = cub200.build(config(birds, classes=("Spotted Bird d", "Spotted Bird a")))
    assert data.class_names == ("Spotted Bird d", "Spotted Bird a")
    assert data.test.num_examples == 12


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("images.txt", None, "cannot read .*images.txt: No such file.*data.folder must hold CUB-200-2011"),
        (
            "image_class_labels.txt",
            lambda text: text.replace("3 1\n", "3 9\n", 1),
            "has class 9, which classes.txt lacks",
        ),
        (
            "train_test_split.txt",
            lambda text: text + "61 1\n",
            r"train_test_split.txt \(61 lines\) and images.txt \(60 lines\) list different images",
        ),
        ("train_test_split.txt", lambda text: text.replace(" 1\n", " 0\n"), "has no image for the train part"),
        ("classes.txt", lambda text: "1\n", "classes.txt:1 must have two words. Received: '1'"),
        (
            "images.txt",
            lambda text: text.replace("_0003.jpg", "_9.jpg"),
            "1 of 30 images of the train part do not exist",
        ),
    ],
)
def test_faults(birds, name, change, message):
    path = birds / "CUB_200_2011" / name
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        cub200.build(config(birds))
