"""The Task: one history whatever the devices, XLA, precision and parts of a batch; and what stock Keras lacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import pipeline
from tfdlcv.training import strategies
from tfdlcv.training.task import NonFiniteLossError, Player, Task, batch_weight, network_inputs

BATCH, STEPS = 32, 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 4, 270).astype("int32")
    images = (rng.rand(270, 8, 8, 1) + np.eye(4)[labels].repeat(16, axis=1).reshape(270, 8, 8, 1)).astype("float32")

    def fetch(indices):
        return {"image": tf.gather(images, indices), "label": tf.gather(labels, indices)}

    return pipeline.Datasets(pipeline.Split(256, fetch, str), pipeline.Split(90, fetch, str))


@pytest.fixture(autouse=True)
def float32():
    yield
    keras.config.set_dtype_policy("float32")


def strategy(replicas):
    return strategies._mirrored(("CPU:0", "CPU:1")) if replicas == 2 else tf.distribute.get_strategy()


def small_network(batch_norm=False, dropout=0.0, regularizer=None, synchronized=False):
    inputs = x = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(8, 3)(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(synchronized=synchronized)(x)
    x = keras.layers.Dropout(dropout)(keras.layers.ReLU()(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(4, dtype="float32", kernel_regularizer=regularizer)(x))


def cross_entropy(batch, logits):
    losses = keras.losses.sparse_categorical_crossentropy(batch["label"], logits, from_logits=True)
    valid = keras.ops.cast(batch["valid"], "float32")
    return {"cross_entropy": keras.ops.sum(losses * valid) / keras.ops.maximum(keras.ops.sum(valid), 1.0)}


def make_task(replicas=1, *, optimizer=None, steps_per_execution=1, network=None, losses=cross_entropy, **options):
    with strategy(replicas).scope():
        keras.utils.set_random_seed(3)
        task = Task(
            (network or small_network)(),
            losses=losses,
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            **options,
        )
        optimizer = optimizer() if optimizer else keras.optimizers.Adam(3e-3)
        task.compile(optimizer, steps_per_execution=steps_per_execution, steps_per_epoch=STEPS)
    return task


def batches(data, replicas, start_step=0):
    return pipeline.distribute(
        strategy(replicas),
        lambda **shard: pipeline.training_dataset(data, batch_size=BATCH, seed=7, start_step=start_step, **shard),
        BATCH,
    )


def validation(data, replicas):
    return pipeline.distribute(
        strategy(replicas),
        lambda **shard: pipeline.evaluation_dataset(data.validation, batch_size=BATCH, **shard),
        BATCH,
    )


def fit(task, data, replicas=1, *, epochs=2, callbacks=(), initial_epoch=0, start_step=0):
    return task.fit(
        batches(data, replicas, start_step),
        epochs=epochs,
        initial_epoch=initial_epoch,
        steps_per_epoch=STEPS,
        validation_data=validation(data, replicas),
        validation_steps=3,
        callbacks=list(callbacks),
        verbose=0,
    ).history


def assert_same_history(actual, expected, tolerance=1e-5):
    assert set(actual) == set(expected)
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=tolerance, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def reference(data):
    return fit(make_task(), data)


def test_trains_as_keras_itself_does(data, reference):
    """Against bare Keras fit on the same network, batches and optimizer."""
    keras.utils.set_random_seed(3)
    network = small_network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(
        keras.optimizers.Adam(3e-3), loss, metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    )
    pairs = batches(data, 1).map(lambda batch: (batch["image"], batch["label"]))
    history = network.fit(pairs, epochs=2, steps_per_epoch=STEPS, verbose=0).history
    assert reference["loss"][-1] < 0.8 * reference["loss"][0]
    np.testing.assert_allclose(reference["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(reference["accuracy"], history["accuracy"], rtol=1e-6)


def test_validation_counts_the_padded_batch_by_its_real_examples(data, reference):
    """90 examples in 3 batches of 32: the last holds 26, and weighs 26."""
    task = make_task()
    fit(task, data)
    every = data.validation.fetch(tf.range(90))
    logits = task.network(every["image"])
    losses = keras.losses.sparse_categorical_crossentropy(every["label"], logits, from_logits=True)
    assert reference["val_loss"][-1] == pytest.approx(float(np.mean(losses)), rel=1e-5)
    correct = np.argmax(logits, axis=1) == every["label"].numpy()
    assert reference["val_accuracy"][-1] == pytest.approx(correct.mean(), rel=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("xla", [False, True])
def test_same_history_on_one_device_and_two_replicas_with_and_without_xla(data, reference, replicas, xla):
    assert_same_history(fit(make_task(replicas, xla=xla), data, replicas), reference)


@pytest.mark.parametrize("replicas, xla, parts", [(1, False, 4), (2, True, 2)])
def test_accumulation_over_parts_gives_the_gradient_of_the_whole_batch(data, reference, replicas, xla, parts):
    assert_same_history(fit(make_task(replicas, xla=xla, accumulation_steps=parts), data, replicas), reference)


def test_accumulation_takes_the_sparse_gradients_of_embeddings(data):
    def history(parts):
        keras.utils.set_random_seed(0)
        tokens = keras.Input((4,), dtype="int32", name="token")
        x = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(tokens))
        task = Task(
            keras.Model(tokens, keras.layers.Dense(2)(x)),
            losses=lambda batch, outputs: {"square": keras.ops.mean((outputs - 1) ** 2)},
            accumulation_steps=parts,
        )
        task.compile(keras.optimizers.SGD(0.1))
        batch = {"token": np.arange(16, dtype="int32").reshape(4, 4) % 10}
        return task.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=3, verbose=0).history

    assert_same_history(history(2), history(1))


def test_accumulation_computes_one_part_at_a_time(data):
    task = make_task(accumulation_steps=4, network=lambda: small_network(batch_norm=True, dropout=0.3))
    counter = next(v for v in task.network.non_trainable_variables if v.path.endswith("seed_generator_state"))
    before = counter.numpy()
    fit(task, data, epochs=1)
    assert list(counter.numpy() - before) == [0, 4 * STEPS]  # A dropout mask for each part of each step.


@pytest.mark.parametrize("steps_per_execution", [3, 8])
def test_several_steps_per_execution(data, reference, steps_per_execution):
    """3 does not divide the 8 steps of an epoch, nor the 3 batches of validation with 2 replicas."""
    task = make_task(2, steps_per_execution=steps_per_execution)
    assert_same_history(fit(task, data, 2), reference)
    assert task.step == 16


@pytest.mark.parametrize("clipping", [{"global_clipnorm": 0.1}, {"clipnorm": 0.05}, {"clipvalue": 1e-3}])
def test_the_gradient_is_clipped_after_it_is_summed_over_replicas(data, clipping):
    """SGD, because Adam hides a factor. Stock Keras clips each replica's own gradient."""
    one, two = (
        fit(make_task(replicas, optimizer=lambda: keras.optimizers.SGD(0.5, **clipping)), data, replicas)
        for replicas in (1, 2)
    )
    assert_same_history(two, one)
    free = fit(make_task(optimizer=lambda: keras.optimizers.SGD(0.5)), data)
    assert abs(free["loss"][0] - one["loss"][0]) > 1e-2


