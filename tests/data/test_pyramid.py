import numpy as np
import pytest

from tfdlcv.data.pyramid import PyramidSpec, build_pyramid, choose_points, nearest, search_tree, spatial_order
from tfdlcv.errors import UserError

RANDOM = np.random.default_rng


def test_a_line_by_hand():
    positions = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [7, 0, 0]])
    spec = PyramidSpec(neighbors=2, levels=2, ratio=2, upsampling_neighbors=1)
    pyramid = build_pyramid(positions, spec, random=RANDOM(0))
    np.testing.assert_array_equal(pyramid["neighbors0"], [[0, 1], [1, 0], [2, 1], [3, 2]])
    chosen = pyramid["pool0"][:, 0]
    np.testing.assert_array_equal(pyramid["pool0"], pyramid["neighbors0"][chosen])
    np.testing.assert_array_equal(pyramid["neighbors1"], [[0, 1], [1, 0]])
    distances = np.abs(positions[:, :1] - positions[chosen, 0])
    np.testing.assert_array_equal(pyramid["up0"][:, 0], distances.argmin(axis=1))


def test_levels_against_all_pairs():
    positions = RANDOM(0).normal(size=(300, 3))
    spec = PyramidSpec(neighbors=5, levels=3, ratio=4, upsampling_neighbors=3)
    pyramid = build_pyramid(positions, spec, random=RANDOM(1))
    assert {name: array.shape for name, array in pyramid.items()} == spec.shapes(300)
    for level in range(3):
        distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
        expected = np.sort(distances, axis=1)[:, :5]
        np.testing.assert_allclose(np.take_along_axis(distances, pyramid[f"neighbors{level}"], axis=1), expected)
        np.testing.assert_array_equal(pyramid[f"neighbors{level}"][:, 0], np.arange(len(positions)))
        if level < 2:
            below = positions[pyramid[f"pool{level}"][:, 0]]
            to_below = np.linalg.norm(positions[:, None] - below[None], axis=-1)
            found = np.take_along_axis(to_below, pyramid[f"up{level}"], axis=1)
            np.testing.assert_allclose(found, np.sort(to_below, axis=1)[:, :3])
            positions = below


def test_turning_moving_and_scaling_change_nothing():
    positions = RANDOM(0).normal(size=(200, 3))
    spec = PyramidSpec(neighbors=4, levels=2, upsampling_neighbors=2)
    turned = positions @ np.linalg.qr(RANDOM(1).normal(size=(3, 3)))[0] * 7 + [100, 0, 3]
    first, second = (build_pyramid(cloud, spec, random=RANDOM(2)) for cloud in (positions, turned))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_inverse_density_keeps_the_sparse_side():
    # Ten times as many points on one side of 0 as on the other, and chances as distances: 1 / sqrt(10) in the plane.
    random = RANDOM(0)
    dense, sparse = random.uniform(-1, 0, (10_000, 2)), random.uniform(0, 1, (1000, 2))
    positions = np.concatenate([dense, sparse])
    neighbors = nearest(search_tree(positions), positions, 9)
    shares = {
        method: (choose_points(positions, neighbors, 1000, method, RANDOM(1)) >= 10_000).mean()
        for method in ("inverse_density", "random")
    }
    assert shares["random"] == pytest.approx(1 / 11, abs=0.03)
    assert shares["inverse_density"] == pytest.approx(10**0.5 / (10 + 10**0.5), abs=0.04)


def test_a_sample_has_no_repetition_and_its_order_is_that_of_the_points():
    positions = RANDOM(0).normal(size=(500, 3))
    neighbors = nearest(search_tree(positions), positions, 4)
    chosen = choose_points(positions, neighbors, 125, "inverse_density", RANDOM(0))
    assert (np.diff(chosen) > 0).all() and len(chosen) == 125


def test_levels_smaller_than_the_neighbourhood_are_padded():
    spec = PyramidSpec(neighbors=8, levels=3, ratio=4, upsampling_neighbors=3)
    pyramid = build_pyramid(RANDOM(0).normal(size=(20, 3)), spec, random=RANDOM(0))
    assert spec.sizes(20) == [20, 5, 1]
    np.testing.assert_array_equal(pyramid["neighbors1"][:, 5:], -1)
    np.testing.assert_array_equal(pyramid["neighbors2"], [[0] + [-1] * 7])
    np.testing.assert_array_equal(pyramid["up1"], [[0, -1, -1]] * 5)


def test_copies_of_a_point_are_points():
    positions = np.repeat(RANDOM(0).normal(size=(10, 3)), 6, axis=0)
    spec = PyramidSpec(neighbors=4, levels=2, ratio=2, upsampling_neighbors=1)
    pyramid = build_pyramid(positions, spec, random=RANDOM(0))
    for level, array in (("neighbors0", 60), ("pool0", 60), ("neighbors1", 30), ("up0", 30)):
        assert 0 <= pyramid[level].min() <= pyramid[level].max() < array


def test_no_neighbours_no_pyramid():
    spec = PyramidSpec(neighbors=0)
    assert build_pyramid(np.zeros((3, 3)), spec, random=RANDOM(0)) == {} == spec.shapes(3)


def test_too_few_points():
    with pytest.raises(UserError, match="positions: 5 points are fewer than the 9 neighbours of each"):
        build_pyramid(np.zeros((5, 3)), PyramidSpec(), random=RANDOM(0))


def test_neighbours_in_spatial_order_stand_near():
    positions = RANDOM(0).random((4096, 3)) * [100, 100, 1]
    order = spatial_order(positions)
    np.testing.assert_array_equal(np.sort(order), np.arange(4096))
    as_is, ordered = (np.linalg.norm(np.diff(p, axis=0), axis=1).mean() for p in (positions, positions[order]))
    assert ordered < 0.08 * as_is


def test_spatial_order_by_hand():
    # Bits of x, y, z interleaved, x the lowest: the eight corners of a cube count up in binary.
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    shuffled = RANDOM(0).permutation(8)
    np.testing.assert_array_equal(shuffled[spatial_order(corners[shuffled])], np.arange(8))
    np.testing.assert_array_equal(spatial_order(np.ones((3, 3))), [0, 1, 2])
