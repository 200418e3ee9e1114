import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.data.cloud_augmentation import CloudAugmentation, build_cloud_augmentation

COLUMNS = {"position": slice(0, 3), "height": slice(3, 4), "normal": slice(4, 7), "color": slice(7, 10)}


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)
    positions = random.normal(size=(40, 30, 3)).astype(np.float32)
    normals = random.normal(size=(40, 30, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    height = positions[..., 2:] + 5
    features = np.concatenate([positions, height, normals, random.random((40, 30, 3))], axis=-1).astype(np.float32)
    return {"positions": tf.constant(positions), "features": tf.constant(features), "label": tf.zeros(40, tf.int32)}


def augmented(batch, up_axis=2, seed=(1, 2), **options):
    augment = build_cloud_augmentation(CloudAugmentation(**options), COLUMNS, up_axis=up_axis)
    result = augment(batch, tf.constant(seed))
    assert set(result) == set(batch)
    return {name: value.numpy() for name, value in result.items()}


def parts(result):
    return {name: result["features"][..., place] for name, place in COLUMNS.items()}


def distances(positions):
    return np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)


def test_nothing_is_the_default():
    assert build_cloud_augmentation(CloudAugmentation(), COLUMNS) is None


def test_the_same_seed_gives_the_same_clouds(batch):
    options = {"rotation": "any", "jitter": 0.1, "scale": (0.5, 2.0)}
    first, again, other = (augmented(batch, seed=seed, **options) for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first["positions"], again["positions"])
    assert np.abs(first["positions"] - other["positions"]).max() > 0.1


@pytest.mark.parametrize("rotation", ["vertical", "any"])
def test_rotations_keep_distances_and_turn_normals_along(rotation, batch):
    result = augmented(batch, rotation=rotation)
    np.testing.assert_allclose(distances(result["positions"]), distances(batch["positions"].numpy()), atol=1e-4)
    before, after = (parts({"features": f}) for f in (batch["features"].numpy(), result["features"]))
    np.testing.assert_array_equal(after["position"], result["positions"])
    for key in ("normal", "position"):
        angles = [np.einsum("bnd,bnd->bn", p["position"], p[key]) for p in (before, after)]
        np.testing.assert_allclose(*angles, atol=1e-4)
    moved = np.abs(result["positions"] - batch["positions"].numpy())
    assert (moved[..., 2].max() < 1e-6) == (rotation == "vertical")
    assert moved[..., 0].max() > 1
    np.testing.assert_array_equal(after["height"], before["height"])


def test_vertical_is_the_up_axis_of_the_data(batch):
    moved = np.abs(augmented(batch, up_axis=1, rotation="vertical")["positions"] - batch["positions"].numpy())
    assert moved[..., 1].max() < 1e-6 < 1 < moved[..., 0].max()


def test_one_scale_or_one_for_each_axis(batch):
    for each in (False, True):
        result = augmented(batch, scale=(0.5, 2.0), scale_each_axis=each)
        factors = (result["positions"] / batch["positions"].numpy())[:, 0]  # (B, 3)
        assert 0.5 <= factors.min() < 0.7 and 1.7 < factors.max() <= 2.0
        assert (np.ptp(factors, axis=1).max() > 0.5) == each
        height = parts(result)["height"] / batch["features"].numpy()[..., 3:4]
        np.testing.assert_allclose(height[:, 0, 0], factors[:, 2], rtol=1e-5)


def test_normals_stay_at_right_angles_when_axes_are_scaled():
    # A plane x = z, its normal (1, 0, -1) / sqrt 2.
    u = np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32)
    positions = np.stack([u[..., 0], u[..., 1], u[..., 0]], axis=-1)
    normals = np.broadcast_to(np.float32([0.5**0.5, 0, -(0.5**0.5)]), positions.shape)
    batch = {"positions": tf.constant(positions), "features": tf.constant(normals)}
    augment = build_cloud_augmentation(
        CloudAugmentation(scale=(0.5, 2.0), scale_each_axis=True, rotation="any"), {"normal": slice(0, 3)}
    )
    result = augment(batch, tf.constant((3, 4)))
    along = result["positions"] - result["positions"][:, :1]
    np.testing.assert_allclose(np.einsum("bnd,bnd->bn", along, result["features"]), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(result["features"], axis=-1), 1, rtol=1e-5)


def test_mirror_flips_horizontal_axes_half_the_time(batch):
    signs = np.sign(augmented(batch, mirror=True)["positions"] * batch["positions"].numpy())[:, 0]
    assert (signs[:, 2] == 1).all()
    assert 10 < (signs[:, 0] < 0).sum() < 30 and 10 < (signs[:, 1] < 0).sum() < 30


def test_shift_and_jitter(batch):
    moved = augmented(batch, shift=0.5)["positions"] - batch["positions"].numpy()
    assert np.ptp(moved, axis=1).max() < 1e-5 and 0.4 < np.abs(moved).max() <= 0.5
    moved = augmented(batch, jitter=0.1)["positions"] - batch["positions"].numpy()
    assert moved.std() == pytest.approx(0.1, rel=0.05)
    moved = augmented(batch, jitter=0.1, jitter_clip=0.05)["positions"] - batch["positions"].numpy()
    assert np.abs(moved).max() == pytest.approx(0.05, rel=1e-3)


def test_colour_is_dropped_from_whole_clouds(batch):
    colors = parts(augmented(batch, color_drop=0.3))["color"]
    gone = (colors == 0).all(axis=(1, 2))
    assert 5 < gone.sum() < 20
    np.testing.assert_array_equal(colors[~gone], batch["features"].numpy()[~gone][..., 7:10])


def test_a_scale_out_of_order():
    with pytest.raises(ValidationError, match=r"0 < lowest <= highest, not \[2.0, 1.0\]"):
        CloudAugmentation(scale=(2.0, 1.0))
