"""OctNet and its dense baseline: parameters, the same function of a volume without large leaves, errors."""

import keras
import numpy as np
import pytest

from tfdlcv.data.volumes import VolumeSpec, volume_arrays
from tfdlcv.models import dense3d, octnet
from tfdlcv.ops import octree
from tfdlcv.ops.octree_batches import batch_arrays

SMALL = {"resolution": 16, "hidden_units": 8, "full_filters": (3, 4), "coarse_filters": ((4, 5), (5, 5))}


@pytest.fixture(autouse=True)
def small_initializers(monkeypatch):
    """Random numbers for 8 million weights would take longer than all the rest."""
    monkeypatch.setattr(
        keras.initializers.HeNormal, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype)
    )


@pytest.mark.parametrize("build", [octnet, dense3d])
def test_parameters_of_the_released_network(build):
    assert build(10).count_params() == 8_531_418


@pytest.fixture
def networks():
    keras.utils.set_random_seed(0)
    sparse, dense = octnet(3, **SMALL), dense3d(3, **SMALL)
    weights = [np.random.default_rng(0).normal(0, 0.3, weight.shape) for weight in sparse.weights]
    sparse.set_weights(weights)
    dense.set_weights(weights)
    return sparse, dense


def test_split_into_voxels_it_is_the_dense_network(networks):
    """The octree of a random volume, with the features of another one: none of the network's steps averages."""
    sparse, dense = networks
    tree = octree.build_octree(np.indices((16, 16, 16)).sum(axis=0) % 2)
    volume = np.random.default_rng(0).uniform(size=(1, 16, 16, 16, 1)).astype("float32") < 0.1
    features = volume[0][tuple(tree.origins.T)].astype("float32")
    arrays = batch_arrays([tree], [features], VolumeSpec(16, octree=True).octree_spec)
    np.testing.assert_allclose(sparse(arrays), dense(volume.astype("float32")), rtol=1e-3, atol=1e-4)


def test_on_an_octree_it_stays_near(networks):
    sparse, dense = networks
    points = [np.random.default_rng(seed).normal(0, 0.2, (400, 3)).astype("float32") for seed in range(2)]
    trees = volume_arrays(points, VolumeSpec(16, octree=True))
    volumes = volume_arrays(points, VolumeSpec(16, octree=False))
    found, expected = np.asarray(sparse(trees)), np.asarray(dense(volumes["occupancy"]))
    assert np.abs(found - expected).max() < 0.3 * np.abs(expected).max()
    assert not np.allclose(found, expected)


@pytest.mark.parametrize("build", [octnet, dense3d])
def test_wrong_arguments_are_named(build):
    with pytest.raises(ValueError, match="num_classes must be at least 2. Received: num_classes=1"):
        build(1)
    with pytest.raises(ValueError, match="resolution must be a multiple of 8. Received: resolution=20"):
        build(3, resolution=20)
    with pytest.raises(ValueError, match=r"resolution \(8\) must be at least 16"):
        build(3, resolution=8, coarse_filters=((2,), (2,), (2,)))
