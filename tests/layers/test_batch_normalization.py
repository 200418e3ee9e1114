import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.layers import BatchNormalization

SHAPE = (6, 5, 4, 8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_pair(shape, rng, **arguments):
    """Our layer and Keras's, with the same random weights."""
    layers = [cls(**arguments) for cls in (BatchNormalization, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.build(shape)
    values = [rng.uniform(0.5, 1.5, weight.shape).astype("float32") for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def run(layer, x, weights, *, training, mask=None):
    """-> outputs, gradients for inputs and parameters, and the moving statistics afterwards."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=training, mask=mask)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * weights)
    gradients = tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])
    return outputs, gradients, [variable.value for variable in layer.non_trainable_variables]


def assert_same_numbers(shape, rng, *, training, mask=None, mean=0.3, tolerance=1e-5, **arguments):
    ours, keras_layer = make_pair(shape, rng, **arguments)
    x = tf.cast(rng.normal(mean, 2.0, shape), ours.compute_dtype)
    weights = tf.constant(rng.normal(size=shape), "float32")
    actual = run(ours, x, weights, training=training, mask=mask)
    expected = run(keras_layer, x, weights, training=training, mask=mask)
    assert actual[0].dtype == expected[0].dtype
    for actual_value, expected_value in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        actual_value, expected_value = (np.asarray(tf.cast(v, "float64")) for v in (actual_value, expected_value))
        scale = max(1.0, np.abs(expected_value).max(initial=0.0))
        np.testing.assert_allclose(actual_value, expected_value, rtol=0, atol=tolerance * scale)


def op_types(layer, shape, *, training, dtype="float32", jit_compile=False):
    """The operations that a call of `layer` and its gradient put into a graph."""

    @tf.function(jit_compile=jit_compile)
    def call(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
        return tape.gradient(outputs, x)

    graph = call.get_concrete_function(tf.TensorSpec(shape, dtype)).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(9, 8), (6, 7, 8), SHAPE, (2, 3, 4, 5, 8), (2, 2, 3, 2, 3, 8)])
def test_numbers_are_keras_numbers_for_every_rank(shape, training, rng):
    assert_same_numbers(shape, rng, training=training)


@pytest.mark.parametrize(
    "arguments",
    [
        {"axis": 1},
        {"axis": 2},
        {"axis": 3},
        {"momentum": 0.0},
        {"momentum": 1.0},
        {"momentum": 0.5},
        {"epsilon": 1e-1},
        {"center": False},
        {"scale": False},
        {"center": False, "scale": False},
        {"renorm": True, "renorm_clipping": {"rmax": 2.0, "rmin": 0.5, "dmax": 1.0}},
        {"synchronized": True},
        {"trainable": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_numbers_are_keras_numbers_for_every_argument(arguments, training, rng):
    assert_same_numbers(SHAPE, rng, training=training, **arguments)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1e-8])
def test_small_epsilons_are_not_raised(epsilon, training):
    # A channel of variance 1e-8 tells an epsilon of 1e-5 from the 1.001e-5 to which tf.nn.fused_batch_norm raises it.
    spread = 1e-4
    x = spread * np.tile(np.array([-1.0, 1.0], "float32")[:, None], (32, 1)).reshape(16, 2, 2, 1)
    layer = BatchNormalization(epsilon=epsilon, moving_variance_initializer=keras.initializers.Constant(spread**2))
    outputs = layer(x, training=training)
    np.testing.assert_allclose(np.abs(outputs), spread / np.sqrt(spread**2 + epsilon), rtol=1e-5)


def test_hand_computed_step():
    layer = BatchNormalization(momentum=0.9, epsilon=1.0)
    x = np.array([1.0, 2.0, 3.0, 6.0], "float32").reshape(1, 2, 2, 1)  # Mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5.
    outputs = layer(x, training=True)
    np.testing.assert_allclose(np.ravel(outputs), np.array([-2, -1, 0, 3]) / np.sqrt(4.5), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [0.3], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), [0.9 + 0.35], rtol=1e-6)


@pytest.mark.parametrize("mean", [100.0, 1000.0])
def test_large_means_lose_no_variance(mean, rng):
    ours, _ = make_pair(SHAPE, rng, momentum=0.0)
    x = rng.normal(mean, 1.0, (64, *SHAPE[1:])).astype("float32")
    ours(x, training=True)
    np.testing.assert_allclose(ours.moving_variance.numpy(), x.astype("float64").var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("mean", [0.3, 1000.0])
@pytest.mark.parametrize("training", [True, False])
def test_numbers_under_xla(mean, training, rng):
    ours, keras_layer = make_pair(SHAPE, rng)
    x = tf.constant(rng.normal(mean, 1.0, SHAPE), "float32")
    weights = tf.constant(rng.normal(size=SHAPE), "float32")
    results = []
    for layer in (ours, keras_layer):

        @tf.function(jit_compile=True)
        def step(trainable, non_trainable, x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch([trainable, x])
                outputs, updated = layer.stateless_call(trainable, non_trainable, x, training=training)
                loss = tf.reduce_sum(outputs * weights)
            return outputs, tape.gradient(loss, [trainable, x]), updated

        values = [[v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
        results.append(tf.nest.flatten(step(*values, x)))
    for actual, expected in zip(*results, strict=True):
        assert np.all(np.isfinite(actual))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


# The two forms differ by less than one rounding of the activations: 2^-8 for bfloat16, 2^-11 for float16.
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11)])
@pytest.mark.parametrize("training", [True, False])
def test_numbers_in_mixed_precision(policy, tolerance, training, rng):
    assert_same_numbers(SHAPE, rng, training=training, mean=3.0, tolerance=tolerance, dtype=policy)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64", "mixed_bfloat16", "mixed_float16"])
def test_dtypes_are_keras_dtypes(policy, rng):
    layers = make_pair(SHAPE, rng, dtype=policy)
    x = rng.normal(size=SHAPE).astype("float32")
    dtypes = [
        (layer(x, training=True).dtype, layer(x).dtype, *(weight.dtype for weight in layer.weights)) for layer in layers
    ]
    assert dtypes[0] == dtypes[1]
    for actual, expected in zip(layers[0].weights, layers[1].weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(actual).astype("float32"),
            keras.ops.convert_to_numpy(expected).astype("float32"),
            rtol=2**-7,
        )


def test_whole_numbers_are_normalised_in_float32(rng):
    ours, keras_layer = make_pair((4, 3, 3, 2), rng, autocast=False)
    x = tf.constant(rng.integers(0, 256, (4, 3, 3, 2)), "uint8")
    np.testing.assert_allclose(ours(x, training=True), keras_layer(x, training=True), atol=1e-5)


def test_mask_leaves_positions_out_of_the_statistics(rng):
    mask = tf.constant(rng.random(SHAPE[:-1]) < 0.6)
    assert_same_numbers(SHAPE, rng, training=True, mask=mask)
    x = rng.normal(size=SHAPE).astype("float32")
    layer = BatchNormalization(momentum=0.0)
    layer(x, training=True, mask=mask)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x[mask.numpy()].mean(0), rtol=1e-4, atol=1e-6)


def test_mask_of_wrong_rank_is_refused(rng):
    with pytest.raises(ValueError, match=r"mask.shape=\(6, 5, 4, 8\)"):
        BatchNormalization()(np.zeros(SHAPE, "float32"), training=True, mask=np.ones(SHAPE, bool))


def test_arguments_are_applied_to_the_weights():
    layer = BatchNormalization(
        beta_initializer=keras.initializers.Constant(2.0),
        gamma_initializer=keras.initializers.Constant(3.0),
        moving_mean_initializer=keras.initializers.Constant(4.0),
        moving_variance_initializer=keras.initializers.Constant(5.0),
        beta_regularizer=keras.regularizers.L2(0.1),
        gamma_regularizer=keras.regularizers.L1(0.1),
        beta_constraint=keras.constraints.MaxNorm(1.0),
        gamma_constraint=keras.constraints.NonNeg(),
    )
    layer.build((None, 3, 3, 1))
    assert [float(weight.numpy()[0]) for weight in layer.weights] == [3.0, 2.0, 4.0, 5.0]
    np.testing.assert_allclose(sorted(float(loss) for loss in layer.losses), [0.1 * 3.0, 0.1 * 2.0**2], rtol=1e-6)
    assert isinstance(layer.beta.constraint, keras.constraints.MaxNorm)
    assert isinstance(layer.gamma.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_value_a_channel(count, rng):
    ours, keras_layer = make_pair((count, 1, 1, 3), rng)
    x = rng.normal(size=(count, 1, 1, 3)).astype("float32")
    np.testing.assert_allclose(ours(x, training=True), keras_layer(x, training=True), atol=1e-5)
    for actual, expected in zip(ours.get_weights(), keras_layer.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_zero_gamma_still_learns(rng):
    x = tf.constant(rng.normal(size=SHAPE), "float32")
    weights = tf.constant(rng.normal(size=SHAPE), "float32")
    layer = BatchNormalization(gamma_initializer="zeros")
    layer.build(SHAPE)
    outputs, (x_gradient, gamma_gradient, _), _ = run(layer, x, weights, training=True)
    np.testing.assert_array_equal(outputs, np.zeros(SHAPE))
    np.testing.assert_array_equal(x_gradient, np.zeros(SHAPE))
    assert np.abs(gamma_gradient).min() > 0.1


def test_second_derivatives(rng):
    ours, keras_layer = make_pair(SHAPE, rng)
    x = tf.constant(rng.normal(size=SHAPE), "float32")
    weights = tf.constant(rng.normal(size=SHAPE), "float32")
    results = []
    for layer in (ours, keras_layer):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x, training=True) ** 2 * weights)
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        results.append(outer.gradient(penalty, x).numpy())
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4 * np.abs(results[1]).max())


@pytest.mark.parametrize(
    ("arguments", "shape", "dtype"),
    [
        ({}, SHAPE, "float32"),
        ({}, (None, None, None, 8), "float32"),
        ({"dtype": "mixed_bfloat16"}, (None, 5, 8), "bfloat16"),
        ({"dtype": "mixed_float16"}, (2, 3, 4, 5, 8), "float16"),
    ],
)
def test_fused_kernel_is_used(arguments, shape, dtype):
    layer = BatchNormalization(**arguments)
    layer.build(shape)
    types = op_types(layer, shape, training=True, dtype=dtype)
    assert {"FusedBatchNormV3", "FusedBatchNormGradV3"} <= types
    assert "FusedBatchNormV3" in op_types(layer, shape, training=False, dtype=dtype)


@pytest.mark.parametrize(
    ("arguments", "dtype", "jit_compile"),
    [
        ({}, "float32", True),
        ({"axis": 1}, "float32", False),
        ({"synchronized": True}, "float32", False),
        ({"renorm": True}, "float32", False),
        ({"trainable": False}, "float32", False),
        ({"dtype": "float64"}, "float64", False),
    ],
)
def test_fused_kernel_is_not_used(arguments, dtype, jit_compile):
    layer = BatchNormalization(**arguments)
    layer.build(SHAPE)
    assert "FusedBatchNormV3" not in op_types(layer, SHAPE, training=True, dtype=dtype, jit_compile=jit_compile)


def test_frozen_layer_keeps_its_statistics(rng):
    layer, _ = make_pair(SHAPE, rng, trainable=False)
    before = [weight.numpy() for weight in layer.weights]
    x = rng.normal(size=SHAPE).astype("float32")
    np.testing.assert_allclose(layer(x, training=True), layer(x, training=False), atol=1e-6)
    np.testing.assert_array_equal(before, [weight.numpy() for weight in layer.weights])


def test_stateless_call_returns_the_statistics_and_assigns_none(rng):
    layer, other = make_pair(SHAPE, rng)
    x = rng.normal(size=SHAPE).astype("float32")
    before = [weight.numpy() for weight in layer.weights]
    values = [[v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
    _, updated = layer.stateless_call(*values, x, training=True)
    np.testing.assert_array_equal(before, [weight.numpy() for weight in layer.weights])
    other(x, training=True)
    for actual, expected in zip(updated, other.non_trainable_variables, strict=True):
        np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-5)


def small_network(layer_class=BatchNormalization):
    image = keras.Input((6, 6, 2), name="image")
    x = keras.layers.Conv2D(4, 3, use_bias=False)(image)
    x = layer_class(momentum=0.7, name="batch_normalization")(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


def test_fit_is_keras_fit(rng):
    x, y = rng.normal(size=(16, 6, 6, 2)).astype("float32"), rng.integers(0, 3, 16)
    weights = []
    for layer_class in (BatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(0)
        network = small_network(layer_class)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        network.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(network.get_weights())
    for actual, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_saves_loads_and_exports(tmp_path, rng):
    network = small_network()
    x = rng.normal(2.0, size=(8, 6, 6, 2)).astype("float32")
    network(x, training=True)
    expected = network(x)
    network.save(tmp_path / "network.keras")
    reloaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(reloaded.get_layer("batch_normalization")) is BatchNormalization
    np.testing.assert_allclose(reloaded(x), expected, atol=1e-6)
    network.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(exported.serve(x), expected, atol=1e-6)


def test_weights_move_to_and_from_keras_layer(tmp_path, rng):
    network, stock = small_network(), small_network(keras.layers.BatchNormalization)
    x = rng.normal(size=(8, 6, 6, 2)).astype("float32")
    network(x, training=True)
    network.save_weights(tmp_path / "ours.weights.h5")
    stock.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_allclose(stock(x), network(x), atol=1e-5)


MIRRORED = """
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfdlcv.layers import BatchNormalization

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
means = (0.0, 5.0)
parts = [tf.random.stateless_normal((6, 5, 4, 8), (0, 1), mean) for mean in means]
with strategy.scope():
    layer = BatchNormalization(momentum=0.0)
    layer.build((None, None, None, 8))
x = strategy.experimental_distribute_values_from_function(lambda context: parts[context.replica_id_in_sync_group])

@tf.function
def step(x, training):
    return strategy.run(lambda x: layer(x, training=training), args=(x,))

outputs = strategy.experimental_local_results(step(x, True))
means = strategy.experimental_local_results(layer.moving_mean._value)
for part, output, mean in zip(parts, outputs, means, strict=True):
    np.testing.assert_allclose(tf.reduce_mean(output, (0, 1, 2)), np.zeros(8), atol=1e-5)
    np.testing.assert_allclose(mean, tf.reduce_mean(part, (0, 1, 2)), rtol=1e-4, atol=1e-6)
for output in strategy.experimental_local_results(step(x, False)):
    np.testing.assert_allclose(tf.reduce_mean(output, (0, 1, 2)), np.zeros(8), atol=1e-5)
print("replicas agree")
"""


def test_each_mirrored_replica_has_its_own_statistics():
    # A process of its own: logical devices can only be made before TensorFlow starts.
    done = subprocess.run([sys.executable, "-c", MIRRORED], capture_output=True, text=True, timeout=120, check=False)
    assert "replicas agree" in done.stdout, done.stderr[-2000:]
