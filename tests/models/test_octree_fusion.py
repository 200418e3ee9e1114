"""The networks of depth fusion: parameters, the octree's equals the dense one where it is split, errors."""

import keras
import numpy as np
import pytest

from tfdlcv.models import dense_fusion, octree_fusion
from tfdlcv.models.octree_fusion import fusion_octree_spec
from tfdlcv.ops import octree
from tfdlcv.ops.octree_batches import batch_arrays


def test_parameters_of_the_released_networks():
    assert dense_fusion(resolution=64, channels=10).count_params() == 537_409
    # The coarser output is one channel more: 27 weights for each of 16 filters.
    assert octree_fusion(resolution=128, channels=11).count_params() == 537_409 + 27 * 16


def test_split_into_voxels_it_is_the_dense_network():
    sizes = {"resolution": 16, "channels": 3, "filters": (3, 4, 5)}
    sparse, dense = octree_fusion(**sizes), dense_fusion(**sizes)
    weights = [np.random.default_rng(0).normal(0, 0.2, weight.shape) for weight in sparse.weights]
    sparse.set_weights(weights)
    dense.set_weights(weights)
    tree = octree.build_octree(np.indices((16, 16, 16)).sum(axis=0) % 2)
    volume = np.random.default_rng(0).normal(size=(1, 16, 16, 16, 3)).astype("float32")
    arrays = batch_arrays([tree], [volume[0][tuple(tree.origins.T)]], fusion_octree_spec(16))
    found = sparse(arrays)
    assert found.shape == (1, 16, 16, 16, 1) and found.dtype == "float32"
    np.testing.assert_allclose(found, dense(volume), rtol=1e-3, atol=1e-4)
    keras.backend.clear_session()


@pytest.mark.parametrize(("build", "multiple"), [(dense_fusion, 4), (octree_fusion, 8)])
def test_wrong_arguments_are_named(build, multiple):
    with pytest.raises(ValueError, match=f"resolution must be a multiple of {multiple}. Received: resolution=18"):
        build(resolution=18, channels=1)
    with pytest.raises(ValueError, match="channels must be at least 1. Received: channels=0"):
        build(resolution=16, channels=0)
    with pytest.raises(ValueError, match=r"filters must be three numbers of at least 1. Received: filters=\(4, 5\)"):
        build(resolution=16, channels=1, filters=(4, 5))
