import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError

from tests.data.published_masks import mask_of, write_image, write_mask
from tfdlcv.data import decoded_files, masks
from tfdlcv.data.image_mask_folder import ImageMaskFolder
from tfdlcv.data.pipeline import evaluation_dataset, faults_of_examples
from tfdlcv.errors import UserError

NAMES = ("ground", "road", "house")


def write(folder, count=10, *, suffix="", images="images", masks="masks", size=(12, 18)):
    for index in range(count):
        write_image(folder / images / f"{index:02d}.png", *size, seed=index)
        write_mask(folder / masks / f"{index:02d}{suffix}.png", mask_of(*size, 0, index % 3, 2))


def config(folder, **options):
    options = {"class_names": NAMES, "image_size": (12, 18), "cache_folder": str(folder.parent / "cache"), **options}
    return ImageMaskFolder(name="image_mask_folder", folder=str(folder), **options)


def build(folder, **options):
    return masks.build(config(folder, **options))


def example(split, index=0):
    return {key: value.numpy() for key, value in split.fetch(tf.constant(index, tf.int64)).items()}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "data")
    return tmp_path / "data"


def test_pairs_are_divided_by_their_names(folder):
    data = build(folder, validation_fraction=0.2, test_fraction=0.3)
    parts = [data.train, data.validation, data.test]
    assert [part.num_examples for part in parts] == [5, 2, 3]
    names = [part.describe(index) for part in parts for index in range(part.num_examples)]
    assert sorted(names) == [f"images/{index:02d}.png" for index in range(10)]
    for part in parts:
        for index in range(part.num_examples):
            number = int(part.describe(index)[-6:-4])
            values = example(part, index)
            np.testing.assert_array_equal(values["mask"], mask_of(12, 18, 0, number % 3, 2))
            np.testing.assert_array_equal(
                values["image"], np.asarray(Image.open(folder / "images" / f"{number:02d}.png"))
            )
    # More files leave the others where they are.
    write(folder, 12)
    again = build(folder, validation_fraction=0.2, test_fraction=0.3)
    kept = {again.test.describe(index) for index in range(again.test.num_examples)}
    assert len(kept & {data.test.describe(index) for index in range(3)}) >= 2


def test_folders_of_parts_are_taken_as_they_are(tmp_path):
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        write(tmp_path / "data" / part, count)
    data = build(tmp_path / "data")
    assert [data.train.num_examples, data.validation.num_examples, data.test.num_examples] == [4, 2, 3]
    assert data.validation.describe(1) == "val/images/01.png"
    write(tmp_path / "data" / "valid", 2)
    with pytest.raises(UserError, match="several folders for validation: val, valid"):
        build(tmp_path / "data")


def test_names_of_folders_and_masks(tmp_path):
    write(tmp_path / "data", 5, suffix="_labels", images="rgb", masks="gt")
    data = build(tmp_path / "data", images="rgb", masks="gt", mask_suffix="_labels", test_fraction=0.2)
    assert data.train.num_examples + data.validation.num_examples == 4


def test_binary_masks_of_0_and_255(tmp_path):
    for index in range(5):
        write_image(tmp_path / "data" / "images" / f"{index}.png", 8, 8)
        write_mask(tmp_path / "data" / "masks" / f"{index}.png", np.eye(8) * 255, mode="L")
    options = {"class_names": ("no", "yes"), "image_size": (8, 8), "test_fraction": 0.2, "validation_fraction": 0.2}
    with pytest.raises(UserError, match=r"of class no or void: .* set data.values: \[0, 255\]"):
        build(tmp_path / "data", **options)
    data = build(tmp_path / "data", values=(0, 255), **options)
    np.testing.assert_array_equal(example(data.train)["mask"], np.eye(8))
    assert data.class_pixels == (3 * 56, 3 * 8)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(24, 24), (7, 9), (20, 8)])
def test_images_and_masks_are_resized_alike(tmp_path, resize, size):
    """The mask of a picture of large squares, resized, is where the resized picture is bright."""
    squares = np.kron(np.random.default_rng(0).integers(0, 2, (4, 6)), np.ones((16, 16))).astype(np.uint8)
    for index in range(3):
        path = tmp_path / "data" / "images" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(squares[..., None] * 255, 3, axis=2)).save(path)
        write_mask(tmp_path / "data" / "masks" / f"{index}.png", squares)
    data = build(tmp_path / "data", class_names=("dark", "bright"), image_size=size, resize=resize)
    values = example(data.train)
    mask, bright = values["mask"], values["image"][..., 0] / 255
    assert mask.shape == size
    inside = mask != 255
    if resize == "pad":
        assert not values["image"][~inside].any()
        scale = min(size[0] / 64, size[1] / 96)
        assert inside.sum() == round(64 * scale) * round(96 * scale)
    else:
        assert inside.all()
    sure = inside & (np.abs(bright - 0.5) > 0.25)  # Not on an edge between squares.
    assert sure.mean() > 0.1
    np.testing.assert_array_equal(mask[sure], bright[sure] > 0.5)


def test_without_resizing_no_image_may_be_larger(folder):
    data = build(folder, image_size=(16, 20), resize="none")
    values = example(data.train)
    assert (values["mask"][12:] == 255).all() and (values["mask"][:, 18:] == 255).all()
    assert (values["image"][12:] == 0).all() and (values["mask"][1:12, :18] != 255).all()
    with pytest.raises(UserError, match=r"has 12 x 18 pixels .* more than data.image_size \[12, 16\]"):
        build(folder, image_size=(12, 16), resize="none")


