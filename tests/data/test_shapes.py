import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

from tfdlcv.data.shapes import CLASS_NAMES, PALETTE, Shapes, ShapesConfig, build
from tfdlcv.data.shapes_drawing import SHAPE_NAMES


@pytest.fixture(scope="module")
def examples():
    generator = Shapes(3, size=96, radius=(6, 20))
    return [generator[index] for index in range(300)]


def test_an_example_is_a_function_of_seed_and_index():
    one, other = Shapes((1, 2)), Shapes((1, 2))
    other[7], other[3]  # Nothing depends on what was asked for before.
    for name in ("image", "boxes", "labels", "instances", "mask"):
        np.testing.assert_array_equal(getattr(one[5], name), getattr(other[5], name))
    assert (one[5].image != one[6].image).any()
    assert (one[5].image != Shapes((1, 3))[5].image).any()


def test_the_published_examples_do_not_change():
    # Results are compared across releases: another digest is another data set.
    digest = hashlib.sha256()
    for index in range(3):
        example = Shapes(0)[index]
        digest.update(example.mask.tobytes() + example.labels.tobytes() + example.boxes.tobytes())
    assert digest.hexdigest()[:16] == "8f6355460ca390f6"


def test_shapes_and_dtypes(examples):
    example = examples[0]
    assert example.image.shape == (96, 96, 3) and example.image.dtype == np.uint8
    assert example.boxes.shape == (6, 4) and example.boxes.dtype == np.float32
    assert example.labels.shape == (6,) and example.labels.dtype == np.int32
    assert example.instances.shape == example.mask.shape == (96, 96)
    assert example.instance_masks.shape == (6, 96, 96) and example.instance_masks.dtype == bool
    assert Shapes(0, size=(64, 80), radius=(6, 20))[0].image.shape == (64, 80, 3)


def test_masks_boxes_and_labels_say_the_same(examples):
    for example in examples[:60]:
        count = example.num_objects
        assert (example.labels[:count] >= 0).all() and (example.labels[count:] == -1).all()
        assert (example.boxes[count:] == -1).all()
        masks = example.instance_masks
        assert not masks[count:].any() and masks.sum(axis=0).max() <= 1  # Visible pixels have one object.
        np.testing.assert_array_equal(masks.any(axis=0), example.mask > 0)
        for mask, box, label in zip(masks[:count], example.boxes, example.labels, strict=False):
            assert (example.mask[mask] == label + 1).all()
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert mask.sum() >= 25


def test_objects_stand_out_from_the_background():
    generator = Shapes(0, noise=(0, 0))
    for index in range(20):
        example = generator[index]
        background = example.image[example.mask == 0].astype(int)
        for mask in example.instance_masks[: example.num_objects]:
            colors = np.unique(example.image[mask], axis=0).astype(int)
            assert len(colors) == 1  # Nothing is drawn over what is visible.
            assert np.abs(background - colors[0]).sum(axis=1).min() >= 90 - 6  # Rounding, and between the samples.


def test_the_numbers_of_the_specification(examples):
    counts = np.bincount([example.num_objects for example in examples], minlength=7)
    assert len(counts) == 7
    assert counts[0] / len(examples) == pytest.approx(0.1, abs=0.05)
    assert (counts[1:] > 0).all()
    labels = np.concatenate([example.labels[: example.num_objects] for example in examples])
    assert (np.bincount(labels, minlength=5) / len(labels)).min() > 0.14


def test_the_noise_is_of_the_asked_deviation():
    quiet, loud = Shapes(0, noise=(0, 0), empty_fraction=1)[4], Shapes(0, noise=(8, 8), empty_fraction=1)[4]
    difference = loud.image.astype(float) - quiet.image
    assert difference[(quiet.image > 40) & (quiet.image < 215)].std() == pytest.approx(8, rel=0.05)


def test_every_image_that_is_to_have_objects_has_some_and_no_empty_image_has_any():
    full, empty = Shapes(1, empty_fraction=0), Shapes(1, empty_fraction=1)
    assert min(full[index].num_objects for index in range(150)) == 1
    assert all(empty[index].num_objects == 0 and not empty[index].mask.any() for index in range(5))


