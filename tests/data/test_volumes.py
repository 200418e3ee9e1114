"""Clouds as volumes: which voxels are occupied, octrees that hold the same, batches with and without augmentation."""

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import primitives
from tfdlcv.data.cloud_augmentation import CloudAugmentation, build_cloud_augmentation
from tfdlcv.data.point_clouds import examples
from tfdlcv.data.primitives import PrimitivesConfig
from tfdlcv.data.volumes import VolumeSpec, volume_arrays, volume_augmentation, volume_split, voxelize
from tfdlcv.errors import UserError
from tfdlcv.training.volume_serving import occupancy

OCTREE, DENSE = VolumeSpec(16, octree=True), VolumeSpec(16, octree=False)


def source():
    return primitives.build(
        PrimitivesConfig(name="primitives", points=300, train_examples=12, validation_examples=4, test_examples=4)
    ).train


def split_of(spec, **options):
    return volume_split(source(), points=300, spec=spec, centre="unit_sphere", **options)


def test_voxels_by_hand():
    points = np.array([[-1, -1, -1], [1, 1, 1], [0, 0, 0], [0.16, 0, 0], [0.17, 0, 0], [5, 0, 0]])
    volume = voxelize(points, 16)  # Six voxels from the middle to 1, two of padding.
    assert sorted(map(tuple, np.argwhere(volume).tolist())) == [(2, 2, 2), (8, 8, 8), (9, 8, 8), (13, 13, 13)]
    with pytest.raises(ValueError, match=r"resolution \(4\) must be more than twice the padding \(2\)"):
        voxelize(points, 4)


def test_octrees_hold_the_volume():
    clouds = np.stack([source().load(index).positions for index in range(3)])
    arrays, dense = volume_arrays(clouds, OCTREE), volume_arrays(clouds, DENSE)
    pooled = dense["occupancy"].reshape(3, 8, 2, 8, 2, 8, 2).max(axis=(2, 4, 6))
    for number in range(3):
        children = arrays["children0"][number]
        values = np.where(children >= 0, arrays["features"][number, :, 0][children], 0).max(axis=1)
        np.testing.assert_array_equal(values[arrays["leaf_index"][number]], pooled[number])


@pytest.mark.parametrize("spec", [OCTREE, DENSE])
def test_batches_are_those_of_their_clouds(spec):
    split = split_of(spec)
    batch = examples(split, [1, 5])
    assert batch["label"].tolist() == [1, 5]
    assert np.linalg.norm(batch["positions"], axis=-1).max(axis=1) == pytest.approx([1, 1])
    expected = volume_arrays(batch["positions"], spec)
    for name, value in expected.items():
        np.testing.assert_array_equal(batch[name], value)
    traced = tf.function(split.fetch).get_concrete_function(tf.TensorSpec((2,), tf.int64)).structured_outputs
    for name, shape in spec.shapes().items():
        assert traced[name].shape.as_list() == [2, *shape]


def test_augmentation_makes_volumes_of_what_it_made_of_the_clouds():
    batch = split_of(DENSE).fetch(tf.constant([1, 2], tf.int64))
    turn = build_cloud_augmentation(CloudAugmentation(rotation="any"), {})
    turned = volume_augmentation(turn, DENSE)(batch, tf.constant([0, 1]))
    expected = volume_arrays(turned["positions"].numpy(), DENSE)
    np.testing.assert_array_equal(turned["occupancy"], expected["occupancy"])
    assert (turned["occupancy"].numpy() != batch["occupancy"].numpy()).any() and set(turned) == set(batch)


def test_served_volumes_are_the_same():
    positions = np.stack([source().load(index).positions for index in range(2)]) * 7 + 3
    centred = positions - positions.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=-1).max(axis=1)[:, None, None]
    expected = volume_arrays(centred, DENSE)["occupancy"]
    # float32 rounds a point on the border of a voxel to the other side.
    assert (occupancy(tf.constant(positions), 16).numpy() != expected).sum() <= 2


def test_clouds_of_another_size_are_an_error():
    with pytest.raises(UserError, match="train capsule 1: the cloud has 300 points, but at least 400 are needed"):
        volume_split(source(), points=400, spec=DENSE, centre="unit_sphere").fetch(tf.constant([1], tf.int64))