def spoil(folder):
    write_image(folder / "images" / "00.png", 12, 17)
    write_mask(folder / "masks" / "01.png", mask_of(12, 18, 0, 3))
    write_mask(folder / "masks" / "02.png", mask_of(12, 18, 1, 2), mode="RGB")
    write_mask(folder / "masks" / "03.png", np.full((12, 18), 255))
    (folder / "images" / "04.png").write_bytes((folder / "images" / "04.png").read_bytes()[:200])


def test_every_fault_is_told_before_the_first_step(folder):
    spoil(folder)
    with pytest.raises(UserError) as raised:
        build(folder)
    lines = str(raised.value).split("\n")
    assert lines[0] == f"5 of 10 images of {folder} cannot be used:"
    for line, texts in zip(
        lines[1:6],
        [
            ("masks/00.png has 12 x 18 pixels (height x width), but image", "images/00.png has 12 x 17"),
            ("masks/01.png holds 3, but the data set has 0..2 for its 3 classes and 255 for void",),
            ("masks/02.png is saved in colour (RGB)",),
            ("masks/03.png is void all over",),
            ("image ", "images/04.png: "),
        ],
        strict=True,
    ):
        assert all(text in line for text in texts)
    assert lines[6] == "Repair or remove them, or set data.on_error: skip"


def test_faulty_examples_are_left_out_if_wanted(folder, caplog):
    spoil(folder)
    data = build(folder, on_error="skip", validation_fraction=0.2, test_fraction=0.2)
    parts = [data.train, data.validation, data.test]
    names = {part.describe(index) for part in parts for index in range(part.num_examples)}
    assert names == {f"images/{index:02d}.png" for index in range(5, 10)}
    assert "5 of 10 images" in caplog.text


@pytest.mark.parametrize("number", range(5))
def test_unchecked_faults_stop_the_run_with_the_files_name(folder, number):
    spoil(folder)
    data = build(folder, check="never", validation_fraction=0.1, test_fraction=0.8)
    parts = [data.train, data.validation, data.test]
    part, index = next(
        (part, index)
        for part in parts
        for index in range(part.num_examples)
        if part.describe(index) == f"images/{number:02d}.png"
    )

    only = dataclasses.replace(part, num_examples=1, fetch=lambda slot: part.fetch(slot + index))
    with pytest.raises(UserError, match=rf"^(mask )?/.*(masks|images)/{number:02d}.png"), faults_of_examples():
        next(iter(evaluation_dataset(only, batch_size=1)))


def test_what_was_found_is_kept(folder, monkeypatch):
    first = build(folder)
    monkeypatch.setattr(decoded_files, "decode_all", None)
    again = build(folder)
    assert again.class_pixels == first.class_pixels and sum(first.class_pixels) > 0
    os.utime(folder / "masks" / "03.png", (1, 1))
    with pytest.raises(TypeError):  # Reads the files once more.
        build(folder)
    monkeypatch.undo()
    write_mask(folder / "masks" / "03.png", mask_of(12, 18, 0, 5))
    for _ in range(2):  # Found; and known.
        with pytest.raises(UserError, match=r"03.png holds 5"):
            build(folder)


def test_folders_that_are_laid_out_otherwise(tmp_path):
    with pytest.raises(UserError, match=r"data.folder .*gone does not exist"):
        build(tmp_path / "gone")
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=r"has neither images/ nor train/images/"):
        build(tmp_path / "data")
    (tmp_path / "data" / "images").mkdir()
    with pytest.raises(UserError, match=r"has a folder images, but none that is called masks"):
        build(tmp_path / "data")
    (tmp_path / "data" / "masks").mkdir()
    with pytest.raises(UserError, match=r"images holds no images; they end in"):
        build(tmp_path / "data")
    write(tmp_path / "data", 3)
    (tmp_path / "data" / "masks" / "01.png").unlink()
    with pytest.raises(UserError, match=r"1 of 3 images in .* have no mask in .*masks, such as 01.png: 01.png"):
        build(tmp_path / "data")
    write(tmp_path / "data", 3)
    write_mask(tmp_path / "data" / "masks" / "9.png", mask_of(12, 18, 0))
    with pytest.raises(UserError, match=r"1 masks in .* have no image in .*images: 9.png"):
        build(tmp_path / "data")
    (tmp_path / "data" / "masks" / "9.png").unlink()
    write_image(tmp_path / "data" / "images" / "01.jpg", 12, 18)
    with pytest.raises(UserError, match=r"several images for one mask: 01"):
        build(tmp_path / "data")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"values": (0, 1)}, r"values \(2 numbers\) must have one for each of the 3 classes"),
        ({"values": (0, 1, 1)}, r"values must differ, not \[0, 1, 1\]"),
        ({"void_value": 2}, r"void_value \(2\) must not be among the values of classes"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, r"\(0.5\) and test_fraction \(0.5\) must leave a part"),
    ],
)
def test_options_that_exclude_each_other(tmp_path, options, message):
    with pytest.raises(ValidationError, match=message):
        config(tmp_path, **options)


def test_nothing_to_validate_with(folder):
    with pytest.raises(UserError, match="validation_fraction is 0, and there are no test examples"):
        build(folder, validation_fraction=0.0, test_fraction=0.0)
