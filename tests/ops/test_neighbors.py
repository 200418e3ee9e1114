"""The three neighbour searches against all distances and each other; ties, padding, overflow, errors."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import rooms
from tfdlcv.ops import neighbors as search


def by_sorting(positions, k, queries=None):
    """(distance, index) sorted, in float64."""
    positions = positions.astype("float64")
    queries = positions if queries is None else queries.astype("float64")
    squares = np.square(queries[:, :, None] - positions[:, None]).sum(-1)
    return np.argsort(squares, axis=-1, kind="stable")[:, :, :k]


def lattice(seed=0):
    """Points of a cubic lattice in any order: nearly every set of nearest neighbours has ties."""
    points = np.stack(np.meshgrid(*[np.arange(6.0)] * 3, indexing="ij"), axis=-1).reshape(1, -1, 3)
    return np.random.default_rng(seed).permuted(points, axis=1).astype("float32")


def random_cloud(points=300, dimensions=3, clouds=2):
    return np.random.default_rng(0).uniform(size=(clouds, points, dimensions)).astype("float32")


def grid(positions, k, queries=None, **options):
    """In a graph, which runs its many small operations faster than eager calls."""
    found = tf.function(search.knn_grid)(positions, k, queries, **options)
    assert not found["overflow"].numpy().any()
    return found["neighbors"]


def searches(cell_size, capacity):
    return {
        "pairs": search.knn,
        "pairs in chunks": lambda p, k, q=None: search.knn(p, k, q, chunk_size=70),
        "grid": lambda p, k, q=None: grid(p, k, q, cell_size=cell_size, capacity=capacity, chunk_size=128),
        "host": search.knn_host,
    }


@pytest.mark.parametrize("name", searches(1, 1))
def test_equals_sorting_all_distances(name):
    find = searches(0.6, 200)[name]
    for dimensions in (1, 2, 3):
        positions = random_cloud(dimensions=dimensions)
        found = np.asarray(find(positions, 9))
        assert found.dtype == "int32"
        np.testing.assert_array_equal(found, by_sorting(positions, 9))
        np.testing.assert_array_equal(found[:, :, 0], np.tile(np.arange(300), (2, 1)))
    queries = np.random.default_rng(1).uniform(size=(2, 50, 3)).astype("float32")
    np.testing.assert_array_equal(find(positions, 5, queries), by_sorting(positions, 5, queries))
    np.testing.assert_array_equal(find(positions, 1), np.tile(np.arange(300)[None, :, None], (2, 1, 1)))


@pytest.mark.parametrize("name", searches(1, 1))
def test_ties_go_to_the_lower_index(name):
    find = searches(3.01, 128)[name]
    for k in (3, 15):
        np.testing.assert_array_equal(find(lattice(), k), by_sorting(lattice(), k))
    together = np.zeros((1, 40, 3), "float32")
    np.testing.assert_array_equal(find(together, 4), np.tile(np.arange(4), (1, 40, 1)))


@pytest.mark.parametrize("name", searches(1, 1))
def test_far_from_the_origin_the_neighbors_are_the_same(name):
    """By |a|^2 - 2 a.b + |b|^2 in float32, 6 % of points a hundred metres away are not their own neighbours."""
    positions = np.round(random_cloud(clouds=1) * 4096) / 4096
    find = searches(0.6, 200)[name]
    np.testing.assert_array_equal(find((positions + 100).astype("float32"), 9), find(positions, 9))


@pytest.mark.parametrize("name", ["pairs", "grid"])
def test_compiled_and_with_any_number_of_points(name):
    def find(positions):
        if name == "pairs":
            return search.knn(positions, 4, chunk_size=32)
        return search.knn_grid(positions, 4, cell_size=0.7, capacity=200)["neighbors"]

    traced = tf.function(find, input_signature=[tf.TensorSpec((None, None, 3))])
    compiled = tf.function(find, jit_compile=True)
    for points, calls in ((60, [traced]), (90, [traced, compiled])):
        positions = random_cloud(points, clouds=1)
        for call in calls:
            np.testing.assert_array_equal(call(positions), by_sorting(positions, 4))


def test_points_that_are_not_valid_are_nobodys_neighbors():
    positions = random_cloud(20)
    valid = np.ones((2, 20), bool)
    valid[0, 5:] = False
    found = np.asarray(search.knn(positions, 7, valid=valid))
    np.testing.assert_array_equal(found[0, :, :5], by_sorting(positions[:1, :5], 5, positions[:1])[0])
    assert (found[0, :, 5:] == -1).all()
    np.testing.assert_array_equal(found[1], by_sorting(positions[1:], 7)[0])


def test_the_grid_says_where_it_may_be_wrong():
    positions = random_cloud(2000, clouds=1)
    expected = by_sorting(positions, 9)
    find = tf.function(search.knn_grid)
    small_cells = find(positions, 9, cell_size=0.09, capacity=64)
    little_room = find(positions, 9, cell_size=0.15, capacity=22)
    for found in (small_cells, little_room):
        overflow = np.asarray(found["overflow"])
        assert 0.02 < overflow.mean() < 0.98
        right = (np.asarray(found["neighbors"]) == expected).all(axis=-1)
        assert right[~overflow].all()
        assert not right.all()
    alone = search.knn_grid(positions, 9, np.full((1, 1, 3), 50.0, "float32"), cell_size=0.15)
    np.testing.assert_array_equal(alone["neighbors"], np.full((1, 1, 9), -1))
    assert np.asarray(alone["overflow"]).all()


def test_the_grid_of_a_hundred_thousand_points_is_right_where_it_does_not_say_otherwise():
    random = np.random.default_rng(0)
    flat = random.uniform(size=(100_000, 2))
    positions = np.stack([*flat.T, 0.1 * np.sin(5 * flat[:, 0])], axis=1).astype("float32")[None]
    find = tf.function(search.knn_grid)(positions, 5, cell_size=0.01, capacity=48, chunk_size=2048)
    found, overflow = np.asarray(find["neighbors"])[0], np.asarray(find["overflow"])[0]
    assert found.shape == (100_000, 5) and overflow.mean() < 0.02
    np.testing.assert_array_equal(found[~overflow], search.knn_host(positions[0], 5)[~overflow])


def test_the_advised_cells_flag_few_points_and_a_second_search_the_rest():
    random = np.random.default_rng(0)
    ball = random.normal(size=(4000, 3))
    clouds = {
        "volume": (random.uniform(size=(4000, 3)), 0.05),
        "sphere": (ball / np.linalg.norm(ball, axis=1, keepdims=True), 0.01),
        "rooms": (rooms.sample_building(4000).positions, 0.15),
    }
    find = tf.function(search.knn_grid)
    for name, (positions, most) in clouds.items():
        positions = np.asarray(positions, "float32")
        expected = search.knn_host(positions, 9)
        cell = 1.5 * np.linalg.norm(positions - positions[expected[:, -1]], axis=1).mean()
        first = {key: np.array(value[0]) for key, value in find(positions[None], 9, cell_size=cell).items()}
        doubtful = first["overflow"]
        assert 0 < doubtful.mean() < most, name
        second = find(positions[None], 9, positions[None, doubtful], cell_size=2 * cell, capacity=400)
        assert not np.any(second["overflow"]), name
        first["neighbors"][doubtful] = second["neighbors"][0]
        np.testing.assert_array_equal(first["neighbors"], expected, err_msg=name)


def test_columns_that_share_slots_bring_no_point_twice(monkeypatch):
    """As few slots as points: 27 cells on eight slots."""
    monkeypatch.setattr(search, "SLOTS_PER_POINT", 1)
    positions = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(1, 8, 3).astype("float32")
    found = grid(positions, 8, cell_size=1.8, capacity=8)
    np.testing.assert_array_equal(found, by_sorting(positions, 8))
    found = search.knn_grid(positions, 8, cell_size=1.0, capacity=8)["neighbors"]
    np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(8), (1, 8, 1)))


def test_host_takes_one_cloud_and_float64():
    positions = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(search.knn_host(positions, 4), by_sorting(positions[None], 4)[0])
    np.testing.assert_array_equal(search.knn_host(positions, 50, workers=2), by_sorting(positions[None], 50)[0])


@pytest.mark.parametrize("find", [search.knn, search.knn_host, functools.partial(search.knn_grid, cell_size=1)])
def test_wrong_inputs_are_named(find):
    positions = random_cloud(20)
    with pytest.raises(ValueError, match=r"positions must hold at least k \(21\) points. Received: 20"):
        find(positions, 21)
    with pytest.raises(ValueError, match="k must be at least 1. Received: k=0"):
        find(positions, 0)
    with pytest.raises(ValueError, match="positions must hold at least 1 point. Received: an empty cloud"):
        find(positions[:, :0], 1)
    with pytest.raises(ValueError, match="positions must be floating-point. Received: dtype=int64"):
        find(positions.astype("int64"), 3)
    with pytest.raises(ValueError, match="queries has 2, positions has 3|positions has 3, queries has 2"):
        find(positions, 3, positions[:, :, :2])
    broken = positions.copy()
    broken[1, 7, 0] = np.nan
    with pytest.raises(ValueError, match=r"positions must be finite. Received: nan at \(1, 7, 0\), 1 such values"):
        find(broken, 3)
    with pytest.raises(ValueError, match="queries must be finite"):
        find(positions, 3, broken)


def test_wrong_arguments_of_the_grid_are_named():
    with pytest.raises(ValueError, match="at most 3 coordinates"):
        search.knn_grid(random_cloud(dimensions=4), 3, cell_size=1)
    with pytest.raises(ValueError, match=r"k \(10\) must be at most 9 times capacity \(1\)"):
        search.knn_grid(random_cloud(), 10, cell_size=1, capacity=1)
    with pytest.raises(ValueError, match="cell_size must be positive. Received: cell_size=0.0"):
        search.knn_grid(random_cloud(), 3, cell_size=0.0)
