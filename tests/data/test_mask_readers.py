"""VOC 2012, Cityscapes and COCO: what they read, and what they say of files that are missing."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter, ValidationError

from tests.data.published_masks import (
    mask_of,
    rectangle,
    write_cityscapes,
    write_coco,
    write_image,
    write_mask,
    write_voc,
)
from tfdlcv.data import cityscapes, coco, masks, run_lengths, voc
from tfdlcv.data.images import read_image_file
from tfdlcv.errors import UserError

ADAPTER = TypeAdapter(masks.SegmentationDataConfig)


def build(name, folder, **options):
    options = {"cache_folder": str(folder / "cache"), "validation_fraction": 0.0, **options}
    return masks.build(ADAPTER.validate_python({"name": name, "folder": str(folder), **options}))


def example(split, index):
    return {key: value.numpy() for key, value in split.fetch(tf.constant(index, tf.int64)).items()}


def test_voc(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2012")
    data = build("voc2012", tmp_path, image_size=(16, 16))
    assert (data.train.num_examples, data.test.num_examples) == (4, 2)
    assert data.validation.describe(1) == "2008_000001"  # With no fraction held out, as published.
    assert len(data.class_names) == len(data.palette) == 21 and data.class_names[15] == "person"
    assert data.palette[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0)) and data.palette[15] == (192, 128, 128)
    first = example(data.train, 0)
    expected = np.full((16, 16), 255)
    expected[:12] = mask_of(12, 16, 0, 15, 20)
    np.testing.assert_array_equal(first["mask"], expected)  # Larger than the image: void below.
    assert first["mask"].dtype == np.int32 and first["image"].dtype == np.uint8
    pixels = read_image_file(tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages" / "2007_000000.jpg")
    np.testing.assert_array_equal(first["image"][:12], pixels)
    assert (first["image"][12:] == 0).all()
    counts = sum(np.bincount(mask_of(*size, 0, 15, 20).ravel(), minlength=256)[:21] for size in [(12, 16), (16, 12)])
    assert data.class_pixels == tuple(2 * counts)
    assert data.class_image_pixels[15] == 4 * 12 * 16 - 2 * 16 - 2 * 12 and data.class_image_pixels[1] == 0


def test_voc_holds_out_a_part_of_train(tmp_path):
    write_voc(tmp_path, train=10)
    data = build("voc2012", tmp_path, validation_fraction=0.2)
    assert [split.num_examples for split in (data.train, data.validation, data.test)] == [8, 2, 2]
    names = {split.describe(index) for split in (data.train, data.validation) for index in range(split.num_examples)}
    assert len(names) == 10
    assert build("voc2012", tmp_path, validation_fraction=0.2, train_limit=3).train.num_examples == 3
    with pytest.raises(UserError, match=r"data.train_limit \(9\) is more than the 8 training examples"):
        build("voc2012", tmp_path, validation_fraction=0.2, train_limit=9)


def test_voc_trains_on_another_list_and_its_masks(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("2007_000001\n2007_000003\n")
    for name in ("2007_000001", "2007_000003"):
        write_mask(tmp_path / "Augmented" / f"{name}.png", mask_of(16, 12, 7, 7), mode="L")
    data = build("voc2012", tmp_path, train_list="trainaug", train_masks="Augmented", image_size=(16, 16))
    assert (data.train.num_examples, data.test.num_examples) == (2, 2)
    np.testing.assert_array_equal(example(data.train, 1)["mask"][:, :12], mask_of(16, 12, 7, 7))
    with pytest.raises(UserError, match=r"cannot read .*trainval.txt"):
        build("voc2012", tmp_path, train_list="trainval")


def test_voc_says_what_is_missing_and_where_it_is(tmp_path):
    with pytest.raises(UserError, match=r"holds no VOC2012 .*VOCtrainval_11-May-2012.tar"):
        build("voc2012", tmp_path)
    write_voc(tmp_path)
    (tmp_path / "SegmentationClass" / "2007_000002.png").unlink()
    with pytest.raises(UserError, match=r"of which 1 files are missing, such as .*2007_000002.png.*VOCtrainval"):
        build("voc2012", tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").unlink()
    write_voc(tmp_path / "again")
    (tmp_path / "again" / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read .*val.txt: No such file"):
        build("voc2012", tmp_path / "again")


def test_cityscapes(tmp_path):
    write_cityscapes(tmp_path)
    data = build("cityscapes", tmp_path, image_size=(16, 32))
    assert (data.train.num_examples, data.test.num_examples) == (3, 2)
    assert len(data.class_names) == len(data.palette) == 19
    assert data.palette[cityscapes.CLASS_NAMES.index("car")] == (0, 0, 142)
    assert data.train.describe(0) == "aachen_000000_000019"
    road, car, bicycle = (cityscapes.CLASS_NAMES.index(name) for name in ("road", "car", "bicycle"))
    np.testing.assert_array_equal(example(data.train, 0)["mask"], mask_of(16, 32, road, car, 255, bicycle))
    assert data.class_pixels[road] == 3 * 15 * 8


def test_cityscapes_says_what_is_missing_and_where_it_is(tmp_path):
    with pytest.raises(UserError, match=r"lacks leftImg8bit/train.*gtFine_trainvaltest.zip"):
        build("cityscapes", tmp_path)
    write_cityscapes(tmp_path)
    next((tmp_path / "gtFine" / "val" / "aachen").iterdir()).unlink()
    with pytest.raises(UserError, match=r"1 of 2 images in .*val have no mask, such as .*labelIds.png"):
        build("cityscapes", tmp_path)
    shutil.rmtree(tmp_path / "leftImg8bit" / "train" / "aachen")
    with pytest.raises(UserError, match=r"train holds no <city>/<name>_leftImg8bit.png"):
        build("cityscapes", tmp_path)


def write_two_cocos(folder, annotations=(), **options):
    pytest.importorskip("pycocotools")
    write_coco(folder, annotations=annotations, **options)
    write_coco(folder, part="val2017", images=1)


def test_coco(tmp_path):
    small = np.zeros((20, 30), bool)
    small[4:8, 4:8] = True
    write_two_cocos(
        tmp_path,
        [
            {"category_id": 7, "segmentation": run_lengths.encode(small)},
            {"category_id": 3, "segmentation": rectangle(2, 2, 22, 12)},
            {"category_id": 3, "segmentation": run_lengths.encode(np.ones((20, 30), bool)), "iscrowd": 1},
        ],
    )
    data = build("coco", tmp_path, image_size=(20, 30))
    assert data.class_names == ("background", "car", "dog")
    assert (data.train.num_examples, data.test.num_examples) == (3, 1)
    assert data.train.describe(0) == "train2017/000000000001.jpg"
    expected = np.full((20, 30), 255)  # The crowd, where nothing else is.
    expected[2:12, 2:22] = 1
    expected[small] = 2  # The smaller one is seen.
    np.testing.assert_array_equal(example(data.train, 0)["mask"], expected)
    assert (example(data.train, 1)["mask"] == 0).all()


def test_coco_compressed_run_lengths(tmp_path):
    masks_of_coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((20, 30), bool)
    mask[3:9, 5:25] = True
    packed = masks_of_coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": packed["size"], "counts": packed["counts"].decode()}
    write_two_cocos(tmp_path, [{"category_id": 7, "segmentation": segmentation}])
    data = build("coco", tmp_path, image_size=(20, 30))
    np.testing.assert_array_equal(example(data.train, 0)["mask"], 2 * mask)


def test_coco_chosen_classes(tmp_path):
    write_two_cocos(
        tmp_path,
        [
            {"category_id": 3, "segmentation": rectangle(2, 2, 22, 12)},
            {"category_id": 7, "segmentation": rectangle(0, 14, 30, 18)},
        ],
    )
    data = build("coco", tmp_path, image_size=(20, 30), classes=("dog",))
    assert data.class_names == ("background", "dog")
    mask = example(data.train, 0)["mask"]
    assert (mask[14:18] == 1).all() and mask.sum() == 4 * 30
    with pytest.raises(UserError, match=r"val2017.json has no images with objects of data.classes"):
        build("coco", tmp_path, image_size=(20, 30), classes=("dog",), images="with_objects")
    write_coco(
        tmp_path, part="val2017", images=2, annotations=[{"category_id": 7, "segmentation": rectangle(1, 1, 9, 9)}]
    )
    data = build("coco", tmp_path, image_size=(20, 30), classes=("dog",), images="with_objects")
    assert (data.train.num_examples, data.test.num_examples) == (1, 1)


@pytest.mark.parametrize(
    "annotation, message",
    [
        ({"category_id": 4, "segmentation": []}, r"annotation 1 has category_id 4, .*none of its categories: 3, 7"),
        ({"category_id": 3, "segmentation": [[1, 2, 3, 4]]}, r"annotation 1 of image 0+1.jpg: polygons are lists"),
        ({"category_id": 3, "segmentation": {"size": [5, 5], "counts": [25]}}, r"of size \[5, 5\], but .* \[20, 30\]"),
        (
            {"category_id": 3, "segmentation": {"size": [20, 30], "counts": [25]}},
            r"add up to 25 pixels, not to 20 x 30",
        ),
        ({"category_id": 3, "segmentation": None}, r"neither polygons nor run lengths"),
        ({"category_id": 3, "segmentation": [], "image_id": 99}, r"annotation 1 is of image 99, which it lacks"),
        ({"segmentation": []}, r"one of its annotations lacks category_id"),
    ],
)
def test_coco_annotations_that_are_wrong(tmp_path, annotation, message):
    write_two_cocos(tmp_path, [annotation])
    with pytest.raises(UserError, match=message):
        build("coco", tmp_path, image_size=(20, 30))


def test_coco_files_that_are_wrong(tmp_path):
    pytest.importorskip("pycocotools")
    with pytest.raises(UserError, match=r"there is no .*instances_train2017.json; .*annotations_trainval2017.zip"):
        build("coco", tmp_path, image_size=(20, 30))
    path = write_coco(tmp_path)
    write_coco(tmp_path, part="val2017", categories=((3, "car"), (7, "cat")))
    with pytest.raises(UserError, match="have different categories"):
        build("coco", tmp_path, image_size=(20, 30))
    write_coco(tmp_path, part="val2017")
    (tmp_path / "train2017" / "000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 3 images of .* are not in .*train2017, such as 000000000002.jpg"):
        build("coco", tmp_path, image_size=(20, 30))
    write_image(tmp_path / "train2017" / "000000000002.jpg", 21, 30)
    with pytest.raises(UserError, match=r"mask of .*002.jpg has 20 x 30 pixels .* but image .*002.jpg has 21 x 30"):
        build("coco", tmp_path, image_size=(20, 30))
    path.write_text('{"images": [')
    with pytest.raises(UserError, match=r"instances_train2017.json cannot be read: Expecting value"):
        build("coco", tmp_path, image_size=(20, 30))
    path.write_text("[]")
    with pytest.raises(UserError, match=r"is no file of COCO's instances: it has no list images"):
        build("coco", tmp_path, image_size=(20, 30))


def test_coco_needs_pycocotools(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(UserError, match=r"pip install 'tfdlcv\[coco\]'"):
        coco.build(coco.COCOConfig(name="coco", folder=str(tmp_path), image_size=(20, 30)))


def test_the_palette_of_voc():
    colors = voc.palette(256)
    assert len(set(colors)) == 256
    assert colors[255] == (224, 224, 192) and colors[20] == (0, 64, 128)  # Void and tvmonitor of the published masks.


def test_configs_are_told_apart_by_name():
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        ADAPTER.validate_python({"name": "kitti", "folder": "x"})
