"""Upsampling by each method: values by hand, holes, exactness on what it must reproduce, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import FlexUpsampling
from tfdlcv.ops import neighbors as neighbor_search

METHODS = ("flex", "nearest", "inverse_distance")
# Two points of three are kept: those at 0 and 3; the one at 1 is new.
POSITIONS = np.array([[[0.0], [3.0], [1.0]]], "float32")
FEATURES = np.array([[[8.0, -1.0], [2.0, 4.0]]], "float32")


def test_flex_is_the_largest_kept_neighbor_or_zero():
    neighbors = np.array([[[0, 2], [1, 2], [2, -1]]], "int32")
    outputs = FlexUpsampling("flex")([FEATURES, POSITIONS, neighbors])
    np.testing.assert_array_equal(outputs, [[[8.0, 0.0], [2.0, 4.0], [0.0, 0.0]]])


def test_nearest_takes_the_first_neighbor():
    neighbors = np.array([[[0, 1], [1, 0], [-1, -1]]], "int32")
    outputs = FlexUpsampling("nearest")([FEATURES, POSITIONS, neighbors])
    np.testing.assert_array_equal(outputs, [[[8.0, -1.0], [2.0, 4.0], [0.0, 0.0]]])


def test_inverse_distance_by_hand():
    """The point at 1 has weights 1 and 1/4, so 4/5 and 1/5; points that were kept have their own features."""
    neighbors = np.array([[[0, 1], [1, 0], [0, 1]]], "int32")
    expected = [[[8.0, -1.0], [2.0, 4.0], [6.8, 0.0]]]
    layer = FlexUpsampling("inverse_distance")
    for unit in (1.0, 1e-6, 1e6):
        np.testing.assert_allclose(layer([FEATURES, unit * POSITIONS, neighbors]), expected, rtol=1e-5, atol=1e-6)
    elsewhere = np.array([[[3.0], [0.0]]], "float32")
    outputs = layer([FEATURES, POSITIONS, neighbors], coarse_positions=elsewhere)
    np.testing.assert_allclose(outputs[0, 2], [3.2, 3.0], rtol=1e-6)
    padded = np.array([[[0, 1], [-1, 0], [-1, -1]]], "int32")
    np.testing.assert_allclose(layer([FEATURES, POSITIONS, padded])[0], [[8, -1], [8, -1], [0, 0]], atol=1e-6)


def test_inverse_distance_has_finite_gradients_where_points_coincide():
    neighbors = np.array([[[0, 1], [1, 0], [0, 1]]], "int32")
    positions = tf.constant(POSITIONS)
    with tf.GradientTape() as tape:
        tape.watch(positions)
        outputs = FlexUpsampling("inverse_distance")([FEATURES, positions, neighbors])
    gradient = tape.gradient(outputs, positions).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_constants_stay(method):
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(2, 40, 3)).astype("float32")
    source = positions if method == "flex" else positions[:, :10]
    # All 40 neighbours, so that every point sees a kept one.
    neighbors = neighbor_search.knn_host(source, 40 if method == "flex" else 3, positions)
    features = np.full((2, 10, 4), 2.5, "float32")
    np.testing.assert_allclose(FlexUpsampling(method)([features, positions, neighbors]), 2.5, rtol=1e-6)


@pytest.mark.parametrize(("k", "expected"), [(8, 0.100), (9, 0.075), (16, 0.010)])
def test_flex_leaves_holes_where_no_neighbor_was_kept(k, expected):
    """(3/4)^K of the points when a quarter is kept at random."""
    positions = np.random.default_rng(0).normal(size=(1, 4000, 3)).astype("float32")
    neighbors = neighbor_search.knn_host(positions, k)
    outputs = np.asarray(FlexUpsampling("flex")([np.ones((1, 1000, 1), "float32"), positions, neighbors]))
    assert np.mean(outputs == 0) == pytest.approx(expected, abs=0.02)
    assert expected == pytest.approx(0.75**k, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_mixed_and_reloaded(tmp_path, method):
    tensors = [keras.Input((None, 2)), keras.Input((None, 1)), keras.Input((None, 2), dtype="int32")]
    model = keras.Model(tensors, FlexUpsampling(method, dtype="mixed_bfloat16")(tensors))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [FEATURES, 1000 + POSITIONS, np.array([[[0, 1], [1, 0], [0, 1]]], "int32")]
    expected = FlexUpsampling(method)(inputs)
    for call in (model, reloaded, tf.function(model, jit_compile=True)):
        outputs = call(inputs)
        assert outputs.dtype == "bfloat16"
        np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, rtol=1e-2, atol=1e-2)
    assert model.layers[-1].compute_output_shape([x.shape for x in inputs]) == (1, 3, 2)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_in_a_graph_a_neighbor_that_does_not_exist_is_padding(method, jit_compile):
    """In the first of two clouds, the point after the last is not the first of the second."""
    points = 3 if method == "flex" else 2

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradient(features, neighbors):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = FlexUpsampling(method)([features, np.tile(POSITIONS, (2, 1, 1)), neighbors])
            total = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(total, features)

    features = tf.constant(np.concatenate([FEATURES, FEATURES + 100]))
    wrong = np.array([[[points, 1], [0, points], [1, 0]], [[0, 1], [2**31 - 1, 0], [0, points]]], "int32")
    padded = np.where(wrong < points, wrong, -1)
    found, expected = (outputs_and_gradient(features, tf.constant(neighbors)) for neighbors in (wrong, padded))
    for values, others in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, others)


def test_wrong_inputs_are_named():
    neighbors = np.zeros((1, 3, 2), "int32")
    with pytest.raises(ValueError, match="method must be 'flex', .* Received: method='linear'"):
        FlexUpsampling("linear")
    with pytest.raises(ValueError, match=r"takes \[features, positions, neighbors\]"):
        FlexUpsampling()([FEATURES, POSITIONS])
    with pytest.raises(ValueError, match="must be less than the 2 points of features. Received: 2 at"):
        FlexUpsampling("nearest")([FEATURES, POSITIONS, neighbors + 2])
    with pytest.raises(ValueError, match="positions has 3, neighbors has 1"):
        FlexUpsampling()([FEATURES, POSITIONS, neighbors[:, :1]])
    with pytest.raises(ValueError, match=r"features \(4 points\) must not have more points than positions \(3\)"):
        FlexUpsampling()([np.zeros((1, 4, 2), "float32"), POSITIONS, neighbors])
    with pytest.raises(ValueError, match="coarse_positions has 1, features has 2"):
        FlexUpsampling("inverse_distance")([FEATURES, POSITIONS, neighbors], coarse_positions=POSITIONS[:, :1])
