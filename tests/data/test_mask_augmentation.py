import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.data.augmentation import ColorJitterConfig
from tfdlcv.data.dense_examples import VOID
from tfdlcv.data.mask_augmentation import MaskAugmentation, ScaleCropConfig, build_mask_augmentation
from tfdlcv.data.scenes import TARGETS, Scenes
from tfdlcv.data.shapes import PALETTE, Shapes
from tfdlcv.errors import UserError

SIZE = (64, 80)
SEED = tf.constant([3, 5])


@pytest.fixture(scope="module")
def batch():
    """Images whose colour is that of their class: what belongs together can be told from either."""
    generator = Shapes(2, size=SIZE, radius=(6, 20), noise=(0, 0), empty_fraction=0)
    examples = [generator[index] for index in range(16)]
    masks = np.stack([example.mask for example in examples])
    return {
        "image": tf.constant(np.array(PALETTE, np.uint8)[masks]),
        "mask": tf.constant(masks, tf.int32),
        "instances": tf.constant(np.stack([example.instances for example in examples])),
        "boxes": tf.constant(np.stack([example.boxes for example in examples])),
        "labels": tf.constant(np.stack([example.labels for example in examples])),
        "id": tf.range(16, dtype=tf.int64),
    }


def augmented(batch, target=None, seed=SEED, **options):
    image_shape = tuple(batch["image"].shape[1:])
    augment = build_mask_augmentation(MaskAugmentation(**options), image_shape=image_shape, target=target)
    return augment(batch, seed)


def colors_of(masks):
    table = np.zeros((256, 3))
    table[: len(PALETTE)] = PALETTE
    return table[np.asarray(masks)]


def boxes_of(instances):
    """The boxes of the instances (H, W) that are seen."""
    found = {}
    for number in np.unique(instances[instances > 0]):
        rows, columns = np.nonzero(instances == number)
        found[int(number) - 1] = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return found


def test_no_change_is_no_function():
    assert build_mask_augmentation(MaskAugmentation(), image_shape=(8, 8, 3)) is None


@pytest.mark.parametrize("flip, axes", [("horizontal", [2]), ("vertical", [1]), ("both", [1, 2])])
def test_flips_move_everything_together(batch, flip, axes):
    result = augmented(batch, flip=flip)
    assert result["mask"].dtype == tf.int32 and result["instances"].dtype == tf.uint8
    assert result["image"].dtype == tf.float32
    np.testing.assert_array_equal(result["image"], colors_of(result["mask"]))
    assert (result["id"].numpy() == np.arange(16)).all()
    seen = set()
    for index in range(16):
        old, new = batch["mask"][index].numpy(), result["mask"][index].numpy()
        ways = [()] + [(axis - 1,) for axis in axes] + ([(0, 1)] if len(axes) == 2 else [])
        way = next(way for way in ways if (np.flip(old, way) == new).all())
        seen.add(way)
        for number, box in boxes_of(result["instances"][index].numpy()).items():
            assert result["boxes"][index, number].numpy().tolist() == box
    assert len(seen) == 2 ** len(axes)  # Some are flipped each way, and some are not.
    np.testing.assert_array_equal(result["labels"], batch["labels"])
    assert (result["boxes"].numpy()[result["labels"].numpy() < 0] == -1).all()