def test_gradient_norm_in_the_logs_is_that_of_the_whole_batch(data):
    """With SGD at rate 1 the weights move by the gradient, at most by its norm over one step."""
    task = make_task(2, optimizer=lambda: keras.optimizers.SGD(1.0))
    before = [v.numpy() for v in task.network.trainable_variables]
    seen = {}

    def record(step, logs):
        seen[step] = logs

    stop = keras.callbacks.LambdaCallback(on_train_batch_end=record)
    task.fit(batches(data, 2), epochs=1, steps_per_epoch=1, callbacks=[stop], verbose=0)
    moved = [v.numpy() - b for v, b in zip(task.network.trainable_variables, before, strict=True)]
    norm = np.sqrt(sum((m**2).sum() for m in moved))
    assert float(seen[0]["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    assert float(seen[0]["learning_rate"]) == 1.0


def test_replicas_draw_different_dropout_masks_and_steps_do_too():
    """A network that returns its mask; the same seed gives the same masks again."""

    def masks():
        with strategy(2).scope():
            keras.utils.set_random_seed(0)
            inputs = keras.Input((16,), name="image")
            x = keras.layers.Dropout(0.5, seed=1)(inputs)
            network = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(x) * 0.0 + x)
            seen = []

            def losses(batch, outputs):
                tf.py_function(lambda values: seen.append(values.numpy()), [outputs], [])
                return {"loss": keras.ops.mean(outputs)}

            task = Task(network, losses=losses)
            task.compile(keras.optimizers.SGD(0.1))
        ones = tf.data.Dataset.from_tensors({"image": tf.ones((2, 16))}).repeat()
        task.fit(strategy(2).distribute_datasets_from_function(lambda _: ones), steps_per_epoch=3, verbose=0)
        return sorted(tuple(mask.ravel()) for mask in seen)

    first = masks()
    assert len(first) == 6 and len(set(first)) == 6
    assert masks() == first


def test_statistics_of_batch_normalisation_are_averaged_over_replicas(data):
    task = make_task(2, network=lambda: small_network(batch_norm=True), xla=True)
    fit(task, data, 2, epochs=1)
    layer = next(x for x in task.network.layers if isinstance(x, keras.layers.BatchNormalization))
    copies = [v.numpy() for v in strategy(2).experimental_local_results(layer.moving_mean.value)]
    np.testing.assert_array_equal(copies[0], copies[1])
    assert np.abs(copies[0]).max() > 1e-3


def test_synchronized_batch_normalisation_equals_one_device(data):
    one = fit(make_task(network=lambda: small_network(batch_norm=True)), data)
    two = fit(make_task(2, network=lambda: small_network(batch_norm=True, synchronized=True)), data, 2)
    assert_same_history(two, one, tolerance=2e-3)  # Keras's two forms of the variance differ in float32.
    local = fit(make_task(2, network=lambda: small_network(batch_norm=True)), data, 2)
    assert abs(local["loss"][-1] - one["loss"][-1]) > 10 * abs(two["loss"][-1] - one["loss"][-1])


@pytest.mark.parametrize("precision, replicas, xla", [("mixed_bfloat16", 2, True), ("mixed_float16", 2, False)])
def test_mixed_precision_stays_near_float32(data, reference, precision, replicas, xla):
    keras.config.set_dtype_policy(precision)

    def scaled():
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(3e-3), initial_scale=2.0**10)

    task = make_task(replicas, xla=xla, optimizer=scaled if precision == "mixed_float16" else None)
    history = fit(task, data, replicas)
    np.testing.assert_allclose(history["loss"], reference["loss"], rtol=2e-2)
    np.testing.assert_allclose(history["gradient_norm"], reference["gradient_norm"], rtol=0.1)
    assert task.network.layers[1].compute_dtype == precision.removeprefix("mixed_")


