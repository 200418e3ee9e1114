import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import digits, rotated_digits
from tfdlcv.data.rotated_digits import RotatedDigits


def config(**options):
    return RotatedDigits.model_validate({"name": "rotated_digits", "source": "digits8x8", **options})


def examples(split):
    return {name: value.numpy() for name, value in split.fetch(tf.range(split.num_examples, dtype=tf.int64)).items()}


def test_quarter_turns_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
    turned = rotated_digits.rotate(tf.constant(images), tf.constant([0.0, 90.0, 180.0, -90.0])).numpy()
    for quarters, before, after in zip((0, 1, 2, 3), images, turned, strict=True):
        np.testing.assert_array_equal(after, np.rot90(before, quarters))  # Counter-clockwise, as they say.


def test_values_are_the_angles_of_the_images():
    data = rotated_digits.build(config(degrees=(10.0, 80.0), redraw=False))
    plain = digits.build(digits.Digits8x8(name="digits8x8"))
    assert (data.value.name, data.value.unit, data.value.lower, data.value.upper) == ("angle", "degrees", 10, 80)
    assert data.draw_values is None
    for part in ("train", "validation", "test"):
        turned, original = examples(getattr(data.images, part)), examples(getattr(plain, part))
        assert turned["value"].dtype == np.float32
        assert turned["value"].min() >= 10 and turned["value"].max() <= 80
        np.testing.assert_array_equal(turned["label"], original["label"])
        expected = rotated_digits.rotate(tf.constant(original["image"]), tf.constant(turned["value"]))
        np.testing.assert_array_equal(turned["image"], expected)


def test_angles_follow_from_the_seed_and_differ_between_parts():
    first, again, other = (rotated_digits.build(config(angle_seed=seed)) for seed in (0, 0, 1))
    values = [examples(data.images.validation)["value"] for data in (first, again, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    assert not np.array_equal(values[0][:50], examples(first.images.test)["value"][:50])


def test_training_draws_new_angles_by_the_seed_of_the_step():
    data = rotated_digits.build(config(degrees=(-30.0, 30.0)))
    batch = data.images.train.fetch(tf.range(64, dtype=tf.int64))
    drawn = [data.draw_values(batch, tf.constant(seed)) for seed in ([1, 2], [1, 2], [1, 3])]
    np.testing.assert_array_equal(drawn[0]["value"], drawn[1]["value"])
    np.testing.assert_array_equal(drawn[0]["image"], drawn[1]["image"])
    assert not np.array_equal(drawn[0]["value"], drawn[2]["value"])
    values = drawn[0]["value"].numpy()
    assert values.min() < -20 and values.max() > 20 and np.abs(values).max() <= 30
    np.testing.assert_array_equal(drawn[0]["image"], rotated_digits.rotate(batch["image"], drawn[0]["value"]))
    assert drawn[0]["image"].dtype == tf.uint8


def test_options_of_the_source_reach_it():
    data = rotated_digits.build(config(classes=(3, 8), examples_per_class=5, padding=2, channels=3)).images
    assert data.class_names == ("3", "8") and data.class_counts == (5, 5) and data.image_shape == (12, 12, 3)
    same = rotated_digits.build(config(validation_fraction=0)).images
    np.testing.assert_array_equal(examples(same.validation)["value"], examples(same.test)["value"])


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"degrees": (90.0, 10.0)},
            r"degrees must be two finite numbers, the first less than the second, not \[90, 10\]",
        ),
        ({"degrees": (0.0, 400.0)}, "degrees must span 360 at most"),
        ({"source": "mnist"}, "folder \\(None\\) belongs to source mnist alone, which needs it"),
        ({"folder": "data"}, "folder \\(data\\) belongs to source mnist alone"),
        ({"augmentation": {"rotation_degrees": 5.0}}, "augmentation.rotation_degrees \\(5\\) and augmentation.flip"),
        ({"augmentation": {"flip": "horizontal"}}, "augmentation.flip \\(horizontal\\) must be 0 and none"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)
