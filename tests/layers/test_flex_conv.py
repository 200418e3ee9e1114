"""Flex-convolution against values by hand and a loop over edges; its symmetries, gradients, precision and errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import FlexConv, FlexConvTranspose
from tfdlcv.ops.neighbors import knn_host

# Three points on a line, each with itself and one other as neighbours.
LINE = [
    np.array([[[1.0], [2.0], [4.0]]], "float32"),
    np.array([[[0.0], [1.0], [3.0]]], "float32"),
    np.array([[[0, 1], [1, 0], [2, 1]]], "int32"),
]


def cloud(points=12, queries=None, k=5, channels=3, seed=0, dtype="float32"):
    """[features, positions, neighbors with padding] of two clouds, and query positions or None."""
    rng = np.random.default_rng(seed)
    features, positions = rng.normal(size=(2, points, channels)), rng.normal(size=(2, points, 3))
    neighbors = rng.integers(0, points, size=(2, queries or points, k)).astype("int32")
    neighbors[0, 1, 2:] = -1
    neighbors[1, 3] = -1
    positions_of_queries = None if queries is None else rng.normal(size=(2, queries, 3)).astype(dtype)
    return [features.astype(dtype), positions.astype(dtype), neighbors], positions_of_queries


def layer_with_weights(layer_class, inputs, queries=None, filters=4, **arguments):
    layer = layer_class(filters, **arguments)
    layer(inputs, query_positions=queries)
    rng = np.random.default_rng(9)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def by_loop(layer, inputs, queries=None, transpose=False):
    """The formula, an edge after the other, in float64."""
    features, positions, neighbors = (np.asarray(x, "float64" if x.dtype.kind == "f" else x.dtype) for x in inputs)
    theta, theta_bias = (np.asarray(weight, "float64") for weight in (layer.theta, layer.theta_bias))
    queries = positions if queries is None else np.asarray(queries, "float64")
    outputs = np.zeros((len(features), (positions if transpose else neighbors).shape[1], layer.filters))
    for b in range(len(features)):
        for i in range(neighbors.shape[1]):
            present = [k for k in neighbors[b, i] if k >= 0]
            length = 1.0
            if layer.normalize_positions and present:
                length = np.mean([np.linalg.norm(queries[b, i] - positions[b, k]) for k in present])
            for k in present:
                weight = np.einsum("d,dcf->cf", (queries[b, i] - positions[b, k]) / length, theta) + theta_bias
                to, origin = (k, i) if transpose else (i, k)
                outputs[b, to] += features[b, origin] @ weight
    return outputs + (np.asarray(layer.bias) if layer.use_bias else 0.0)


def test_three_points_by_hand():
    layer = FlexConv(1, use_bias=False)
    layer(LINE)
    layer.set_weights([np.full((1, 1, 1), 2.0), np.full((1, 1), 0.5)])
    features = tf.constant(LINE[0])
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = layer([features, *LINE[1:]])
        total = tf.reduce_sum(outputs)
    np.testing.assert_allclose(outputs[0, :, 0], [-2.5, 3.5, 11.0])
    theta, theta_bias, of_features = tape.gradient(total, [*layer.trainable_variables, features])
    assert (float(theta[0, 0, 0]), float(theta_bias[0, 0])) == (3.0, 12.0)
    np.testing.assert_allclose(of_features[0, :, 0], [3.0, 3.5, 0.5])


def test_weights_of_the_authors_code_are_taken_over_with_theta_negated():
    for layer_class, expected in ((FlexConv, [5.5, -0.5, -5.0]), (FlexConvTranspose, [-2.5, -10.5, 2.0])):
        layer = layer_class(1, use_bias=False)
        layer(LINE)
        layer.set_weights([np.full((1, 1, 1), -2.0), np.full((1, 1), 0.5)])
        np.testing.assert_allclose(layer(LINE)[0, :, 0], expected)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("queries", [None, 7])
@pytest.mark.parametrize("layer_class", [FlexConv, FlexConvTranspose])
def test_equals_the_loop(layer_class, queries, normalize):
    inputs, query_positions = cloud(queries=queries, dtype="float64")
    if layer_class is FlexConvTranspose and queries:
        inputs[0] = inputs[0][:, :queries]
    options = {"normalize_positions": normalize, "dtype": "float64"}
    layer = layer_with_weights(layer_class, inputs, query_positions, **options)
    expected = by_loop(layer, inputs, query_positions, transpose=layer_class is FlexConvTranspose)
    outputs = layer(inputs, query_positions=query_positions)
    np.testing.assert_allclose(outputs, expected, rtol=1e-11, atol=1e-11)
    shapes = [x.shape for x in inputs]
    assert layer.compute_output_shape(shapes) == expected.shape


def test_without_query_positions_the_first_positions_are_the_centres():
    inputs, _ = cloud(queries=7)
    layer = layer_with_weights(FlexConv, inputs)
    np.testing.assert_array_equal(layer(inputs), layer(inputs, query_positions=inputs[1][:, :7]))


@pytest.mark.parametrize("normalize", [False, True])
def test_adjoint(normalize):
    """<conv(f), y> = <f, transpose(y)>, with strides and padding."""
    inputs, queries = cloud(queries=7, dtype="float64")
    options = {"normalize_positions": normalize, "use_bias": False, "dtype": "float64"}
    conv = layer_with_weights(FlexConv, inputs, queries, **options)
    y = np.random.default_rng(1).normal(size=(2, 7, 4))
    back = FlexConvTranspose(3, **options)
    back([y, *inputs[1:]], query_positions=queries)
    back.set_weights([np.swapaxes(weight, -1, -2) for weight in conv.get_weights()])
    forward = np.sum(np.asarray(conv(inputs, query_positions=queries)) * y)
    backward = np.sum(np.asarray(back([y, *inputs[1:]], query_positions=queries)) * inputs[0])
    assert forward == pytest.approx(backward, rel=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layer_class", [FlexConv, FlexConvTranspose])
def test_gradients_are_the_limits_of_differences(layer_class, normalize):
    """To features, positions, query positions and all weights, in float64."""
    inputs, queries = cloud(queries=7, dtype="float64")
    inputs[0] = inputs[0][:, :7] if layer_class is FlexConvTranspose else inputs[0]
    layer = layer_with_weights(layer_class, inputs, queries, normalize_positions=normalize, dtype="float64")
    values = [tf.constant(x) for x in (inputs[0], inputs[1], queries, *layer.get_weights())]
    mixing = np.random.default_rng(2).normal(size=layer([*inputs], query_positions=queries).shape)

    def loss(values):
        layer.set_weights([np.asarray(x) for x in values[3:]])
        return tf.reduce_sum(layer([values[0], values[1], inputs[2]], query_positions=values[2]) * mixing)

    with tf.GradientTape() as tape:
        tape.watch(values[:3])
        total = loss(values)
    gradients = tape.gradient(total, values[:3] + list(layer.trainable_variables))
    for i, gradient in enumerate(gradients):
        direction = np.random.default_rng(i).normal(size=values[i].shape)
        sides = [loss([v + sign * 1e-6 * direction if j == i else v for j, v in enumerate(values)]) for sign in (1, -1)]
        numeric = float(sides[0] - sides[1]) / 2e-6
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(numeric, rel=1e-6), f"value {i}"
        assert abs(numeric) > 1e-3


def test_symmetries():
    rng = np.random.default_rng(3)
    (features, positions, neighbors), _ = cloud(dtype="float64")
    layer = layer_with_weights(FlexConv, [features, positions, neighbors], dtype="float64")
    expected = np.asarray(layer([features, positions, neighbors]))
    close = {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(layer([features, positions + np.array([3.0, -5.0, 7.0]), neighbors]), expected, **close)
    np.testing.assert_allclose(layer([features, positions, neighbors[:, :, rng.permutation(5)]]), expected, **close)
    order = rng.permutation(12)
    inverse = np.append(np.argsort(order), -1).astype("int32")  # Padding, -1, stays.
    permuted = layer([features[:, order], positions[:, order], inverse[neighbors[:, order]]])
    np.testing.assert_allclose(permuted, expected[:, order], **close)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    theta, *rest = layer.get_weights()
    layer.set_weights([theta / 10, *rest])
    np.testing.assert_allclose(layer([features, 10 * positions, neighbors]), expected, **close)
    layer.set_weights([np.einsum("ed,dcf->ecf", rotation, theta), *rest])
    np.testing.assert_allclose(layer([features, positions @ rotation.T, neighbors]), expected, **close)


def test_normalized_positions_have_no_unit():
    inputs, _ = cloud(dtype="float64")
    layer = layer_with_weights(FlexConv, inputs, normalize_positions=True, dtype="float64")
    scaled = layer([inputs[0], 1000 * inputs[1], inputs[2]])
    np.testing.assert_allclose(scaled, layer(inputs), rtol=1e-10)
    together = layer([inputs[0], 0 * inputs[1], inputs[2]])  # All points at one place.
    assert np.isfinite(np.asarray(together)).all()


def test_prewitt_is_theta_along_the_columns():
    """On the inside of an image, theta = 1 is the cross-correlation with columns 1, 0, -1."""
    image = np.random.default_rng(0).normal(size=(6, 7))
    rows, columns = np.meshgrid(np.arange(6), np.arange(7), indexing="ij")
    positions = np.stack([rows, columns], axis=-1).reshape(1, -1, 2).astype("float64")
    inside = np.arange(42).reshape(6, 7)[1:-1, 1:-1].reshape(-1)
    window = np.array([r * 7 + c for r in (-1, 0, 1) for c in (-1, 0, 1)])
    layer = FlexConv(1, use_bias=False, dtype="float64")
    inputs = [image.reshape(1, -1, 1), positions, (inside[:, None] + window)[None].astype("int32")]
    queries = positions[:, inside]
    layer(inputs, query_positions=queries)
    layer.set_weights([np.array([0.0, 1.0]).reshape(2, 1, 1), np.zeros((1, 1))])
    expected = sum(image[i : i + 4, 0:5] - image[i : i + 4, 2:7] for i in range(3))
    np.testing.assert_allclose(np.asarray(layer(inputs, query_positions=queries)).reshape(4, 5), expected, atol=1e-12)


def test_without_theta_and_with_itself_alone_it_is_a_dense_layer():
    (features, positions, _), _ = cloud()
    itself = np.tile(np.arange(12, dtype="int32")[None, :, None], (2, 1, 1))
    layer = layer_with_weights(FlexConv, [features, positions, itself], activation="tanh")
    theta, theta_bias, bias = layer.get_weights()
    layer.set_weights([np.zeros_like(theta), theta_bias, bias])
    np.testing.assert_allclose(layer([features, positions, itself]), np.tanh(features @ theta_bias + bias), rtol=1e-5)


def test_far_from_the_origin_the_error_stays_that_of_the_positions():
    """A hundred metres away; the sums l_i (sum f) - sum l_k f would be wrong by 5e-4."""
    rng = np.random.default_rng(0)
    offsets = rng.integers(-64, 64, size=(1, 100, 3)) / 256  # Exact in float32 there, too.
    features, neighbors = rng.normal(size=(1, 100, 16)), knn_host(offsets, 9)
    near, far = ([x.astype("float32") for x in (features, offsets + shift)] + [neighbors] for shift in (0, 100))
    layer = layer_with_weights(FlexConv, near, filters=8)
    np.testing.assert_allclose(layer(far), layer(near), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("k", [8, 16])
def test_eight_layers_keep_the_scale(k, normalize, unit):
    """Metres or millimetres; the initialisation of the authors' code leaves 1e-6 after eight layers in metres."""
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(1, 1024, 3))
    positions = (unit * positions / np.linalg.norm(positions, axis=-1, keepdims=True)).astype("float32")
    neighbors = knn_host(positions, k)
    keras.utils.set_random_seed(0)
    x = rng.normal(size=(1, 1024, 32)).astype("float32")
    scales = [1.0]
    for _ in range(8):
        x = FlexConv(32, activation="relu", normalize_positions=normalize)([x, positions, neighbors])
        scales.append(float(tf.sqrt(tf.reduce_mean(x**2))))
    # Noise loses up to the root of K where neighbours are first averaged; after that the scale stays.
    assert scales[1] > 0.9 / np.sqrt(k)
    assert 1 / 3 < scales[8] / scales[1] < 3, scales
    if normalize:
        assert np.asarray(x).std(axis=1).mean() > 0.2 * scales[8], "all points have the same features"


