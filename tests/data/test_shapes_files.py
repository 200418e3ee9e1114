import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdlcv.data import masks, run_lengths, shapes_files
from tfdlcv.data.image_mask_folder import ImageMaskFolder
from tfdlcv.data.shapes import CLASS_NAMES, PALETTE, Shapes, ShapesConfig
from tfdlcv.data.shapes_drawing import SHAPE_NAMES
from tfdlcv.errors import UserError

CONFIG = ShapesConfig(
    name="shapes", image_size=(64, 72), radius=(6, 20), train_examples=5, validation_examples=2, test_examples=1,
    empty_fraction=0.3, data_seed=11,
)  # fmt: skip
TRAIN = CONFIG.generator("train")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return shapes_files.write_shapes(tmp_path_factory.mktemp("data") / "shapes", CONFIG)


def test_pngs_hold_the_examples(written):
    for index in range(5):
        example, name = TRAIN[index], f"{index:06d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(written / "train" / "images" / name)), example.image)
        np.testing.assert_array_equal(np.asarray(Image.open(written / "train" / "instances" / name)), example.instances)
        mask = Image.open(written / "train" / "masks" / name)
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), example.mask)
        np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), np.array(PALETTE, np.uint8)[example.mask])
    assert len(list((written / "validation" / "images").iterdir())) == 2


def test_pycocotools_reads_the_annotations(written):
    coco = pytest.importorskip("pycocotools.coco")
    path = written / "annotations" / "instances_train.json"
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = coco.COCO(str(path))
    assert {item["id"]: item["name"] for item in loaded.loadCats(loaded.getCatIds())} == dict(enumerate(SHAPE_NAMES, 1))
    assert min(loaded.getAnnIds()) == 1
    assert sorted(loaded.getImgIds()) == [1, 2, 3, 4, 5]  # Empty images too.
    for index in range(5):
        example = TRAIN[index]
        annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[index + 1]))
        assert len(annotations) == example.num_objects
        for place, annotation in enumerate(annotations):
            mask = example.instance_masks[place]
            np.testing.assert_array_equal(loaded.annToMask(annotation).astype(bool), mask)
            x, y, width, height = annotation["bbox"]
            assert [x, y, x + width, y + height] == example.boxes[place].tolist()
            assert annotation["area"] == mask.sum()
            assert annotation["category_id"] == example.labels[place] + 1


def test_annotations_are_plain_json_with_run_lengths(written):
    content = json.loads((written / "annotations" / "instances_train.json").read_text())
    first = content["annotations"][0]
    index = first["image_id"] - 1
    np.testing.assert_array_equal(run_lengths.decode(first["segmentation"]), TRAIN[index].instance_masks[0])
    assert content["images"][0] == {"id": 1, "file_name": "000000.png", "height": 64, "width": 72}
    made = shapes_files.coco_annotations(TRAIN, 5)
    assert json.loads(json.dumps(made)) == content


def test_records_hold_the_examples(written):
    files = sorted(str(path) for path in written.glob("train-*.tfrecord"))
    assert [path.rsplit("/", 1)[1] for path in files] == ["train-00000-of-00001.tfrecord"]
    dataset = tf.data.TFRecordDataset(files).map(shapes_files.parse_record)
    assert dataset.element_spec["boxes"].shape == (6, 4)
    parsed = list(dataset)
    assert len(parsed) == 5
    assert {int((values["labels"] >= 0).numpy().sum()) for values in parsed} > {0}  # With an empty one among them.
    for index, values in enumerate(parsed):
        example = TRAIN[index]
        for name in ("image", "mask", "labels", "instance_masks"):
            np.testing.assert_array_equal(values[name], getattr(example, name))
        np.testing.assert_allclose(values["boxes"], example.boxes, atol=1e-4)


def test_records_are_divided_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes_files, "EXAMPLES_PER_RECORD_FILE", 2)
    folder = shapes_files.write_shapes(tmp_path / "shapes", CONFIG)
    names = sorted(path.name for path in folder.glob("train-*"))
    assert names == [f"train-0000{number}-of-00003.tfrecord" for number in range(3)]
    counts = [sum(1 for _ in tf.data.TFRecordDataset(str(folder / name))) for name in names]
    assert counts == [2, 2, 1]


def test_the_readers_of_folders_and_of_coco_read_the_files(written, tmp_path):
    options = {"folder": str(written), "image_size": (64, 72), "resize": "none", "cache_folder": str(tmp_path)}
    configs = [ImageMaskFolder(name="image_mask_folder", class_names=CLASS_NAMES, **options)]
    pytest.importorskip("pycocotools")
    from tfdlcv.data.coco import COCOConfig

    configs.append(
        COCOConfig(
            name="coco",
            train_images="train/images",
            test_images="test/images",
            validation_fraction=0.2,
            train_annotations="annotations/instances_train.json",
            test_annotations="annotations/instances_test.json",
            **options,
        )
    )
    for config in configs:
        data = masks.build(config)
        assert data.class_names == CLASS_NAMES
        for place in range(data.train.num_examples):
            index = int(data.train.describe(place)[-10:-4])
            values = data.train.fetch(tf.constant(place, tf.int64))
            np.testing.assert_array_equal(values["image"], TRAIN[index].image)
            np.testing.assert_array_equal(values["mask"], TRAIN[index].mask)


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match=f"{tmp_path} exists and is not empty"):
        shapes_files.write_shapes(tmp_path, CONFIG)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(shapes_files, "_add_to_coco", stop)
    with pytest.raises(KeyboardInterrupt):
        shapes_files.write_shapes(tmp_path / "shapes", CONFIG, records=False)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "shapes"
    sizes = ["--images", "2", "--validation-images", "1", "--test-images", "1", "--size", "64", "--seed", "4"]
    shapes_files.main([str(folder), *sizes, "--no-records"])
    assert capsys.readouterr().out.strip() == str(folder)
    image = np.asarray(Image.open(folder / "train" / "images" / "000001.png"))
    np.testing.assert_array_equal(image, Shapes((4, 0), size=64)[1].image)
    assert not list(folder.glob("*.tfrecord"))
    with pytest.raises(SystemExit, match="exists and is not empty"):
        shapes_files.main([str(folder)])
    with pytest.raises(SystemExit) as stopped:
        shapes_files.main([str(tmp_path / "other"), "--size", "40"])
    assert stopped.value.code == 2
    assert "radius (28) must be at most half" in capsys.readouterr().err
