import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.data import ray_casting
from tfdlcv.data.scenes import _FIELD_OF_VIEW_RADIANS, FARTHEST_METRES, Scenes, ScenesConfig, build


@pytest.fixture(scope="module")
def scenes():
    generator = Scenes(5, size=(48, 64), noise=(0, 0))
    return [generator[index] for index in range(24)]


def test_a_scene_is_a_function_of_seed_and_index():
    one, other = Scenes((0, 1), size=(24, 32)), Scenes((0, 1), size=(24, 32))
    other[3]
    for name in ("image", "depth", "normals"):
        np.testing.assert_array_equal(getattr(one[2], name), getattr(other[2], name))
    assert (one[2].image != one[3].image).any() and (one[2].image != Scenes((0, 2), size=(24, 32))[2].image).any()


def test_depth_and_normals_are_of_one_surface(scenes):
    """Between neighbours on one plane, depth changes as the normal says: n . (p1 - p0) = 0."""
    rays = ray_casting.rays(48, 64, _FIELD_OF_VIEW_RADIANS)
    compared = 0
    for scene in scenes:
        points = scene.depth[..., None] * rays
        same = (np.abs(scene.normals[:, 1:] - scene.normals[:, :-1]) < 1e-6).all(axis=-1)
        steps = points[:, 1:] - points[:, :-1]
        off = np.abs((steps * scene.normals[:, 1:]).sum(axis=-1))[same]
        # Two surfaces may look the same way, one in front of the other.
        assert (off < 1e-4).mean() > 0.98
        compared += same.sum()
    assert compared > 20_000


def test_normals_have_length_one_and_look_at_the_camera(scenes):
    rays = ray_casting.rays(48, 64, _FIELD_OF_VIEW_RADIANS)
    for scene in scenes:
        known = ~np.isnan(scene.depth)
        np.testing.assert_allclose(np.linalg.norm(scene.normals[known], axis=1), 1, atol=1e-5)
        assert ((scene.normals[known] * rays[known]).sum(axis=1) < 1e-3).all()


def test_what_is_too_far_is_unknown(scenes):
    depths = np.stack([scene.depth for scene in scenes])
    assert np.nanmax(depths) <= FARTHEST_METRES and np.nanmin(depths) > 0.5
    assert 0.02 < np.isnan(depths).mean() < 0.4
    for scene in scenes:
        np.testing.assert_array_equal(np.isnan(scene.depth), np.isnan(scene.normals).any(axis=-1))
        np.testing.assert_array_equal(np.isnan(scene.depth), np.isnan(scene.normals).all(axis=-1))


def test_without_things_there_are_a_floor_and_a_wall_at_most():
    generator = Scenes(0, size=(24, 32), objects=(0, 0))
    for index in range(8):
        scene = generator[index]
        known = scene.normals[~np.isnan(scene.depth)]
        assert len(np.unique(np.round(known, 4), axis=0)) in (1, 2)
    counts = [len(np.unique(np.round(scene.normals[~np.isnan(scene.depth)], 3), axis=0)) for scene in
              (Scenes(0, size=(24, 32), objects=(6, 6))[index] for index in range(4))]  # fmt: skip
    assert min(counts) > 2


@pytest.mark.parametrize("target, channels", [("depth", 1), ("normals", 3)])
def test_the_data_set(target, channels):
    config = ScenesConfig(
        name="scenes", target=target, image_size=(24, 32), train_examples=3, validation_examples=2, test_examples=1
    )
    data = build(config)
    assert (data.target.name, data.target.channels) == (target, channels)
    assert data.target.unit == ("metres" if target == "depth" else "")
    assert not data.class_names and data.image_shape == (24, 32, 3)
    batch = data.train.fetch(tf.constant([2, 0], tf.int64))
    assert batch["target"].shape == (2, 24, 32, channels) and batch["target"].dtype == tf.float32
    scene = Scenes((0, 0), size=(24, 32))[2]
    np.testing.assert_array_equal(batch["image"][0], scene.image)
    np.testing.assert_array_equal(batch["target"][0], scene.depth[..., None] if target == "depth" else scene.normals)
    assert data.validation.describe(1) == "validation scenes 1"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": (4, 32)}, r"image_size must be two numbers >= 8, not \[4, 32\]"),
        ({"objects": (3, 2)}, r"objects must be two numbers, 0 <= first <= second, not \[3, 2\]"),
        ({"noise": (3.0, 2.0)}, r"noise must be two numbers, 0 <= first <= second, not \[3.0, 2.0\]"),
    ],
)
def test_ranges_that_are_none(options, message):
    with pytest.raises(ValidationError, match=message):
        ScenesConfig(name="scenes", **options)


def test_a_negative_index_is_no_scene():
    with pytest.raises(IndexError, match="Received: -2"):
        Scenes(0)[-2]
