import os
from pathlib import Path

import numpy as np
import pytest

from tfdlcv.data.image_listing import ImageFiles, list_image_files
from tfdlcv.errors import UserError


def make(folder: Path, *names: str) -> Path:
    """Empty files: listing does not open them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_and_labels(files: ImageFiles) -> list[tuple[str, int]]:
    return list(zip(files.names.tolist(), files.labels.tolist(), strict=True))


def test_folders_of_classes(tmp_path):
    make(tmp_path, "dog/b.PNG", "dog/a.jpeg", "cat/1.JPG", "cat/deep/er/2.gif", "cat/3.bmp", "dog/c.WebP", "dog/d.jfif")
    listing = list_image_files(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert list(listing.parts) == ["all"]
    assert names_and_labels(listing.parts["all"]) == [
        ("cat/1.JPG", 0), ("cat/3.bmp", 0), ("cat/deep/er/2.gif", 0),
        ("dog/a.jpeg", 1), ("dog/b.PNG", 1), ("dog/c.WebP", 1), ("dog/d.jfif", 1),
    ]  # fmt: skip
    assert listing.parts["all"].paths[0] == str(tmp_path / "cat/1.JPG")
    assert listing.parts["all"].rows.tolist() == list(range(7))


def test_other_files_are_left_alone(tmp_path, caplog):
    make(tmp_path, "cat/1.jpg", "cat/notes.txt", "cat/.hidden.jpg", "cat/._1.jpg", "cat/.cache/2.jpg", "dog/1.jpg")
    make(tmp_path, "__MACOSX/cat/1.jpg", ".git/x/1.jpg", "readme.md", "loose.jpg", "dog/Thumbs.db")
    with caplog.at_level("INFO"):
        listing = list_image_files(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert names_and_labels(listing.parts["all"]) == [("cat/1.jpg", 0), ("dog/1.jpg", 1)]
    assert "2 files under" in caplog.text


@pytest.mark.parametrize("validation", ["val", "validation", "valid"])
def test_folders_of_parts(tmp_path, validation):
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", f"{validation}/cat/2.jpg", "test/dog/3.jpg", "test/cat/3.jpg")
    listing = list_image_files(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert {part: names_and_labels(files) for part, files in listing.parts.items()} == {
        "train": [("train/cat/1.jpg", 0), ("train/dog/1.jpg", 1)],
        "validation": [(f"{validation}/cat/2.jpg", 0)],
        "test": [("test/cat/3.jpg", 0), ("test/dog/3.jpg", 1)],
    }
    assert [files.rows.tolist() for files in listing.parts.values()] == [[0, 1], [2], [3, 4]]
    joined = ImageFiles.joined(listing.parts.values())
    assert joined.names[4] == "test/dog/3.jpg"
    assert joined.rows.tolist() == [0, 1, 2, 3, 4]


def test_train_and_test_can_be_classes(tmp_path):
    make(tmp_path, "train/thomas.jpg", "test/tube.jpg", "car/1.jpg")
    listing = list_image_files(tmp_path)
    assert listing.class_names == ("car", "test", "train")
    assert list(listing.parts) == ["all"]


def test_wanted_classes(tmp_path):
    make(tmp_path, "ant/1.jpg", "bee/1.jpg", "cat/1.jpg")
    listing = list_image_files(tmp_path, ("cat", "ant"))
    assert listing.class_names == ("cat", "ant")
    assert names_and_labels(listing.parts["all"]) == [("ant/1.jpg", 1), ("cat/1.jpg", 0)]
    with pytest.raises(UserError, match="there is no class dog"):
        list_image_files(tmp_path, ("cat", "dog"))


def test_class_folders_may_be_links(tmp_path):
    make(tmp_path / "store", "1.jpg")
    make(tmp_path / "set", "cat/1.jpg")
    os.symlink(tmp_path / "store", tmp_path / "set" / "dog")
    assert list_image_files(tmp_path / "set").class_names == ("cat", "dog")
    assert names_and_labels(list_image_files(tmp_path / "set").parts["all"])[1] == ("dog/1.jpg", 1)


def test_faults_of_the_folder(tmp_path):
    with pytest.raises(UserError, match=r"data\.folder .*nowhere does not exist"):
        list_image_files(tmp_path / "nowhere")
    make(tmp_path, "flat/1.jpg", "flat/2.jpg")
    with pytest.raises(UserError, match=r"flat/1\.jpg is not a folder"):
        list_image_files(tmp_path / "flat" / "1.jpg")
    with pytest.raises(
        UserError, match=r"flat has no class folders: .* in a folder of their own, as in .*flat/cat/1\.jpg"
    ):
        list_image_files(tmp_path / "flat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no class folders"):
        list_image_files(tmp_path / "empty")
    make(tmp_path / "one", "cat/1.jpg")
    with pytest.raises(UserError, match="one has a single class folder, cat; a classifier needs two or more"):
        list_image_files(tmp_path / "one")
    make(tmp_path / "hollow", "cat/1.jpg", "dog/note.txt", "eel/.hidden.jpg")
    with pytest.raises(UserError, match=r"no images in these class folders of .*hollow: dog, eel; images end in \.jpg"):
        list_image_files(tmp_path / "hollow")


def test_faults_of_parts(tmp_path):
    make(tmp_path / "a", "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "val/owl/1.jpg")
    with pytest.raises(UserError, match=r"a/val has class folders that .*a/train lacks: owl"):
        list_image_files(tmp_path / "a")
    make(tmp_path / "b", "train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg")
    with pytest.raises(UserError, match="b/test has no class folders, so its images have no labels"):
        list_image_files(tmp_path / "b")
    make(tmp_path / "c", "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg", "valid/cat/1.jpg")
    with pytest.raises(UserError, match="several folders for validation: val, valid"):
        list_image_files(tmp_path / "c")
    make(tmp_path / "d", "train/cat/1.jpg", "train/dog/x.txt", "val/dog/1.jpg")
    with pytest.raises(UserError, match="no images in these class folders of .*d/train: dog"):
        list_image_files(tmp_path / "d")


def test_a_part_keeps_what_it_selects(tmp_path):
    make(tmp_path, "cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    part = list_image_files(tmp_path).parts["all"].of(np.array([2, 0]))
    assert len(part) == 2
    assert names_and_labels(part) == [("dog/1.jpg", 1), ("cat/1.jpg", 0)]
    assert part.rows.tolist() == [2, 0]
