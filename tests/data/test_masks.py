import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from tests.data.published_masks import write_mask
from tfdlcv.data import masks
from tfdlcv.data.dense_examples import VOID, ClassPixels
from tfdlcv.data.mask_augmentation import MaskAugmentation
from tfdlcv.data.mask_decoding import read_mask
from tfdlcv.data.pipeline import evaluation_dataset, training_dataset

SHAPES = TypeAdapter(masks.SegmentationDataConfig).validate_json(json.dumps(
    {
        "name": "shapes", "image_size": [64, 64], "radius": [6.0, 20.0], "train_examples": 6,
        "validation_examples": 3, "test_examples": 2,
        "augmentation": {"flip": "horizontal", "scale_crop": {"scale": [0.5, 1.5], "size": [48, 40]}},
    }
))  # fmt: skip


def test_facts_are_json_and_say_what_networks_need():
    datasets = masks.build_datasets(SHAPES)
    facts = json.loads(json.dumps(datasets.facts))
    assert facts["image_shape"] == [64, 64, 3] and facts["target"] is None
    assert facts["class_names"] == ["background", "disk", "square", "triangle", "ring", "cross"]
    assert len(facts["palette"]) == len(facts["class_pixels"]) == len(facts["class_image_pixels"]) == 6
    assert sum(facts["class_pixels"]) == 6 * 64 * 64
    scenes = TypeAdapter(masks.RegressionDataConfig).validate_python(
        {"name": "scenes", "train_examples": 2, "validation_examples": 1, "test_examples": 1}
    )
    facts = json.loads(json.dumps(masks.build_datasets(scenes).facts))
    assert facts["target"] == {"name": "depth", "channels": 1, "unit": "metres"} and facts["class_names"] == []


def test_batches_of_training_and_validation():
    datasets = masks.build_datasets(SHAPES)
    batch = next(iter(training_dataset(datasets, batch_size=4, seed=1)))
    assert batch["image"].shape == (4, 48, 40, 3) and batch["image"].dtype == tf.float32
    assert batch["mask"].shape == (4, 48, 40) and batch["mask"].dtype == tf.int32
    assert set(np.unique(batch["mask"])) <= {*range(6), VOID}
    again = next(iter(training_dataset(datasets, batch_size=4, seed=1)))
    for key, value in batch.items():
        np.testing.assert_array_equal(value, again[key])
    last = list(evaluation_dataset(datasets.validation, batch_size=2).take(2))[1]
    assert last["image"].shape == (2, 64, 64, 3) and last["valid"].numpy().tolist() == [True, False]


def test_no_augmentation_is_none():
    config = SHAPES.model_copy(update={"augmentation": MaskAugmentation()})
    assert masks.build_datasets(config).augment is None


@pytest.mark.parametrize("num_classes", [2, 3])
def test_pixels_are_counted_as_median_frequency_balancing_needs_them(num_classes):
    pixels = ClassPixels.none(num_classes)
    pixels.add(np.array([[0, 0, 1], [255, 1, 1]], np.uint8))
    pixels.add(np.array([[0, 0], [255, 255]], np.uint8))
    assert pixels.counts.tolist() == [4, 3, 0][:num_classes]
    assert pixels.image_counts.tolist() == [7, 5, 0][:num_classes]  # Void counts nowhere.


@pytest.mark.parametrize(
    ("section", "stem", "name", "stored", "expected"),
    [
        ({"name": "shapes"}, "a", "a.png", [0, 5, 255], [0, 5, 255]),
        ({"values": [0, 255]}, "a", "a.png", [0, 255, 255], [0, 1, 1]),
        ({"void_value": 11, "mask_suffix": "_L"}, "a", "a_L.png", [0, 1, 11], [0, 1, 255]),
        ({"name": "cityscapes"}, "x_leftImg8bit", "x_gtFine_labelIds.png", [7, 26, 4], [0, 13, 255]),
    ],
)
def test_masks_beside_the_user_s_images_are_saved_as_those_of_the_data_set(
    section, stem, name, stored, expected, tmp_path
):
    if "name" not in section:
        section |= {"name": "image_mask_folder", "class_names": ["ground", "cell"], "image_size": [8, 8]}
    folder = {} if section["name"] == "shapes" else {"folder": "anywhere"}
    config = TypeAdapter(masks.SegmentationDataConfig).validate_json(json.dumps({**section, **folder}))
    mask_format = masks.mask_format(config, 6)
    assert mask_format.file_name(stem) == name
    write_mask(tmp_path / name, [stored])
    assert read_mask(tmp_path / name, mask_format.table).tolist() == [expected]


def test_configs_are_checked_without_tensorflow():
    code = "import sys, tfdlcv.data.masks; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
