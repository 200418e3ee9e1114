"""Losses, weights and outputs that the `loss` section chooses, against the functions that they are made of."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from tfdlcv import losses
from tfdlcv.errors import UserError
from tfdlcv.losses import dense_regression
from tfdlcv.systems.pixel_heads import (
    CrossEntropyConfig,
    PixelLossConfig,
    add_border_weights,
    build_pixel_head,
    class_weights,
    objects_of,
)

FACTS = {
    "class_names": ["ground", "a", "b"],
    "class_pixels": [600, 300, 100],
    "class_image_pixels": [1000, 1000, 400],
}
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 4, 5, 3)).astype("float32")
MASK = RANDOM.integers(0, 3, (2, 4, 5)).astype("int32")
MASK[0, 0] = 255
BATCH = {"mask": MASK, "valid": np.array([True, True])}


def head_of(**section):
    return build_pixel_head(TypeAdapter(PixelLossConfig).validate_python(section), FACTS)


def values_of(head, batch=BATCH, outputs=LOGITS):
    return {name: float(value) for name, value in head.losses(batch, outputs).items()}


def test_class_weights():
    assert class_weights("none", FACTS) is None
    assert class_weights((1.0, 2.0, 3.0), FACTS) == (1.0, 2.0, 3.0)
    assert class_weights("balanced", FACTS) == losses.balanced_class_weights([600, 300, 100])
    # Frequencies 0.6, 0.3 and 0.25.
    assert class_weights("median_frequency", FACTS) == pytest.approx((0.5, 1.0, 1.2))


def test_median_frequencies_are_those_of_the_masks():
    masks = [np.repeat([0, 1], [60, 40]), np.repeat([0, 2, 255], [10, 30, 60])]
    facts = {"class_names": "abc", "class_pixels": [70, 40, 30], "class_image_pixels": [140, 100, 40]}
    assert class_weights("median_frequency", facts) == pytest.approx(losses.median_frequency_weights(masks, 3))


def test_weights_that_cannot_be():
    with pytest.raises(UserError, match=r"loss.class_weights \(2 numbers\) must have one for each of the 3 classes"):
        class_weights((1.0, 2.0), FACTS)
    with pytest.raises(UserError, match="loss.class_weights balanced needs training pixels of every class. None: b"):
        class_weights("balanced", {**FACTS, "class_pixels": [1, 1, 0]})


def test_losses_are_those_of_the_names():
    weights = class_weights("median_frequency", FACTS)
    expected = float(losses.mask_cross_entropy(LOGITS, MASK, class_weights=weights))
    head = head_of(name="cross_entropy", class_weights="median_frequency")
    assert values_of(head) == {"cross_entropy": pytest.approx(expected)}
    assert expected != pytest.approx(float(losses.mask_cross_entropy(LOGITS, MASK)))
    expected = float(losses.focal_loss(LOGITS, MASK, gamma=1.0))
    assert values_of(head_of(name="focal", gamma=1.0)) == {"focal": pytest.approx(expected)}


@pytest.mark.parametrize(
    ("name", "function"),
    [("dice", losses.dice_loss), ("jaccard", losses.jaccard_loss), ("lovasz", losses.lovasz_softmax_loss)],
)
def test_overlaps_with_and_without_cross_entropy(name, function):
    one_class = {**BATCH, "mask": np.where(MASK == 2, 255, MASK)}
    for classes in ("present", "all"):
        value = float(function(LOGITS, one_class["mask"], classes=classes))
        assert values_of(head_of(name=name, classes=classes), one_class) == {name: pytest.approx(value, rel=1e-5)}
    both = values_of(head_of(name=name, cross_entropy_weight=0.5))
    expected = 0.5 * float(losses.mask_cross_entropy(LOGITS, MASK))
    assert both == {
        name: pytest.approx(float(function(LOGITS, MASK)), rel=1e-5),
        "cross_entropy": pytest.approx(expected),
    }


def test_weights_of_pixels_count():
    weights = RANDOM.uniform(size=MASK.shape).astype("float32")
    found = values_of(head_of(name="cross_entropy", border_weight=10.0), {**BATCH, "pixel_weight": weights})
    expected = losses.mask_cross_entropy(LOGITS, MASK, pixel_weights=weights)
    assert found == {"cross_entropy": pytest.approx(float(expected))}


def test_objects_are_patches_of_one_class():
    mask = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 2, 2, 255]])
    np.testing.assert_array_equal(objects_of(mask), [[1, 1, 0, 3], [0, 0, 0, 3], [2, 4, 4, 0]])


def test_border_weights_follow_the_masks_of_a_pipeline():
    masks = np.zeros((3, 9, 9), np.int32)
    masks[1, :, :3], masks[1, :, 5:] = 1, 1
    config = CrossEntropyConfig(border_weight=10.0, border_sigma=2.0)
    dataset = tf.data.Dataset.from_tensor_slices({"mask": masks}).batch(3)
    weighted = dataset.map(lambda batch: add_border_weights(batch, config, FACTS))
    (batch,) = weighted
    weights = batch["pixel_weight"].numpy()
    assert weighted.element_spec["pixel_weight"].shape[1:] == (9, 9)
    np.testing.assert_array_equal(weights[0], np.ones((9, 9)))
    assert weights[1, 4, 3] == pytest.approx(1 + 10 * np.exp(-(3**2) / 8)) and weights[1, 4, 1] == 1


def test_weights_of_classes_and_borders_add_up_as_in_the_paper():
    mask = np.zeros((1, 9, 9), np.int32)
    mask[0, :, :3], mask[0, :, 5:], mask[0, 0, 3] = 1, 2, 255
    section = {"name": "cross_entropy", "class_weights": (0.5, 3.0, 4.0), "border_weight": 10.0, "border_sigma": 2.0}
    head, config = head_of(**section), CrossEntropyConfig(**section)
    batch = {"mask": mask, "valid": np.array([True])}
    (weighted,) = tf.data.Dataset.from_tensors(batch).map(lambda batch: add_border_weights(batch, config, FACTS))
    between = 10 * np.exp(-(3**2) / 8)  # Columns 3 and 4 are 1 and 2 pixels away from the two objects.
    expected = np.tile([3, 3, 3, 0.5 + between, 0.5 + between, 4, 4, 4, 4], (9, 1))
    counted = mask[0] != 255
    np.testing.assert_allclose(weighted["pixel_weight"][0][counted], expected[counted], rtol=1e-6)

    logits = RANDOM.normal(size=(1, 9, 9, 3)).astype("float32")
    entropy = -np.log(np.take_along_axis(np.asarray(keras.ops.softmax(logits))[0], mask[0, ..., None] % 255, axis=-1))
    loss = (entropy[..., 0] * expected)[counted].mean()
    assert values_of(head, weighted, logits) == {"cross_entropy": pytest.approx(loss, rel=1e-5)}
    # Validation has no weights of borders.
    loss = (entropy[..., 0] * np.array([0.5, 3, 4])[mask[0] % 255])[counted].mean()
    assert values_of(head, batch, logits) == {"cross_entropy": pytest.approx(loss, rel=1e-5)}


def test_probabilities_and_what_clients_get():
    head = head_of(name="dice")
    probabilities = head.values(LOGITS)
    np.testing.assert_allclose(probabilities, keras.ops.softmax(LOGITS), rtol=1e-6)
    described = head.describe(probabilities)
    np.testing.assert_array_equal(described["class_id"], LOGITS.argmax(axis=-1))
    np.testing.assert_allclose(described["confidence"], np.max(probabilities, axis=-1))
    assert head.outputs == 3 and head.truth == "mask" and head.mirror is None


@pytest.mark.parametrize("penalty", ["absolute", "huber"])
def test_depth(penalty):
    head = head_of(name="depth", penalty=penalty, delta=0.25)
    target = np.where(MASK[..., None] == 255, np.nan, 2.0).astype("float32")
    depth = np.asarray(head.finish(keras.ops.convert_to_tensor(LOGITS[..., :2])))
    np.testing.assert_allclose(depth, np.log1p(np.exp(LOGITS[..., :1])), rtol=1e-5)
    functions = {"absolute": dense_regression.masked_absolute_error, "huber": dense_regression.masked_huber}
    options = {"delta": 0.25} if penalty == "huber" else {}
    expected = functions[penalty](depth, target, valid=[True, False], **options)
    assert values_of(head, {"target": target, "valid": [True, False]}, depth) == {
        "depth": pytest.approx(float(expected))
    }
    assert head.outputs == 2 and head.describe(depth)["depth"].shape == (2, 4, 5)


def test_normals():
    head = head_of(name="normals")
    normals = np.asarray(head.finish(keras.ops.convert_to_tensor(LOGITS)))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, rtol=1e-5)
    assert values_of(head, {"target": normals, "valid": [True, True]}, normals)["normals"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(head.mirror(normals), normals * [-1, 1, 1])
    np.testing.assert_allclose(head.values(3 * normals), normals, rtol=1e-5)