def test_loss_scaling_skips_the_step_that_overflows_and_halves_the_scale(data):
    keras.config.set_dtype_policy("mixed_float16")
    task = make_task(
        optimizer=lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=2.0**120)
    )
    before = task.network.get_weights()
    task.fit(batches(data, 1), epochs=1, steps_per_epoch=1, verbose=0)
    for old, new in zip(before, task.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(task.optimizer.dynamic_scale.numpy()) == 2.0**119


def test_ema_is_the_average_that_its_formula_gives_and_evaluation_uses_it(data):
    task = make_task(2, ema_momentum=0.9)
    kernel = task.network.trainable_variables[0]
    expected = kernel.numpy()
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(kernel.numpy())

    history = fit(task, data, 2, epochs=1, callbacks=[Watch()])
    for step, value in enumerate(seen, start=1):
        momentum = min(0.9, (1 + step) / (10 + step))
        expected = momentum * expected + (1 - momentum) * value
    np.testing.assert_allclose(task._averages[0].numpy(), expected, rtol=1e-5, atol=1e-7)
    task.assign_average()
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-5, atol=1e-7)
    plain = make_task(2)
    plain.network.set_weights(task.network.get_weights())
    logs = plain.evaluate(validation(data, 2), steps=3, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


def test_frozen_layers_stay_and_losses_of_layers_count(data):
    def network():
        model = small_network(batch_norm=True, regularizer=keras.regularizers.L2(0.01))
        model.layers[1].trainable = False
        return model

    task = make_task(2, network=network, xla=True)
    before = [w.numpy() for w in task.network.layers[1].weights]
    history = fit(task, data, 2, epochs=1)
    for old, new in zip(before, task.network.layers[1].weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    penalty = 0.01 * (task.network.layers[-1].kernel.numpy() ** 2).sum()
    assert history["layers_loss"][-1] == pytest.approx(penalty, rel=0.05)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_a_loss_that_is_not_finite_stops_at_its_step(data, steps_per_execution):
    def losses(batch, logits):
        poisoned = keras.ops.any(batch["id"] == keras.ops.cast(bad_id, "int64"))
        return {"loss": cross_entropy(batch, logits)["cross_entropy"] / keras.ops.where(poisoned, 0.0, 1.0)}

    bad_id = int(pipeline.step_indices(5, num_examples=256, batch_size=BATCH, seed=7)[9])
    task = make_task(2, losses=losses, steps_per_execution=steps_per_execution)
    with pytest.raises(NonFiniteLossError) as caught:
        fit(task, data, 2, epochs=1)
    assert caught.value.step == 5


def test_a_gradient_that_is_not_finite_stops_at_its_step(data):
    """sqrt at 0 has a finite value and an infinite slope: the weights, and what is saved of them, would be lost."""

    def losses(batch, logits):
        return {"loss": keras.ops.sum(keras.ops.sqrt(logits * 0.0))}

    task = make_task(losses=losses)
    with pytest.raises(NonFiniteLossError) as caught:
        fit(task, data, epochs=1)
    assert caught.value.step == 0


def test_resuming_within_an_epoch_reports_the_whole_epoch(data, reference):
    """Train 11 steps, carry the state over to a new task, and go on: epoch 2 starts after its third step."""

    class StopAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.step == 11:
                state.update({name: v.numpy() for name, v in self.model.state().items()})
                self.model.stop_training = True

    state = {}
    fit(make_task(), data, callbacks=[StopAt()])
    resumed = make_task()
    for name, variable in resumed.state().items():
        variable.assign(state[name])
    resumed.resume_at(11, 3)
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: steps.append(step))
    history = fit(resumed, data, initial_epoch=1, start_step=11, callbacks=[count])
    assert resumed.step == 16 and steps == [*range(STEPS)]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert history[name][-1] == pytest.approx(reference[name][-1], rel=1e-6), name


@pytest.mark.parametrize("replicas, xla", [(1, False), (2, True)])
def test_two_players_with_their_own_optimizers_and_step_ratio(replicas, xla):
    """min over x of max over y of x * y: each player moves only its own variable, the second every third step."""

    with strategy(replicas).scope():
        x, y = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)], name=n) for n in "xy")
        for network in (x, y):
            network.layers[0].kernel.assign([[1.0]])

        def forward(batch, training):
            return {"x": x(batch["one"]), "y": y(batch["one"])}

        def of_x(batch, out):
            return {"value": keras.ops.mean(out["x"] * out["y"])}

        def of_y(batch, out):
            return {"value": -keras.ops.mean(out["x"] * out["y"])}

        task = Task(
            {"x": x, "y": y},
            players=[Player("x", [x], forward, of_x), Player("y", [y], forward, of_y, every=3)],
            xla=xla,
        )
        task.compile({"x": keras.optimizers.SGD(0.1), "y": keras.optimizers.SGD(0.2)})
    data = tf.data.Dataset.from_tensors({"one": tf.ones((4, 1))}).repeat()
    path, seen = [], []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            path.append((x.layers[0].kernel.numpy().item(), y.layers[0].kernel.numpy().item()))
            seen.append(logs)

    distributed = strategy(replicas).distribute_datasets_from_function(lambda _: data)
    task.fit(distributed, steps_per_epoch=7, verbose=0, callbacks=[Watch()])
    expected, a, b = [], 1.0, 1.0
    for step in range(7):
        a -= 0.1 * b
        if step % 3 == 0:
            b += 0.2 * a  # The second player sees the first one's move.
        expected.append((a, b))
    np.testing.assert_allclose(path, expected, rtol=1e-5)
    assert float(seen[0]["x_learning_rate"]) == pytest.approx(0.1) and "y_gradient_norm" in seen[0]
    assert "y_gradient_norm" not in seen[1]


