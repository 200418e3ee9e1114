"""Batches of octrees: every volume gives what it gives alone, however much the others make it padded."""

import numpy as np
import pytest

from tests.ops.test_octree import ball
from tfdlcv.layers import FlexPooling, OctreeConv, OctreeToDense
from tfdlcv.ops import octree
from tfdlcv.ops.octree_batches import OctreeSpec, batch_arrays, group_inputs, rounded_up

SPEC = OctreeSpec(16, levels=3, convolved=3, parents=True, dense_level=2)


def volumes():
    checkered = np.indices((16, 16, 16)).sum(axis=0) % 2 == 0
    return [ball(radius=2.0), ball(radius=3.3), np.zeros((16, 16, 16), bool), checkered]


def arrays_of(trees, seed=0):
    random = np.random.default_rng(seed)
    features = [random.normal(size=(tree.num_leaves, 2)).astype("float32") for tree in trees]
    return features, batch_arrays(trees, features, SPEC)


def network(arrays, layers):
    """Convolution and pooling down to the third level, and up again by the parents to the first."""
    x = arrays["features"]
    for level, layer in enumerate(layers):
        x = layer([x, *(arrays[name] for name in group_inputs(level))])
        if level < 2:
            x = FlexPooling()([x, arrays[f"children{level}"]])
    dense = OctreeToDense()([x, arrays["leaf_index"]])
    for level in (1, 0):
        x = FlexPooling()([x, arrays[f"parents{level}"]])
    return np.asarray(dense), np.asarray(x)


def test_a_batch_gives_what_each_volume_gives_alone():
    trees = [octree.build_octree(volume) for volume in volumes()]
    features, arrays = arrays_of(trees)
    layers = [OctreeConv(3), OctreeConv(3), OctreeConv(3)]
    together, _ = network(arrays, layers)
    for number, (tree, own) in enumerate(zip(trees, features, strict=True)):
        alone, up = network(batch_arrays([tree], [own], SPEC), layers)
        np.testing.assert_allclose(together[number], alone[0], rtol=1e-4, atol=1e-5)
        assert up.shape[1] == sum(rounded_up(count) for count in tree.groups)
    assert np.ptp(together[0]) > 0.1


def test_shapes_are_those_of_the_spec():
    _, arrays = arrays_of([octree.build_octree(volume) for volume in volumes()[:2]])
    shapes = {"features": (None, 2), **SPEC.shapes()}
    assert set(arrays) == set(shapes)
    for name, shape in shapes.items():
        assert arrays[name].shape[0] == 2
        for found, expected in zip(arrays[name].shape[1:], shape, strict=True):
            assert expected in (None, found), name
    assert arrays["leaf_index"].shape == (2, 4, 4, 4)
    assert not [name for name in OctreeSpec(16).shapes() if name.startswith(("children", "parents"))]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (1, 8), (8, 8), (33, 40), (100, 112), (1000, 1024), (1025, 1280)]
)
def test_rounding_up(count, expected):
    assert rounded_up(count) == expected
    assert expected == 0 or expected - count < max(8, count / 3)