@pytest.mark.parametrize("layer_class", [FlexConv, FlexConvTranspose])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_positions_in_float32(layer_class, policy):
    inputs, _ = cloud(points=64, channels=16)
    inputs[1] = 500 + inputs[1] / 16  # In bfloat16 all of them would be 500.
    exact = layer_with_weights(layer_class, inputs, use_bias=False)
    tensors = [keras.Input(x.shape[1:], dtype=x.dtype) for x in inputs]
    mixed = layer_class(4, use_bias=False, dtype=policy)
    model = keras.Model(tensors, mixed(tensors))
    mixed.set_weights([weight * factor for weight, factor in zip(exact.get_weights(), (16, 1), strict=True)])
    exact.set_weights(mixed.get_weights())
    expected, outputs = np.asarray(exact(inputs)), model(inputs)
    assert outputs.dtype == policy.removeprefix("mixed_")
    assert mixed.theta.dtype == "float32"
    error = np.abs(tf.cast(outputs, "float32") - expected).max() / np.abs(expected).max()
    assert error < 0.02


@pytest.mark.parametrize("layer_class", [FlexConv, FlexConvTranspose])
def test_compiled_traced_and_reloaded_give_the_same(tmp_path, layer_class):
    tensors = [keras.Input((None, 3)), keras.Input((None, 3)), keras.Input((None, 5), dtype="int32")]
    queries = keras.Input((None, 3))
    layer = layer_class(4, normalize_positions=True, activation="relu")
    model = keras.Model([*tensors, queries], layer(tensors, query_positions=queries))
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    for points in (12, 20):
        inputs, query_positions = cloud(points, queries=points)
        expected = by_loop_of_model(layer, inputs, query_positions, layer_class)
        arguments = [*inputs, query_positions]
        for call in (model, reloaded, tf.function(model), tf.function(model, jit_compile=True)):
            np.testing.assert_allclose(call(arguments), expected, rtol=1e-4, atol=1e-5)