def test_clear_errors():
    network = small_network()
    with pytest.raises(ValueError, match="either losses"):
        Task(network)
    task = Task(network, losses=cross_entropy)
    with pytest.raises(ValueError, match=r"Players: \['network'\]. Received: \['other'\]"):
        task.compile({"other": keras.optimizers.SGD()})
    with pytest.raises(ValueError, match=r"lacks the network's inputs \['image'\]. Received: \['picture'\]"):
        network_inputs(network, {"picture": tf.zeros((1, 8, 8, 1))})


def test_batch_weight():
    assert float(batch_weight({"valid": tf.constant([True, False, True])})) == 2
    assert float(batch_weight({"image": tf.zeros((5, 2))})) == 5


def test_the_private_hooks_of_keras_are_still_there():
    """Task overrides two private methods; a Keras release that drops or renames them must fail here."""
    assert callable(keras.Model._maybe_symbolic_build)
    assert callable(keras.optimizers.SGD()._all_reduce_sum_gradients)


def test_stock_keras_still_cannot_compile_across_replicas(data):
    """The reason for Task's own step. When this fails, Keras has learnt it, and the step may become simpler."""
    with strategy(2).scope():
        network = small_network()
        network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    pairs = tf.data.Dataset.from_tensors((tf.zeros((4, 8, 8, 1)), tf.zeros((4,), tf.int32)))
    with pytest.raises(Exception, match="(?s)Trying to access resource|JIT|jit|XLA"):
        network.fit(pairs, verbose=0)