def test_chosen_names_keep_their_labels():
    generator = Shapes(0, names=("cross", "disk"))
    labels = np.concatenate([generator[index].labels for index in range(40)])
    assert set(labels.tolist()) == {-1, SHAPE_NAMES.index("disk"), SHAPE_NAMES.index("cross")}


def test_an_object_that_others_hide_is_neither_in_the_image_nor_in_its_labels():
    # Many large objects in a small image: most are hidden, and what stays shows enough of itself.
    generator = Shapes(0, size=64, objects=(30, 30), radius=(20, 28), empty_fraction=0, noise=(0, 0))
    for index in range(10):
        example = generator[index]
        assert 1 <= example.num_objects < 15
        smallest_whole = 0.75 * 3**0.5 * 20**2  # The triangle's.
        for mask in example.instance_masks[: example.num_objects]:
            assert mask.sum() >= 0.35 * min(smallest_whole, np.pi * 20**2 * (1 - 0.55**2)) * 0.95


@pytest.mark.parametrize(
    "options, message",
    [
        ({"objects": (3, 2)}, r"objects must be two numbers, 1 <= first <= second <= 100, not \[3, 2\]"),
        ({"radius": (2, 9)}, r"radius must be two numbers, 6 <= first <= second, not \[2, 9\]"),
        ({"size": 40}, r"radius \(28\) must be at most half of the images' height and width \[40, 40\]"),
        ({"noise": (5, 1)}, r"noise must be two numbers, 0 <= first <= second, not \[5, 1\]"),
        ({"empty_fraction": 1.5}, "empty_fraction must be in 0..1. Received: 1.5"),
        ({"names": ("disk", "star")}, r"among disk, .*Received: \('disk', 'star'\)"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Shapes(0, **options)


def test_a_negative_index_is_no_example():
    with pytest.raises(IndexError, match="Received: -1"):
        Shapes(0)[-1]


def test_a_config_out_of_range_is_refused_before_anything_is_made():
    with pytest.raises(ValidationError, match=r"radius \(28\) must be at most half"):
        ShapesConfig(name="shapes", image_size=(32, 64))


@pytest.mark.parametrize("keep", [True, False])
def test_the_data_set_gives_the_generators_examples_in_batches(keep):
    import tensorflow as tf

    config = ShapesConfig(
        name="shapes", image_size=(64, 72), radius=(6, 20), train_examples=5, validation_examples=3, test_examples=2,
        keep_in_memory=keep,
    )  # fmt: skip
    data = build(config)
    assert (data.train.num_examples, data.validation.num_examples, data.test.num_examples) == (5, 3, 2)
    assert data.image_shape == (64, 72, 3) and data.class_names == CLASS_NAMES and len(data.palette) == len(PALETTE)
    assert data.train.describe(4) == "train shapes 4"
    for _ in range(2):  # The second time out of memory.
        batch = data.train.fetch(tf.constant([4, 1], tf.int64))
        assert batch["mask"].dtype == tf.int32 and batch["image"].dtype == tf.uint8
        for place, index in enumerate((4, 1)):
            example = config.generator("train")[index]
            np.testing.assert_array_equal(batch["image"][place], example.image)
            np.testing.assert_array_equal(batch["mask"][place], example.mask)
    parts = [
        split.fetch(tf.constant([0], tf.int64))["image"].numpy() for split in (data.train, data.validation, data.test)
    ]
    assert (parts[0] != parts[1]).any() and (parts[1] != parts[2]).any()


def test_pixels_of_classes_are_counted():
    data = build(ShapesConfig(name="shapes", train_examples=20, validation_examples=1, test_examples=1))
    masks = [ShapesConfig(name="shapes").generator("train")[index].mask for index in range(20)]
    assert data.class_pixels == tuple(sum(int((mask == k).sum()) for mask in masks) for k in range(6))
    assert data.class_image_pixels == tuple(
        128 * 128 * sum(bool((mask == k).any()) for mask in masks) for k in range(6)
    )