@pytest.mark.parametrize("scale, weight", [(0.5, 1 / 4), (1.0, 1), (2.0, 9 / 16)])
def test_scaled_crops_keep_image_mask_and_boxes_together(batch, scale, weight):
    white = np.repeat(np.where(batch["mask"].numpy() > 0, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    result = augmented({**batch, "image": tf.constant(white)}, scale_crop={"scale": (scale, scale)})
    mask = result["mask"].numpy()
    # The pixel whose class the mask has makes at least so much of the bilinear value.
    values = result["image"].numpy()[..., 0] / 255
    assert (values[(mask > 0) & (mask != VOID)] >= weight - 1e-5).all()
    assert (values[mask == 0] <= 1 - weight + 1e-5).all()
    if scale < 1:
        assert (result["image"].numpy()[mask == VOID] == 0).all()
        assert (mask == VOID).mean() == pytest.approx(1 - scale**2, abs=0.01)
    else:
        assert not (mask == VOID).any()
    old_pixels = [np.bincount(instances.ravel(), minlength=7) for instances in batch["instances"].numpy()]
    kept = lost = 0
    for index in range(16):
        instances = result["instances"][index].numpy()
        boxes = boxes_of(instances)
        for number in range(int((batch["labels"][index].numpy() >= 0).sum())):
            seen = (instances == number + 1).sum() / (old_pixels[index][number + 1] * scale**2)
            if seen < 0.35:
                assert result["labels"][index, number] == -1 and (result["boxes"][index, number].numpy() == -1).all()
                lost += 1
            else:
                assert result["labels"][index, number] == batch["labels"][index, number]
                assert result["boxes"][index, number].numpy().tolist() == boxes[number]
                kept += 1
    assert kept > 10 and (lost > 0) == (scale == 2)


def test_without_instances_boxes_are_cut(batch):
    """They hold what is seen, and are as large at least as the boxes that are drawn anew."""
    options = {"scale_crop": {"scale": (1.5, 1.5)}}
    drawn = augmented(batch, **options)
    cut = augmented({key: value for key, value in batch.items() if key != "instances"}, **options)
    both = ((drawn["labels"].numpy() >= 0) & (cut["labels"].numpy() >= 0))[..., None]
    assert both.sum() > 10
    inner, outer = drawn["boxes"].numpy(), cut["boxes"].numpy()
    # Within a pixel: masks have whole ones.
    assert ((outer[..., :2] <= inner[..., :2] + 1) | ~both).all()
    assert ((outer[..., 2:] >= inner[..., 2:] - 1) | ~both).all()
    assert (np.abs(outer - inner).max(axis=-1)[both[..., 0]] <= 1).mean() > 0.7
    assert outer[both[..., 0]].min() >= 0 and (outer <= [80, 64, 80, 64]).all()


def test_a_crop_at_scale_one_is_exact_and_of_the_asked_size(batch):
    result = augmented(batch, scale_crop=ScaleCropConfig(scale=(1.0, 1.0), size=(58, 74)))
    assert result["image"].shape == (16, 58, 74, 3) and result["mask"].shape == (16, 58, 74)
    corners = set()
    for index in range(16):
        old, new = batch["image"][index].numpy(), result["image"][index].numpy()
        windows = np.lib.stride_tricks.sliding_window_view(old, (58, 74, 3))[:, :, 0]
        found = np.argwhere((windows == new).all(axis=(2, 3, 4)))
        assert len(found)
        corners.add(tuple(found[0]))
        row, column = found[0]
        if len(found) == 1:
            np.testing.assert_array_equal(
                result["mask"][index], batch["mask"][index].numpy()[row : row + 58, column : column + 74]
            )
    assert len(corners) > 4  # Not one place for the whole batch.


def test_boxes_that_are_cut_away_become_padding():
    batch = {
        "image": tf.zeros((64, 64, 64, 3), tf.uint8),
        "boxes": tf.tile(tf.constant([[[0.0, 0.0, 16.0, 16.0], [-1.0, -1.0, -1.0, -1.0]]]), (64, 1, 1)),
        "labels": tf.tile(tf.constant([[2, -1]]), (64, 1)),
    }
    result = augmented(batch, scale_crop={"scale": (1.0, 1.0), "size": (56, 56)})
    boxes, labels = result["boxes"].numpy(), result["labels"].numpy()
    is_kept = labels[:, 0] == 2
    areas = (boxes[:, 0, 2] - boxes[:, 0, 0]) * (boxes[:, 0, 3] - boxes[:, 0, 1])
    assert is_kept.any() and (areas[is_kept] >= 0.35 * 256).all()
    assert (boxes[~is_kept] == -1).all() and (labels[~is_kept] == -1).all()
    assert (boxes[:, 1] == -1).all() and (labels[:, 1] == -1).all()
    half = augmented(batch, scale_crop={"scale": (1.0, 1.0), "size": (4, 4)})
    assert (half["labels"].numpy() == -1).all()  # 16 of 256 pixels at most.


def test_void_and_missing_numbers_come_in_from_outside():
    batch = {
        "image": tf.fill((4, 32, 32, 3), tf.constant(200, tf.uint8)),
        "mask": tf.ones((4, 32, 32), tf.int32),
        "instances": tf.ones((4, 32, 32), tf.uint8),
        "target": tf.ones((4, 32, 32, 1)),
    }
    result = augmented(batch, target=TARGETS["depth"], scale_crop={"scale": (0.5, 0.5)})
    is_void = result["mask"].numpy() == VOID
    assert is_void.mean() == 0.75
    assert (result["instances"].numpy()[is_void] == 0).all() and (result["image"].numpy()[is_void] == 0).all()
    assert np.isnan(result["target"].numpy()[is_void]).all()
    # The scene looks half as large, so it seems twice as far away.
    assert (result["target"].numpy()[~is_void] == 2).all()
    assert (result["image"].numpy()[~is_void] == 200).all()


def test_normals_are_mirrored_with_the_image():
    scene = Scenes(1, size=(32, 40))[0]
    batch = {
        "image": tf.constant(np.stack([scene.image] * 8)),
        "target": tf.constant(np.stack([scene.normals] * 8)),
    }
    for flip, axis, signs in (("horizontal", 1, [-1, 1, 1]), ("vertical", 0, [1, -1, 1])):
        result = augmented(batch, target=TARGETS["normals"], flip=flip)
        flipped = 0
        for image, target in zip(result["image"].numpy(), result["target"].numpy(), strict=True):
            if (image == scene.image).all():
                np.testing.assert_array_equal(target, scene.normals)
            else:
                np.testing.assert_array_equal(image, np.flip(scene.image, axis))
                np.testing.assert_array_equal(target, np.flip(scene.normals, axis) * signs)
                flipped += 1
        assert 0 < flipped < 8


def test_depth_is_mirrored_as_it_is():
    depth = tf.random.stateless_uniform((8, 16, 16, 1), (0, 0))
    batch = {"image": tf.zeros((8, 16, 16, 3), tf.uint8), "target": depth}
    result = augmented(batch, target=TARGETS["depth"], flip="horizontal")["target"].numpy()
    same = (result == depth.numpy()).all(axis=(1, 2, 3))
    mirrored = (result == depth.numpy()[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and same.any() and mirrored.any()


def test_enlarging_normals_is_refused():
    config = MaskAugmentation(scale_crop=ScaleCropConfig(scale=(0.5, 2.0)))
    with pytest.raises(UserError, match=r"scale_crop.scale \[0.5, 2.0\].*normals"):
        build_mask_augmentation(config, image_shape=(8, 8, 3), target=TARGETS["normals"])


def test_colors_change_and_masks_stay(batch):
    result = augmented(batch, color_jitter=ColorJitterConfig(brightness=0.5))
    np.testing.assert_array_equal(result["mask"], batch["mask"])
    assert np.abs(result["image"].numpy() - batch["image"].numpy()).max() > 20


def test_one_seed_gives_one_result_and_another_another(batch):
    options = {"flip": "both", "scale_crop": {"scale": (0.5, 2.0)}, "color_jitter": {"hue": 0.2}}
    one, again = augmented(batch, **options), augmented(batch, **options)
    other = augmented(batch, seed=tf.constant([3, 6]), **options)
    for key, value in one.items():
        np.testing.assert_array_equal(value, again[key])
    assert (one["mask"].numpy() != other["mask"].numpy()).any()


def test_it_runs_within_tf_data(batch):
    config = MaskAugmentation(flip="both", scale_crop=ScaleCropConfig(size=(32, 32)), color_jitter={"contrast": 0.3})
    augment = build_mask_augmentation(config, image_shape=(*SIZE, 3))
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(4).map(lambda values: augment(values, SEED))
    eager = augment({key: value[:4] for key, value in batch.items()}, SEED)
    first = next(iter(dataset))
    assert dataset.element_spec["image"].shape.as_list() == [None, 32, 32, 3]
    for key, value in eager.items():
        np.testing.assert_allclose(first[key], value, atol=1e-3)


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(ValidationError, match=r"0 < first <= second, not \[2.0, 0.5\]"):
        ScaleCropConfig(scale=(2.0, 0.5))
