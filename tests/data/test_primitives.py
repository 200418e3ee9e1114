import numpy as np
import pytest

from tfdlcv.data import primitives
from tfdlcv.data.primitives import CLASS_NAMES, Primitives, PrimitivesConfig, random_rotation, sample_primitive


def config(**options):
    return PrimitivesConfig(name="primitives", points=200, train_examples=30, **options)


def test_a_cloud_is_a_function_of_seed_part_and_index():
    clouds = Primitives(config(), "train")
    first = clouds.load(3)
    np.testing.assert_array_equal(first.positions, Primitives(config(), "train").load(3).positions)
    for other in (Primitives(config(), "test"), Primitives(config(data_seed=1), "train")):
        assert not np.array_equal(first.positions, other.load(3).positions)


def test_every_class_is_there_as_often():
    clouds = Primitives(config(), "train")
    assert np.bincount([clouds.load(index).label for index in range(30)]).tolist() == [3] * 10
    assert clouds.describe(13) == "train cylinder 13"


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_bodies_fill_the_unit_sphere(name):
    positions = sample_primitive(name, 400, np.random.default_rng(0), stretch=0.6)
    radius = np.linalg.norm(positions, axis=1)
    assert radius.max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(positions.mean(axis=0), 0, atol=1e-5)


def test_a_plane_is_flat_and_a_sphere_is_not():
    thickness = {
        name: np.linalg.svd(sample_primitive(name, 400, np.random.default_rng(0)), compute_uv=False)[2]
        for name in ("plane", "sphere")
    }
    assert thickness["plane"] < 1e-3 < 5 < thickness["sphere"]


def test_noise_moves_points_by_its_deviation():
    positions = sample_primitive("plane", 4000, np.random.default_rng(0), noise=0.05)
    normal = np.linalg.svd(positions - positions.mean(axis=0))[2][2]
    assert (positions @ normal).std() == pytest.approx(0.05, rel=0.1)


def test_density_falls_by_the_ratio_across_the_cloud():
    # Density along the axis of thinning falls linearly from 1 to 1/9: the mean over the sparse tenth is about 0.16.
    random = np.random.default_rng(0)
    line = np.stack([np.linspace(0, 1, 200_000), *np.zeros((2, 200_000))], axis=1)
    kept = primitives._denser_on_one_side(line, 9, random)
    ends = sorted([kept[:20_000].mean(), kept[-20_000:].mean()])
    np.testing.assert_allclose(ends, [1 - 0.95 * 8 / 9, 1 - 0.05 * 8 / 9], atol=0.01)


def test_rotations_are_rotations():
    for seed in range(5):
        rotation = random_rotation(np.random.default_rng(seed))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_an_unknown_body():
    with pytest.raises(ValueError, match="must be one of box, .*Received: name='teapot'"):
        primitives.primitive("teapot", np.random.default_rng(0))
