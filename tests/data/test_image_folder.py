import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError

from tfdlcv.data import image_folder, pipeline
from tfdlcv.data.image_folder import ImageFolder
from tfdlcv.errors import UserError

CLASSES = ("ant", "bee", "cat")


def write_class(folder, name, count, *, first=0):
    """Images whose red value tells the class, and whose green value tells the number."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.full((12, 16, 3), (50 * CLASSES.index(name) + 50, 2 * number, 0), np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def folder(tmp_path):
    for name in CLASSES:
        write_class(tmp_path / "set", name, 20)
    return tmp_path / "set"


@pytest.fixture
def build(folder, tmp_path):
    def build(**values):
        values = {"folder": str(folder), "image_size": (8, 8), "cache_folder": str(tmp_path / "cache"), **values}
        return image_folder.build(ImageFolder(name="image_folder", **values))

    return build


def examples(split):
    indices = tf.range(split.num_examples, dtype=tf.int64)
    if split.fetch_per_example:
        batch = tf.map_fn(split.fetch, indices, fn_output_signature={"image": tf.uint8, "label": tf.int32})
    else:
        batch = split.fetch(indices)
    return {name: tensor.numpy() for name, tensor in batch.items()}


def names(split):
    return [split.describe(index) for index in range(split.num_examples)]


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_images_go_with_labels_and_names(build, folder, cache):
    (folder / "bee" / "7.png").write_bytes(b"")  # The rows of a cache are not those of the parts.
    data = build(cache=cache, on_error="skip")
    assert data.class_names == CLASSES
    assert data.image_shape == (8, 8, 3)
    assert sum(part.num_examples for part in (data.train, data.validation, data.test)) == 59
    for part in (data.train, data.validation, data.test):
        assert part.fetch_per_example == (cache == "none")
        batch = examples(part)
        assert batch["image"].shape == (part.num_examples, 8, 8, 3)
        for index, name in enumerate(names(part)):
            class_name, number = name.removesuffix(".png").split("/")
            label = CLASSES.index(class_name)
            assert batch["label"][index] == label
            assert set(batch["image"][index, ..., 0].ravel()) == {50 * label + 50}
            assert set(batch["image"][index, ..., 1].ravel()) == {2 * int(number)}


def test_the_caches_give_the_same_batches(build):
    uncached, memory, disk = (build(cache=cache) for cache in ("none", "memory", "disk"))
    for other in (memory, disk):
        assert names(other.train) == names(uncached.train)
        for key, values in examples(uncached.train).items():
            np.testing.assert_array_equal(examples(other.train)[key], values)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_in_the_input_pipeline(build, cache):
    data = build(cache=cache)
    datasets = pipeline.Datasets(train=data.train, validation=data.validation)
    batch = next(iter(pipeline.training_dataset(datasets, batch_size=6, seed=1)))
    assert batch["image"].shape == (6, 8, 8, 3)
    for image, label, index in zip(batch["image"], batch["label"], batch["id"], strict=True):
        assert data.train.describe(int(index)).startswith(CLASSES[int(label)])
        assert int(image[0, 0, 0]) == 50 * int(label) + 50


def test_the_parts_are_stratified_disjoint_and_stable(build, folder):
    data = build(validation_fraction=0.25, test_fraction=0.1)
    assert [part.num_examples for part in (data.train, data.validation, data.test)] == [39, 15, 6]
    assert data.class_counts == (13, 13, 13)
    assert np.bincount(examples(data.validation)["label"]).tolist() == [5, 5, 5]
    everything = [*names(data.train), *names(data.validation), *names(data.test)]
    assert len(set(everything)) == 60
    again = build(validation_fraction=0.25, test_fraction=0.1)
    assert names(again.test) == names(data.test)
    # Written down once: other parts would mix what was trained on into the test.
    assert names(data.test) == ["ant/14.png", "ant/15.png", "bee/17.png", "bee/5.png", "cat/13.png", "cat/5.png"]
    # A few files more change little.
    write_class(folder, "ant", 2, first=20)
    larger = build(validation_fraction=0.25, test_fraction=0.1)
    assert len(set(names(larger.test)) ^ set(names(data.test))) <= 4


def test_no_test_part(build):
    data = build(test_fraction=0.0)
    assert data.test is None
    assert (data.train.num_examples, data.validation.num_examples) == (54, 6)


def test_without_validation_fraction_the_test_examples_validate(build):
    data = build(validation_fraction=0.0, test_fraction=0.2)
    assert names(data.validation) == names(data.test)
    assert data.train.num_examples == 48
    with pytest.raises(UserError, match="validation_fraction is 0, and there are no test examples"):
        build(validation_fraction=0.0, test_fraction=0.0)


def test_a_class_with_one_image_trains(build, folder):
    for path in sorted((folder / "cat").iterdir())[1:]:
        path.unlink()
    data = build(validation_fraction=0.3, test_fraction=0.3)
    assert data.class_counts[2] == 1
    assert 2 not in examples(data.validation)["label"]


def test_folders_of_parts(tmp_path, build):
    for part, count in (("train", 10), ("val", 3), ("test", 2)):
        for name in CLASSES:
            write_class(tmp_path / "parts" / part, name, count)
    data = build(folder=str(tmp_path / "parts"))
    assert [part.num_examples for part in (data.train, data.validation, data.test)] == [30, 9, 6]
    assert names(data.test)[0] == "test/ant/0.png"
    np.testing.assert_array_equal(examples(data.test)["label"], [0, 0, 1, 1, 2, 2])


def test_folders_of_parts_without_val(tmp_path, build):
    for part, count in (("train", 10), ("test", 2)):
        for name in CLASSES:
            write_class(tmp_path / "parts" / part, name, count)
    data = build(folder=str(tmp_path / "parts"), validation_fraction=0.2, test_fraction=0.5)
    assert [part.num_examples for part in (data.train, data.validation, data.test)] == [24, 6, 6]
    assert all(name.startswith("train/") for name in names(data.validation))


def test_limits_and_classes(build):
    data = build(classes=("cat", "ant"), examples_per_class=4)
    assert data.class_names == ("cat", "ant")
    assert data.class_counts == (4, 4)
    assert set(examples(data.train)["image"][..., 0].ravel().tolist()) == {50, 150}
    assert build(train_limit=5).train.num_examples == 5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_preparation(build, folder, resize, channels):
    data = build(image_size=(24, 16), resize=resize, channels=channels, cache="memory", classes=("ant", "bee"))
    image = examples(data.train)["image"][0]
    assert image.shape == data.image_shape == (24, 16, channels)
    # 12 x 16 on 24 x 16: only padding adds black, six rows above and below.
    assert (image[:6].max() == 0) == (resize == "pad")
    np.testing.assert_array_equal(data.decode(tf.io.read_file(str(folder / data.train.describe(0)))), image)


def test_unreadable_files_stop_the_run_with_their_names(build, folder):
    for number in range(12):
        (folder / "bee" / f"{number}.png").write_bytes(b"")
    with pytest.raises(UserError) as error:
        build()
    lines = str(error.value).splitlines()
    assert lines[0].startswith("12 of 60 image files in")
    assert "data.on_error: skip" in lines[0]
    assert lines[1] == "  bee/0.png: Input is empty."
    assert len(lines) == 12
    assert lines[-1] == "  and 2 more"


def test_unreadable_files_are_skipped_with_a_count(build, folder, caplog):
    (folder / "bee" / "3.png").write_bytes(b"not an image")
    data = build(on_error="skip")
    assert sum(part.num_examples for part in (data.train, data.validation, data.test)) == 59
    assert "bee/3.png" not in [*names(data.train), *names(data.validation), *names(data.test)]
    assert "1 of 60 image files" in caplog.text
    assert "bee/3.png: Unknown image file format" in caplog.text


def test_a_class_that_is_unreadable_as_a_whole(build, folder):
    for path in (folder / "bee").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no file of these classes can be read as an image: bee"):
        build(on_error="skip")


def test_a_part_that_is_unreadable_as_a_whole(tmp_path, build):
    for name in CLASSES:
        write_class(tmp_path / "parts" / "train", name, 3)
        (tmp_path / "parts" / "val" / name).mkdir(parents=True)
    with pytest.raises(UserError, match="the validation folder of .*parts has no readable image"):
        build(folder=str(tmp_path / "parts"))


def test_fractions_that_leave_nothing(build):
    with pytest.raises(UserError, match=r"data\.validation_fraction \(0\.001\) of 60 images leaves no example"):
        build(validation_fraction=0.001)
    with pytest.raises(UserError, match=r"data\.test_fraction \(0\.001\) of 60 images leaves no example"):
        build(test_fraction=0.001)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": (0, 8)}, r"image_size must be two numbers >= 1, not \[0, 8\]"),
        (
            {"validation_fraction": 0.5, "test_fraction": 0.5},
            r"validation_fraction \(0\.5\) and test_fraction \(0\.5\)",
        ),
        ({"channels": 4}, "Input should be 1 or 3"),
        ({"resize": "fit"}, "'crop', 'pad' or 'stretch'"),
        ({"on_error": "ignore"}, "'stop' or 'skip'"),
        ({"cache": "ram"}, "'none', 'memory' or 'disk'"),
    ],
)
def test_config_faults(values, message):
    with pytest.raises(ValidationError, match=message):
        ImageFolder(**{"name": "image_folder", "folder": "x", "image_size": (8, 8), **values})
