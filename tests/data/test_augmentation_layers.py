"""The effect of every choice of AugmentationConfig, and that it follows from the seed alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data.augmentation import (
    AugmentationConfig,
    ColorJitterConfig,
    RandAugmentConfig,
    RandomErasingConfig,
    ResizedCropConfig,
    build_augmentation,
)
from tfdlcv.data.augmentation_layers import StatelessSeeds

NUM_CLASSES = 5
CHOICES = {
    "flip": {"flip": "both"},
    "crop_padding": {"crop_padding": 3},
    "resized_crop": {"resized_crop": ResizedCropConfig()},
    "translation": {"translation": 0.3},
    "rotation_degrees": {"rotation_degrees": 40.0},
    "color_jitter": {"color_jitter": ColorJitterConfig(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)},
    "rand_augment": {"rand_augment": RandAugmentConfig(num_ops=2, magnitude=7.0)},
    "random_erasing": {"random_erasing": RandomErasingConfig(probability=0.5)},
    "mixup_alpha": {"mixup_alpha": 0.4},
    "cutmix_alpha": {"cutmix_alpha": 1.0},
}
EVERYTHING = {key: value for choice in CHOICES.values() for key, value in choice.items()}


def make_batch(count=16, shape=(12, 10, 3)):
    random = np.random.RandomState(0)
    return {
        "image": tf.constant(random.randint(0, 256, (count, *shape)), tf.uint8),
        "label": tf.constant(np.arange(count) % NUM_CLASSES, tf.int32),
        "id": tf.range(100, 100 + count, dtype=tf.int64),
        "valid": tf.ones((count,), tf.bool),
    }


def augment(batch, seed=(3, 4), **values):
    shape = tuple(batch["image"].shape[1:])
    return build_augmentation(AugmentationConfig(**values), NUM_CLASSES, shape)(batch, tf.constant(seed, tf.int32))


def of_constant(value, count=16, shape=(12, 10, 3)):
    return {**make_batch(count, shape), "image": tf.fill((count, *shape), tf.constant(value, tf.uint8))}


def gradient(count=64, height=16, width=16):
    """Images whose value is 10 x + 2 y."""
    place = 10 * np.arange(width) + 2 * np.arange(height)[:, np.newaxis]
    images = np.broadcast_to(place[..., np.newaxis], (count, height, width, 1))
    return {"image": tf.constant(images, tf.uint8), "label": tf.zeros((count,), tf.int32)}


# --- of every choice


@pytest.mark.parametrize("choice", CHOICES)
def test_shape_dtype_range_and_the_other_entries(choice):
    batch = make_batch()
    result = augment(batch, **CHOICES[choice])
    mixed = {"soft_label"} if "alpha" in choice else set()
    assert set(result) == set(batch) | mixed
    assert result["image"].shape == batch["image"].shape
    assert result["image"].dtype == tf.float32
    assert float(tf.reduce_min(result["image"])) >= 0
    assert float(tf.reduce_max(result["image"])) <= 255
    for key in ("id", "valid", *([] if mixed else ["label"])):
        np.testing.assert_array_equal(result[key], batch[key])
    assert not np.array_equal(result["image"], batch["image"])
    assert batch["image"].dtype == tf.uint8  # What came in is as it was.


@pytest.mark.parametrize("choice", [*CHOICES, "everything"])
def test_the_seed_alone_decides(choice):
    values = CHOICES.get(choice, EVERYTHING)
    batch = make_batch()
    function = build_augmentation(AugmentationConfig(**values), NUM_CLASSES, (12, 10, 3))
    first = {seed: function(batch, tf.constant([7, seed])) for seed in range(3)}
    assert not np.array_equal(first[0]["image"], first[1]["image"])

    # Built and traced anew, in another order and in parallel: the same bits.
    again = build_augmentation(AugmentationConfig(**values), NUM_CLASSES, (12, 10, 3))
    seeds = tf.data.Dataset.from_tensor_slices([2, 0, 1, 0])
    dataset = seeds.map(lambda seed: (seed, again(batch, tf.stack([7, seed]))), num_parallel_calls=4)
    for seed, result in dataset:
        for key, value in first[int(seed)].items():
            np.testing.assert_array_equal(result[key], value, err_msg=f"{key} of seed {int(seed)}")


@pytest.mark.parametrize("choice", CHOICES)
def test_images_of_a_batch_are_changed_differently(choice):
    batch = make_batch(16)
    batch["image"] = tf.repeat(batch["image"][:1], 16, axis=0)
    if "alpha" in choice:  # Mixing equal images changes nothing: let the partner count.
        batch["image"] = tf.concat([batch["image"][:8], 255 - batch["image"][8:]], axis=0)
    result = augment(batch, **CHOICES[choice])["image"].numpy()
    assert len({image.tobytes() for image in result}) >= 4


def test_no_variable_is_made():
    function = build_augmentation(AugmentationConfig(**EVERYTHING), NUM_CLASSES, (12, 10, 3))
    traced = tf.function(function).get_concrete_function(make_batch(), tf.TensorSpec((2,), tf.int32))
    assert traced.graph.variables == ()
    stateful = [op.type for op in traced.graph.get_operations() if op.op_def.is_stateful]
    assert [kind for kind in stateful if "Random" in kind or "Variable" in kind] == []


def test_a_batch_of_unknown_size():
    function = build_augmentation(AugmentationConfig(**EVERYTHING), NUM_CLASSES, (12, 10, 3))
    dataset = tf.data.Dataset.from_tensor_slices(make_batch()).batch(6)
    dataset = dataset.map(lambda batch: function(batch, tf.constant([1, 2])))
    assert dataset.element_spec["image"].shape == (None, 12, 10, 3)
    assert [len(batch["image"]) for batch in dataset] == [6, 6, 4]


@pytest.mark.parametrize("choice", CHOICES)
def test_pixels_are_float32_whatever_the_networks_precision(choice):
    expected = augment(make_batch(), **CHOICES[choice])["image"]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        result = augment(make_batch(), **CHOICES[choice])["image"]
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(result, expected)


def test_one_choice_does_not_alter_the_draws_of_another():
    alone = augment(make_batch(), flip="horizontal")["image"]
    # These change nothing, but do draw.
    with_others = augment(
        make_batch(),
        flip="horizontal",
        rotation_degrees=1e-6,
        resized_crop=ResizedCropConfig(area=(1.0, 1.0), aspect_ratio=(1.0, 1.0)),
    )["image"]
    np.testing.assert_allclose(with_others, alone, atol=0.01)


# --- of each


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", {(), (1,)}), ("vertical", {(), (0,)}), ("both", {(), (0,), (1,), (0, 1)})]
)
def test_flip(flip, axes):
    batch = make_batch(200)
    result = augment(batch, flip=flip)["image"].numpy()
    counts = dict.fromkeys(axes, 0)
    for image, changed in zip(batch["image"].numpy(), result, strict=True):
        (found,) = [axis for axis in axes if np.array_equal(np.flip(image, axis), changed)]
        counts[found] += 1
    expected = 200 / len(axes)
    assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())
    twice = augment({**batch, "image": tf.constant(result)}, flip=flip)["image"]
    np.testing.assert_array_equal(twice, batch["image"])


@pytest.mark.parametrize(
    ("fill_mode", "padding"), [("constant", "constant"), ("nearest", "edge"), ("reflect", "symmetric")]
)
def test_crop_padding_shifts_by_whole_pixels(fill_mode, padding):
    batch = make_batch(300, (6, 5, 2))
    result = augment(batch, crop_padding=2, fill_mode=fill_mode)["image"].numpy()
    padded = np.pad(batch["image"].numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode=padding)
    seen = []
    for image, changed in zip(padded, result, strict=True):
        crops = {(y, x): image[y : y + 6, x : x + 5] for y in range(5) for x in range(5)}
        matching = [place for place, crop in crops.items() if np.array_equal(crop, changed)]
        assert matching
        seen += matching[:1]
    assert len(set(seen)) == 25  # All places are drawn,
    assert seen.count((2, 2)) < 40  # none too often.


def test_translation():
    # A bright image moved by (dx, dy) leaves |dx| columns and |dy| rows black.
    result = augment(of_constant(200, 300, (20, 40, 1)), translation=0.25)["image"].numpy()[..., 0]
    columns, rows = 40 - result.max(axis=1).sum(axis=1) / 200, 20 - result.max(axis=2).sum(axis=1) / 200
    assert 8 < columns.max() <= 10.01
    assert 4 < rows.max() <= 5.01
    assert 3 < columns.mean() < 7
    left_is_black = (result[:, :, 0].max(axis=1) == 0).mean()
    assert 0.3 < left_is_black < 0.6
    filled = augment(of_constant(200, 50, (20, 40, 1)), translation=0.25, fill_mode="nearest")["image"]
    np.testing.assert_allclose(filled, 200, atol=1e-3)


def test_rotation():
    result = augment(gradient(200), rotation_degrees=30.0)["image"].numpy()[:, 6:10, 6:10, 0]
    # The direction in which the values grow turns with the image.
    along_x, along_y = np.diff(result, axis=2).mean((1, 2)), np.diff(result, axis=1).mean((1, 2))
    degrees = np.rad2deg(np.arctan2(along_y, along_x)) - np.rad2deg(np.arctan2(2, 10))
    assert 25 < degrees.max() <= 30.5
    assert -30.5 <= degrees.min() < -25
    assert abs(degrees.mean()) < 4
    np.testing.assert_allclose(np.hypot(along_x, along_y), np.hypot(2, 10), rtol=0.02)
    assert augment(of_constant(200), rotation_degrees=30.0)["image"].numpy().min() < 10
    filled = augment(of_constant(200), rotation_degrees=30.0, fill_mode="reflect")["image"]
    np.testing.assert_allclose(filled, 200, atol=1e-2)


def test_resized_crop():
    crop = ResizedCropConfig(area=(0.25, 0.25), aspect_ratio=(1.0, 1.0))
    result = augment(gradient(200), resized_crop=crop)["image"].numpy()[:, 1:-1, 1:-1, 0]
    # A quarter of the area is half of each side, so values grow half as fast, and the part lies anywhere.
    np.testing.assert_allclose(np.diff(result, axis=2), 5, atol=1e-2)
    np.testing.assert_allclose(np.diff(result, axis=1), 1, atol=1e-2)
    assert result[:, 0, 0].max() - result[:, 0, 0].min() > 60
    assert result.min() > 0

    wide = ResizedCropConfig(area=(0.5, 0.5), aspect_ratio=(2.0, 2.0))
    result = augment(gradient(20), resized_crop=wide)["image"].numpy()[:, 1:-1, 1:-1, 0]
    np.testing.assert_allclose(np.diff(result, axis=2), 10, atol=1e-2)
    np.testing.assert_allclose(np.diff(result, axis=1), 1, atol=1e-2)

    too_wide = ResizedCropConfig(area=(1.0, 1.0), aspect_ratio=(4.0, 4.0))
    result = augment(gradient(20), resized_crop=too_wide)["image"].numpy()[:, 1:-1, 1:-1, 0]
    np.testing.assert_allclose(np.diff(result, axis=2), 10, atol=1e-2)  # All of the width, half of the height.
    np.testing.assert_allclose(np.diff(result, axis=1), 1, atol=1e-2)


def test_brightness():
    result = augment(of_constant(100, 300), color_jitter=ColorJitterConfig(brightness=0.5))["image"].numpy()
    factors = result.mean(axis=(1, 2, 3)) / 100
    assert 0.5 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5
    assert result.std(axis=(1, 2, 3)).max() < 1e-3


def spread(batch, **values):
    images = augment(batch, color_jitter=ColorJitterConfig(**values))["image"].numpy()
    return images, images.std(axis=(1, 2)).mean(axis=-1) / batch["image"].numpy().std(axis=(1, 2)).mean(axis=-1)


def test_contrast_is_raised_and_lowered():
    grey = np.random.RandomState(0).randint(110, 146, (300, 8, 8, 1))  # Far enough from 0 and 255 not to be clipped.
    images, factors = spread({**make_batch(300), "image": tf.constant(grey, tf.uint8)}, contrast=0.6)
    assert 0.399 < factors.min() < 0.45
    assert 1.55 < factors.max() < 1.601
    np.testing.assert_allclose(images.mean((1, 2, 3)), grey.mean((1, 2, 3)), atol=0.01)


def test_saturation():
    batch = of_constant(0, 300)
    batch["image"] += tf.constant([120, 100, 80], tf.uint8)
    images = augment(batch, color_jitter=ColorJitterConfig(saturation=0.5))["image"].numpy()
    factors = (images[..., 0] - images[..., 2]).mean((1, 2)) / 40
    assert 0.5 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.501
    luma = images @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma, np.dot([120, 100, 80], [0.299, 0.587, 0.114]), atol=0.01)


def test_hue():
    batch = of_constant(0, 300)
    batch["image"] += tf.constant([200, 0, 0], tf.uint8)
    images = augment(batch, color_jitter=ColorJitterConfig(hue=1 / 3))["image"].numpy()[:, 0, 0]
    np.testing.assert_allclose(images.max(axis=1), 200, atol=0.01)
    assert images[:, 1].max() > 190  # To green on one side, to blue on the other.
    assert images[:, 2].max() > 190
    assert np.minimum(images[:, 1], images[:, 2]).max() < 0.01


def test_rand_augment_uses_num_ops_and_magnitude():
    batch = make_batch(64, (16, 16, 3))

    def change(num_ops, magnitude):
        result = augment(batch, rand_augment=RandAugmentConfig(num_ops=num_ops, magnitude=magnitude))
        return np.abs(result["image"].numpy() - batch["image"].numpy())

    assert change(1, 2.0).mean() < change(1, 9.0).mean()
    untouched = [(change(num_ops, 9.0).max(axis=(1, 2, 3)) == 0).mean() for num_ops in (1, 4)]
    assert untouched[0] > untouched[1]  # `identity` alone leaves an image as it is.


def test_random_erasing():
    batch = of_constant(200, 2000, (20, 20, 1))
    erase = RandomErasingConfig(probability=0.4, area=(0.1, 0.3), fill="black")
    parts = 1 - augment(batch, random_erasing=erase)["image"].numpy().mean(axis=(1, 2, 3)) / 200
    assert abs((parts > 0).mean() - 0.4) < 0.04
    # Edges fall between pixels: a rectangle has up to a row and a column more or less.
    assert parts[parts > 0].min() > 0.05
    assert parts.max() < 0.37
    assert abs(parts[parts > 0].mean() - 0.2) < 0.02


def test_random_erasing_always_and_with_noise():
    erase = RandomErasingConfig(probability=1.0, area=(0.25, 0.25))
    images = augment(of_constant(0, 200, (20, 20, 3)), random_erasing=erase)["image"].numpy()
    erased = images.max(axis=-1) > 0
    assert erased.any(axis=(1, 2)).all()
    values = images[erased]
    assert abs(values.mean() - 127.5) < 2
    assert abs(values.std() - 255 / 12**0.5) < 1
    # A rectangle: full where its rows and columns meet.
    for mask in erased[:20]:
        assert mask[np.ix_(mask.any(axis=1), mask.any(axis=0))].all()


def test_mixup_blends_images_and_labels_by_the_same_weight():
    batch = make_batch(40)
    result = augment(batch, mixup_alpha=1.0)
    originals, labels = batch["image"].numpy().astype(float), batch["label"].numpy()
    weights = []
    for index, (image, soft_label) in enumerate(
        zip(result["image"].numpy(), result["soft_label"].numpy(), strict=True)
    ):
        assert soft_label.sum() == pytest.approx(1, abs=1e-6)
        # image = weight own + (1 - weight) partner, for one partner; solved by least squares for each candidate.
        fits = []
        for partner in range(40):
            direction = originals[index] - originals[partner]
            size = (direction**2).sum()
            weight = ((image - originals[partner]) * direction).sum() / size if size else 1.0
            fits.append((np.abs(weight * direction + originals[partner] - image).max(), weight, partner))
        error, weight, partner = min(fits)
        assert error < 0.01
        expected = weight * np.eye(NUM_CLASSES)[labels[index]] + (1 - weight) * np.eye(NUM_CLASSES)[labels[partner]]
        np.testing.assert_allclose(soft_label, expected, atol=1e-4)
        assert result["label"][index] == expected.argmax()
        weights.append(weight)
    assert 0 <= min(weights) < 0.2  # Beta(1, 1) is uniform.
    assert 0.8 < max(weights) <= 1.0001


def test_mixup_alpha_spreads_the_weights():
    little, much = (
        augment(make_batch(500, (2, 2, 1)), mixup_alpha=alpha)["soft_label"].numpy().max(axis=1).mean()
        for alpha in (0.1, 4.0)
    )
    assert little > 0.9 > 0.75 > much


def test_cutmix_pastes_a_rectangle_and_its_share_of_the_label():
    batch = make_batch(60)
    result = augment(batch, cutmix_alpha=1.0)
    originals, labels = batch["image"].numpy(), batch["label"].numpy()
    shares = []
    for index, (image, soft_label) in enumerate(
        zip(result["image"].numpy(), result["soft_label"].numpy(), strict=True)
    ):
        pasted = (image != originals[index]).any(axis=-1)
        if not pasted.any():
            assert soft_label[labels[index]] == pytest.approx(1)
            continue
        sources = [p for p in range(60) if np.array_equal(image[pasted], originals[p][pasted])]
        (partner,) = sources
        # Random pixels differ, so `pasted` is the whole rectangle.
        assert pasted[np.ix_(pasted.any(axis=1), pasted.any(axis=0))].all()
        share = pasted.mean()
        expected = (1 - share) * np.eye(NUM_CLASSES)[labels[index]] + share * np.eye(NUM_CLASSES)[labels[partner]]
        np.testing.assert_allclose(soft_label, expected, atol=1e-5)
        assert result["label"][index] == expected.argmax()
        shares.append(share)
    assert min(shares) < 0.2
    assert max(shares) > 0.8


@pytest.mark.parametrize("kind", ["mixup_alpha", "cutmix_alpha"])
def test_the_smallest_alpha_gives_whole_images_mostly(kind):
    result = augment(make_batch(4000, (8, 8, 1)), **{kind: 0.1})
    assert np.isfinite(result["image"]).all()
    soft_labels = result["soft_label"].numpy()
    np.testing.assert_allclose(soft_labels.sum(axis=1), 1, atol=1e-6)
    assert (soft_labels.max(axis=1) > 0.99).mean() > 0.5


def test_mixup_and_cutmix_take_turns():
    batch = make_batch(32)
    originals = set(batch["image"].numpy().ravel().tolist())
    function = build_augmentation(AugmentationConfig(mixup_alpha=1.0, cutmix_alpha=1.0), NUM_CLASSES, (12, 10, 3))
    traced = tf.function(function)
    kinds = []
    for seed in range(40):
        pixels = traced(batch, tf.constant([seed, 1]))["image"].numpy()
        kinds.append(set(pixels.ravel().tolist()) <= originals)  # CutMix makes no new values.
    assert 8 < sum(kinds) < 32


def test_stateless_seeds_follow_from_the_seed():
    first, second = StatelessSeeds(tf.constant([1, 2])), StatelessSeeds(tf.constant([1, 2]))
    drawn = [tuple(first.next().numpy()) for _ in range(5)]
    assert drawn == [tuple(second.next(ordered=False).numpy()) for _ in range(5)]
    assert len(set(drawn)) == 5
    np.testing.assert_array_equal(
        keras.random.uniform((3,), seed=StatelessSeeds(tf.constant([1, 2]))),
        tf.random.stateless_uniform((3,), tf.random.fold_in(tf.constant([1, 2]), 1)),
    )
