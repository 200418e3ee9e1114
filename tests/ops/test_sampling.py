"""Sampling of points: no replacement, chances as they should be, order, extreme weights, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.ops import sampling
from tfdlcv.ops.neighbors import knn_host


def two_densities():
    """900 points in a unit cube beside 100 in another: ten to one."""
    points = np.random.default_rng(0).uniform(size=(1, 1000, 3)).astype("float32")
    points[:, 900:, 0] += 5
    return points


def test_samples_have_no_point_twice_and_follow_the_seed():
    points = np.concatenate([two_densities(), two_densities() * 2])
    neighbors = knn_host(points, 8)
    seeds = keras.random.SeedGenerator(3)
    for sample in (
        lambda seed: sampling.random_sample(points, 700, seed=seed),
        lambda seed: sampling.inverse_density_sample(points, neighbors, 700, seed=seed),
    ):
        chosen = np.asarray(sample(5))
        assert chosen.shape == (2, 700)
        assert chosen.dtype == "int32"
        assert all(len(set(row)) == 700 for row in chosen.tolist())
        np.testing.assert_array_equal(chosen, sample(5))
        assert (chosen != np.asarray(sample(6))).any()
        assert (np.asarray(sample(seeds)) != np.asarray(sample(seeds))).any()
    everything = np.sort(sampling.random_sample(points, 1000, seed=0))
    np.testing.assert_array_equal(everything, np.tile(np.arange(1000), (2, 1)))


def test_inverse_density_is_the_logarithm_of_the_mean_distance():
    points = np.array([[[0.0], [1.0], [4.0]]], "float32")
    neighbors = np.array([[[0, 1, 2], [1, 0, -1], [2, -1, -1]]], "int32")
    log_weights = np.asarray(sampling.inverse_density(points, neighbors))
    np.testing.assert_allclose(np.exp(log_weights), [[5 / 3, 1 / 2, 0.0]], rtol=1e-6)


def test_in_a_graph_a_neighbor_that_does_not_exist_has_no_distance():
    points = tf.constant([[[0.0], [1.0]], [[50.0], [70.0]]])
    neighbors = tf.constant([[[0, 1, 2], [1, 0, 3]], [[0, 1, 2], [1, 0, -1]]])
    log_weights = tf.function(sampling.inverse_density)(points, neighbors)
    np.testing.assert_allclose(np.exp(log_weights), [[1 / 2, 1 / 2], [10.0, 10.0]], rtol=1e-6)


def test_sparse_regions_keep_more_of_their_points():
    """A tenth of the points lies in the sparse half, at 10^(1/3) times the distance to the neighbours: of a sample of a
    quarter, about a fifth comes from there."""
    points = two_densities()
    neighbors = knn_host(points, 8)
    shares = [
        np.mean(np.asarray(sampling.inverse_density_sample(points, neighbors, 250, seed=seed)) >= 900)
        for seed in range(10)
    ]
    uniform = [np.mean(np.asarray(sampling.random_sample(points, 250, seed=seed)) >= 900) for seed in range(10)]
    assert 0.15 < np.mean(shares) < 0.25
    assert 0.07 < np.mean(uniform) < 0.13


def test_chances_are_the_weights_even_of_a_million_points():
    """The first of a sample is point i with chance w_i / sum w; u^(1 / w) would be 0 in float32 for all of them."""
    uniform = np.random.default_rng(0).uniform(size=(4000, 3)).astype("float32")
    for scale in (1.0, 1e-6):
        log_weights = np.log(scale * np.tile(np.array([1.0, 2.0, 5.0], "float32"), (4000, 1)))
        order = np.asarray(sampling.gumbel_top_k(log_weights, 3, uniform))
        np.testing.assert_allclose(np.bincount(order[:, 0]) / 4000, [1 / 8, 2 / 8, 5 / 8], atol=0.025)
        # Of the two others, by their own weights: after the third point, the second one with 2 / 3.
        after_third = order[order[:, 0] == 2, 1]
        assert np.mean(after_third == 1) == pytest.approx(2 / 3, abs=0.03)
    assert (np.power(uniform, np.float32(1e6)) == 0).mean() > 0.99


def test_a_weight_of_zero_and_a_uniform_of_zero_are_no_faults():
    log_weights = np.array([[0.0, -np.inf, 0.0]], "float32")
    order = np.asarray(sampling.gumbel_top_k(log_weights, 3, np.array([[0.5, 0.0, 0.0]], "float32")))
    np.testing.assert_array_equal(order, [[2, 0, 1]])


def test_farthest_points_by_hand():
    points = np.array([[[0.0], [1.0], [10.0], [4.0]], [[3.0], [0.0], [1.0], [2.0]]], "float32")
    np.testing.assert_array_equal(sampling.farthest_point_sample(points, 4), [[0, 2, 3, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(sampling.farthest_point_sample(points, 2, start=1), [[1, 2], [1, 0]])
    np.testing.assert_array_equal(sampling.farthest_point_sample(points, 1), [[0], [0]])


def test_farthest_points_cover_the_cloud():
    points = two_densities()
    chosen = np.asarray(sampling.farthest_point_sample(points, 50))[0]
    assert len(set(chosen)) == 50
    distances = np.linalg.norm(points[0, :, None] - points[0, chosen], axis=-1)
    # The largest hole is no larger than the smallest distance between two chosen points, which is what greedy means.
    among = distances[chosen] + 10 * np.eye(50)
    assert distances.min(axis=1).max() <= among.min() + 1e-6


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_graphs_of_any_number_of_points(jit_compile):
    points = two_densities()
    neighbors = knn_host(points, 8)

    @tf.function(jit_compile=jit_compile, reduce_retracing=True)
    def sample(points, neighbors):
        return (
            sampling.farthest_point_sample(points, 20),
            sampling.inverse_density_sample(points, neighbors, 20, seed=1),
            sampling.random_sample(points, 20, seed=1),
        )

    farthest, *random = sample(points, neighbors)
    np.testing.assert_array_equal(farthest, sampling.farthest_point_sample(points, 20))
    assert all(len(set(np.asarray(chosen)[0])) == 20 for chosen in random)


def test_wrong_arguments_are_named():
    points = two_densities()
    for sample in (sampling.random_sample, sampling.farthest_point_sample):
        for number in (0, 1001):
            with pytest.raises(ValueError, match=rf"num_samples \({number}\) must be from 1 to .*points \(1000\)"):
                sample(points, number)
        with pytest.raises(ValueError, match="positions must have 3 axes"):
            sample(points[0], 5)
    with pytest.raises(ValueError, match=r"start \(1000\) must be from 0 to"):
        sampling.farthest_point_sample(points, 5, start=1000)
    with pytest.raises(ValueError, match="neighbors must be less than the 1000 points of positions. Received: 1000"):
        sampling.inverse_density_sample(points, np.full((1, 1000, 3), 1000, "int32"), 5)