def by_loop_of_model(layer, inputs, queries, layer_class):
    return np.maximum(by_loop(layer, inputs, queries, transpose=layer_class is FlexConvTranspose), 0)


def test_rematerialization_changes_no_gradient():
    inputs, _ = cloud()
    gradients = []
    for mode in (None, "full"):
        with keras.RematScope(mode=mode):
            layer = layer_with_weights(FlexConv, inputs, activation="tanh")
        features = tf.constant(inputs[0])

        @tf.function
        def gradient(features, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(features)
                total = tf.reduce_sum(layer([features, *inputs[1:]]) ** 2)
            return tape.gradient(total, [features, *layer.trainable_variables])

        gradients.append(gradient(features))
    for plain, recomputed in zip(*gradients, strict=True):
        np.testing.assert_allclose(plain, recomputed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("layer_class", [FlexConv, FlexConvTranspose])
def test_in_a_graph_a_neighbor_that_does_not_exist_is_padding(layer_class, jit_compile):
    """Point 12 of the first of two clouds of 12 is not point 0 of the second."""
    inputs, _ = cloud()
    layer = layer_with_weights(layer_class, inputs, normalize_positions=True)
    wrong = inputs[2].copy()
    wrong[0, 4, 1], wrong[0, 5, 0], wrong[1, 7, 2] = 12, 2**31 - 1, 17

    @tf.function(jit_compile=jit_compile)
    def outputs_and_gradients(features, positions, neighbors):
        with tf.GradientTape() as tape:
            tape.watch([features, positions])
            outputs = layer([features, positions, neighbors])
            total = tf.reduce_sum(outputs**2)
        return outputs, *tape.gradient(total, [features, positions, *layer.trainable_variables])

    tensors = [tf.constant(x) for x in inputs[:2]]
    expected = outputs_and_gradients(*tensors, tf.constant(np.where(wrong < 12, wrong, -1)))
    for values, padded in zip(outputs_and_gradients(*tensors, tf.constant(wrong)), expected, strict=True):
        np.testing.assert_allclose(values, padded, rtol=1e-5, atol=1e-5)


def broken(index, change):
    """The inputs of `cloud` with one of them changed."""
    inputs, _ = cloud()
    inputs[index] = change(inputs[index])
    return inputs


def with_value(array, where, value):
    array = array.copy()
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (
            1,
            lambda p: with_value(p, (1, 4, 2), np.nan),
            r"positions must be finite. Received: nan at \(1, 4, 2\)",
        ),
        (1, lambda p: with_value(p, (0, 0, 0), -np.inf), r"positions must be finite. Received: -inf at \(0, 0, 0\)"),
        (1, lambda p: p[:, :0], r"positions must hold at least 1 point. Received: an empty cloud, shape=\(2, 0, 3\)"),
        (1, lambda p: p[:, :, 0], r"takes \[features, positions, neighbors\], each of three axes.*\(2, 12\)"),
        (1, lambda p: p.astype("int32"), "positions must be floating-point. Received: dtype=int32"),
        (0, lambda f: f[0], r"takes \[features, positions, neighbors\], each of three axes.*\(12, 3\)"),
        (0, lambda f: f.astype("int32"), "features must be floating-point. Received: dtype=int32"),
        (0, lambda f: f[:, :9], "agree in the number of points. Received: features has 9, positions has 12"),
        (
            0,
            lambda f: f[:1],
            "number of clouds. Received: features has 1, positions has 2, neighbors has 2",
        ),
        (
            2,
            lambda n: with_value(n, (1, 2, 3), 12),
            r"neighbors must be less than the 12 points .*12 at \(1, 2",
        ),
        (2, lambda n: n.astype("float32"), "neighbors must be integers. Received: dtype=float32"),
        (2, lambda n: n[:, :, :0], r"of which the last one is known and not 0.*\(2, 12, 0\)"),
        (2, lambda n: np.tile(n, (1, 2, 1)), "at most the 12 points of positions. Received: 24"),
    ],
)
def test_wrong_inputs_are_named(index, change, message):
    with pytest.raises(ValueError, match=message):
        FlexConv(4)(broken(index, change))


def test_wrong_arguments_are_named():
    inputs, _ = cloud()
    with pytest.raises(ValueError, match="filters must be at least 1. Received: filters=0"):
        FlexConv(0)
    with pytest.raises(ValueError, match="normalize_positions must be .* Received: normalize_positions='cloud'"):
        FlexConv(4, normalize_positions="cloud")
    with pytest.raises(ValueError, match=r"takes \[features, positions, neighbors\]"):
        FlexConv(4)(inputs[:2])
    with pytest.raises(ValueError, match="query_positions has 7, neighbors has 12"):
        FlexConv(4)(inputs, query_positions=inputs[1][:, :7])
    with pytest.raises(ValueError, match="coordinates. Received: query_positions has 2, positions has 3"):
        FlexConv(4)(inputs, query_positions=inputs[1][:, :, :2])
    with pytest.raises(ValueError, match="features has 12, neighbors has 7"):
        FlexConvTranspose(4)([*inputs[:2], inputs[2][:, :7]])
    unknown = [keras.Input((None, 3)), keras.Input((None, 3)), keras.Input((None, None), dtype="int32")]
    with pytest.raises(ValueError, match=r"the last one is known.*\(None, None, None\)"):
        FlexConv(4)(unknown)
