"""Photographs: whole ones held out, patches where they are said to be, and folders that cannot be used."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError
from skimage import data

from tfdlcv.data import patches, photographs
from tfdlcv.data.patches import Photograph
from tfdlcv.data.photographs import SHIPPED, PhotographFolder, ShippedPhotographs
from tfdlcv.errors import UserError


def fetch(split, *indices):
    return {name: value.numpy() for name, value in split.fetch(tf.constant(indices, tf.int64)).items()}


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype("uint8")


def shipped(**options):
    return ShippedPhotographs(name="photographs", **options)


def test_patches_lie_on_the_grid_and_are_called_by_their_place():
    pictures = [Photograph("a", picture(30, 45, seed=1)), Photograph("b", picture(21, 20, seed=2))]
    split = patches.patch_split(pictures, size=20, stride=5)
    assert split.num_examples == 3 * 6 + 1
    batch = fetch(split, 0, 8, 18)["target"]
    np.testing.assert_array_equal(batch[0], pictures[0].pixels[:20, :20])
    np.testing.assert_array_equal(batch[1], pictures[0].pixels[5:25, 10:30])
    np.testing.assert_array_equal(batch[2], pictures[1].pixels[:20, :20])
    assert split.describe(8) == "a, from row 5, column 10" and split.describe(18) == "b, from row 0, column 0"
    with pytest.raises(UserError, match=r"b \(21 x 20\) is smaller than a part of 21 x 21 pixels"):
        patches.patch_split(pictures, size=21, stride=5)


def test_all_eight_ways_to_lay_a_square_occur_and_no_other():
    square = picture(5, 5, 1)
    turned = [np.rot90(square, quarter) for quarter in range(4)]
    ways = {way.tobytes() for way in [*turned, *(way[:, ::-1] for way in turned)]}
    found = patches.mirrored_and_turned(np.repeat(square[None], 200, axis=0), tf.constant([1, 2])).numpy()
    assert {each.tobytes() for each in found} == ways and len(ways) == 8
    np.testing.assert_array_equal(
        found, patches.mirrored_and_turned(np.repeat(square[None], 200, axis=0), tf.constant([1, 2]))
    )


def test_the_shipped_photographs_in_grey():
    datasets = photographs.build(shipped(stride=40))
    names = datasets.facts["photographs"]
    assert names["test"] == ["camera", "chelsea", "flower"] and names["validation"] == ["coffee"]
    assert sorted(itertools.chain(*names.values())) == sorted(SHIPPED) and len(names["train"]) == 9
    assert datasets.facts["image_shape"] == [40, 40, 1]
    assert datasets.test.num_examples == 9 + 6 + 8
    batch = fetch(datasets.test, 0, 8)
    assert batch["image"].shape == (2, 144, 144, 1)
    np.testing.assert_array_equal(batch["target"][0, ..., 0], data.camera()[:144, :144])
    assert datasets.test.describe(8) == "camera, from row 288, column 288"
    assert (batch["image"] - batch["target"]).std() == pytest.approx(25, rel=0.02)


def test_training_batches_are_mirrored_and_get_new_noise():
    datasets = photographs.build(shipped(stride=40, noise={"sigma": 10.0}))
    batch = datasets.train.fetch(tf.range(32, dtype=tf.int64))
    first, second = (datasets.augment(batch, tf.constant([0, seed])) for seed in (1, 2))
    for each in (first, second):
        noise = (each["image"] - each["target"]).numpy()
        assert noise.std() == pytest.approx(10, rel=0.02)
        # The pixels of a patch, in whatever order.
        np.testing.assert_array_equal(
            np.sort(each["target"].numpy().reshape(32, -1)), np.sort(batch["target"].numpy().reshape(32, -1))
        )
    assert not np.array_equal(first["target"], second["target"])
    plain = photographs.build(shipped(stride=40, orientations="as_is"))
    np.testing.assert_array_equal(plain.augment(batch, tf.constant([0, 1]))["target"], batch["target"])


def test_in_colour_the_grey_ones_are_left_out():
    datasets = photographs.build(shipped(channels=3, stride=100))
    assert "brick" not in datasets.facts["photographs"]["train"] and len(datasets.facts["photographs"]["train"]) == 5
    np.testing.assert_array_equal(fetch(datasets.test, 0)["target"][0], data.chelsea()[:144, :144])
    with pytest.raises(UserError, match="data.channels 3: camera is a grey photograph; those in colour are astronaut"):
        photographs.build(shipped(channels=3, test=("camera",)))


def test_training_examples_at_several_sizes():
    whole, half = (photographs.build(shipped(stride=40, scales=scales)).train for scales in ((1.0,), (1.0, 0.5)))
    assert whole.num_examples < half.num_examples < 1.3 * whole.num_examples
    assert half.describe(whole.num_examples) == "astronaut at 0.5 of its size, from row 0, column 0"
    small = fetch(half, whole.num_examples)["target"][0].astype(float)
    large = photographs.read_shipped("astronaut", 1).pixels.astype(float)[:80, :80]
    np.testing.assert_allclose(small, large.reshape(40, 2, 40, 2, 1).mean(axis=(1, 3)), atol=25)
    assert photographs.resized(Photograph("a", picture(9, 20)), 0.5).pixels.shape == (4, 10, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"test": ("camera", "lena")}, "test names lena; the photographs are astronaut, brick"),
        ({"validation": ("camera",)}, "validation and test both name camera"),
        (
            {"validation": ("motorcycle_left",)},
            r"motorcycle_left \(validation\) and motorcycle_right \(train\) show one",
        ),
        ({"test": tuple(name for name in SHIPPED if name != "coffee")}, "leave no photograph for training"),
        ({"scales": (1.0, 1.5)}, "less than or equal to 1"),
        ({"channels": 2}, "Input should be 1 or 3"),
        ({"patch_size": 4}, "greater than or equal to 11"),
    ],
)
def test_choices_that_cannot_be_met(options, message):
    with pytest.raises(ValidationError, match=message):
        shipped(**options)


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="photograph coffee needs the package scikit-image, which ships it: pip install"
    ):
        photographs.read_shipped("coffee", 1)
    with pytest.raises(UserError, match="needs the package scikit-learn"):
        photographs.read_shipped("china", 1)


@pytest.fixture
def folder(tmp_path):
    for index in range(6):
        (tmp_path / "own" / "trip").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40 + index, 50, seed=index)).save(tmp_path / "own" / "trip" / f"{index}.png")
    return tmp_path / "own"


def own(folder, **options):
    options = {"patch_size": 16, "evaluation_size": 32, "channels": 3} | options
    return PhotographFolder(name="photograph_folder", folder=str(folder), **options)


def test_a_folder_is_divided_by_whole_photographs(folder):
    datasets = photographs.build(own(folder, test_fraction=0.3))
    names = datasets.facts["photographs"]
    assert [len(names[part]) for part in ("train", "validation", "test")] == [3, 1, 2]
    assert sorted(itertools.chain(*names.values())) == [f"trip/{index}.png" for index in range(6)]
    index = int(names["test"][0][5])
    np.testing.assert_array_equal(fetch(datasets.test, 0)["target"][0], picture(40 + index, 50, seed=index)[:32, :32])


def test_a_folder_with_parts(folder):
    (folder / "trip").rename(folder / "train")
    (folder / "test").mkdir()
    Image.fromarray(picture(40, 40, seed=9)[..., 0]).save(folder / "test" / "grey.png")
    (folder / "test" / "._hidden.png").write_bytes(b"left by another system")
    names = photographs.build(own(folder)).facts["photographs"]
    assert names["test"] == ["test/grey.png"] and len(names["validation"]) == 1 and len(names["train"]) == 5
    (folder / "val").mkdir()
    Image.fromarray(picture(64, 40)).save(folder / "val" / "v.jpg")
    assert photographs.build(own(folder)).facts["photographs"]["validation"] == ["val/v.jpg"]
    (folder / "valid").mkdir()
    with pytest.raises(UserError, match="several folders for validation: valid, val"):
        photographs.build(own(folder))


def test_folders_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(UserError, match=r"data.folder .*absent does not exist"):
        photographs.build(own(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no image files \(\.jpg"):
        photographs.build(own(tmp_path / "empty"))
    with pytest.raises(
        UserError, match=r"0.png \(40 x 50\), which is held out .* smaller than data.evaluation_size \(4"
    ):
        photographs.build(own(folder, evaluation_size=48, test_fraction=0.8))
    with pytest.raises(UserError, match=r"trip/0.png \(40 x 50\) is smaller than 41 x 41 pixels"):
        photographs.build(own(folder, patch_size=41))
    with pytest.raises(UserError, match="leave none for training, beside"):
        photographs.build(own(folder, test_fraction=0.9))
    (folder / "train").mkdir()
    with pytest.raises(UserError, match="has a folder train but none called test"):
        photographs.build(own(folder))


def test_a_file_that_is_no_image(folder):
    (folder / "trip" / "note.png").write_bytes(b"no picture")
    with pytest.raises(
        UserError, match=r"note.png is not a readable image.*\(data.on_error: skip would leave it out\)"
    ):
        photographs.build(own(folder))
    names = photographs.build(own(folder, on_error="skip")).facts["photographs"]
    assert len([*itertools.chain(*names.values())]) == 6
