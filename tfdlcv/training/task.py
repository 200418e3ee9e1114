"""The training rule as a `keras.Model`: Keras's own `fit`, `evaluate` and callbacks around a pure step.

One training step on each replica:

1. read the variables, and compute gradients by a function that is pure in them; XLA compiles that function alone,
   because stock Keras, which compiles the function that spans the replicas, cannot (keras issues 17187, 18145, 19005);
2. sum the gradients over replicas; the optimizer clips and applies the global gradient, the same on every replica;
3. write the new moving statistics and seeds back, and update the metrics.

Several networks that play against each other are several `Player`s, updated one after the other in the same step.

Shape legend: B examples on one replica.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.models.weight_names import name_in_checkpoints
from tfdlcv.training import pure_step
from tfdlcv.training import variables as variable_values
from tfdlcv.training.batches import Batch, batch_weight, default_metric_inputs, network_inputs
from tfdlcv.training.pure_step import Player


class NonFiniteLossError(ArithmeticError):
    """The loss of global step `step`, or its gradient, was NaN or infinite."""

    def __init__(self, step: int):
        super().__init__(f"the loss of step {step}, or its gradient, is not finite")
        self.step = step


class Task(keras.Model):
    """Trains one network, or several, in batches that are dicts of named tensors.

    Args:
        network: Functional network whose input names are keys of the batch. It is what is exported. Several networks:
            a dict of them by name, with `players`.
        losses: (batch, outputs) -> {name: () scalar}, the training rule of a single network.
        players: The training rule of several networks; the first one's forward and losses are those of evaluation.
        metrics: Updated in training and evaluation; each result is a scalar.
        evaluation_metrics: Updated in evaluation only. A result that is not a scalar stays out of the logs.
        metric_inputs: (batch, outputs) -> arguments of every metric's `update_state`. Default: the labels, the outputs
            and `valid`, where the batch has it, as sample weight.
        initialize: Gives the networks weights from elsewhere; `begin` calls it.
        xla: Compile the pure step of each replica with XLA.
        accumulation_steps: Parts into which a replica's batch is cut; their gradients are averaged.
        ema_momentum: If set, an exponential moving average of weights and moving statistics is kept, and is what
            evaluation and `assign_average` use. Its momentum at step s is min(ema_momentum, (1 + s) / (10 + s)), so
            that a short run does not average in its beginning (as tf.train.ExponentialMovingAverage does).

    Batches with a boolean `valid` (B,) weigh by the number of true entries in the loss's mean over batches.
    """

    def __init__(
        self,
        network: keras.Model | dict[str, keras.Model],
        *,
        losses: Callable[[Batch, object], dict[str, tf.Tensor]] | None = None,
        players: Sequence[Player] = (),
        metrics: Sequence[keras.metrics.Metric] = (),
        evaluation_metrics: Sequence[keras.metrics.Metric] = (),
        metric_inputs: Callable[[Batch, object], tuple] | None = None,
        initialize: Callable[[], None] | None = None,
        xla: bool = False,
        accumulation_steps: int = 1,
        ema_momentum: float | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if (losses is None) == (not players):
            raise ValueError("a Task takes either losses (one network) or players (several), and not both")
        self.networks = dict(network) if isinstance(network, dict) else {"network": network}
        self.network = next(iter(self.networks.values()))
        self.players = list(players) or [Player("network", [self.network], self._forward_network, losses)]
        self.output_metrics = list(metrics)
        self.evaluation_metrics = list(evaluation_metrics)
        self.metric_inputs = metric_inputs or default_metric_inputs
        self.initialize = initialize
        self.xla = xla
        self.accumulation_steps = accumulation_steps
        self.ema_momentum = ema_momentum
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.step = 0
        self._epoch_step = 0  # Steps of the current epoch that are done or skipped.
        self._steps_per_epoch: int | None = None
        self._skipped_steps = 0
        self._evaluation_steps_left: int | None = None
        self._resumed_metrics: dict[str, object] | None = None
        self._averages = self._make_averages() if ema_momentum is not None else []
        self._players_optimizers: dict[str, keras.optimizers.Optimizer] = {}
        # Keras would otherwise call this model on a batch of data to build it; its networks are built.
        self.built = True

    # -- Keras's interface -------------------------------------------------------------------------------------------

    def compile(self, optimizer, *, steps_per_execution: int = 1, steps_per_epoch: int | None = None):
        """Takes an optimizer, or one for each player by name. Call it inside the strategy's scope.

        Args:
            steps_per_epoch: Length of an epoch, where `fit` is given one: executions of several steps then stop at
                the end of an epoch instead of running into the next.
        """
        names = [player.name for player in self.players]
        optimizers = optimizer if isinstance(optimizer, dict) else {names[0]: optimizer}
        if sorted(optimizers) != sorted(names):
            raise ValueError(
                f"compile takes one optimizer for each player. Players: {names}. Received: {[*optimizers]}"
            )
        super().compile(optimizer=optimizers[names[0]], jit_compile=False, steps_per_execution=steps_per_execution)
        self._players_optimizers = optimizers
        self._steps_per_epoch = steps_per_epoch
        for player in self.players:
            player_optimizer = optimizers[player.name]
            if not player_optimizer.built:
                player_optimizer.build(player.variables)
            _apply_reduced_gradients(player_optimizer)

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizer of each player."""
        return dict(self._players_optimizers)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_mean, *self.output_metrics, *self.evaluation_metrics]

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    def evaluate(self, x=None, *args, steps=None, **kwargs):
        self._evaluation_steps_left = steps
        return super().evaluate(x, *args, steps=steps, **kwargs)

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            self.train_function = self._train_function()
        return self.train_function

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self.test_function = self._test_function()
        return self.test_function

    def reset_metrics(self):
        super().reset_metrics()
        self._epoch_step = 0

    def get_metrics_result(self):
        return {metric.name: metric.result() for metric in [self.loss_mean, *self.output_metrics]}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: Keras's form, private, cannot take the batches of several workers (keras issue 20585)."""

    # -- State -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, keras.Variable]:
        """Every variable that a run needs to go on from here exactly: networks, averages, optimizers, metrics."""
        state: dict[str, keras.Variable] = {}
        for name, network in self.networks.items():
            _add_named(state, name, network.variables)
        _add_named(state, "average", self._averages)
        for name, optimizer in self._players_optimizers.items():
            _add_named(state, f"optimizer/{name}", optimizer.variables)
        for metric in self.metrics:
            _add_named(state, f"metric/{metric.name}", metric.variables)
        return state

    def begin(self):
        """Weights from elsewhere, where the task has them, for a run that starts: one that resumes has its own."""
        if self.initialize is not None:
            self.initialize()
            for average, variable in zip(self._averages, self._averaged_variables(), strict=bool(self._averages)):
                average.assign(variable.value)

    def resume_at(self, step: int, step_in_epoch: int):
        """Makes the next `fit` go on after `step` steps, of which `step_in_epoch` belong to its first epoch.

        Call it once the values of `state()` are restored. `fit` then calls for the whole epoch; its first
        `step_in_epoch` steps return at once, with the restored metrics, so that callbacks count as if uninterrupted.
        """
        self.step = step
        self._skipped_steps = step_in_epoch
        if step_in_epoch:
            self._resumed_metrics = {
                metric.name: [variable.numpy() for variable in metric.variables] for metric in self.metrics
            }

    def infer(self, inputs):
        """The network's outputs as evaluation sees them: with the averages, where they are kept."""
        averages = {id(v): average for v, average in zip(self._averaged_variables(), self._averages, strict=False)}
        trained, others = (
            [averages.get(id(variable), variable).value for variable in variables]
            for variables in (self.network.trainable_variables, self.network.non_trainable_variables)
        )
        return self.network.stateless_call(trained, others, inputs, training=False)[0]

    def evaluation_tables(self) -> dict[str, np.ndarray]:
        """Results of the last evaluation that are not scalars, such as the confusion matrix."""
        results = {metric.name: np.asarray(metric.result()) for metric in self.evaluation_metrics}
        return {name: result for name, result in results.items() if result.ndim}

    def assign_average(self):
        """Overwrites weights and moving statistics with their averages, for export. Without averages: does nothing."""
        for variable, average in zip(self._averaged_variables(), self._averages, strict=bool(self._averages)):
            variable.assign(average.value)

    def _averaged_variables(self) -> list[keras.Variable]:
        variables = [v for network in self.networks.values() for v in network.weights]
        return [variable for variable in variables if variable.dtype.startswith(("float", "bfloat"))]

    def _make_averages(self) -> list[keras.Variable]:
        # No aggregation: the replicas compute the same average from the same weights, each its own copy.
        return [
            keras.Variable(v.numpy(), trainable=False, dtype=v.dtype, aggregation="none", name=f"average_{v.name}")
            for v in self._averaged_variables()
        ]

    def _forward_network(self, batch: Batch, training: bool):
        return self.network(network_inputs(self.network, batch), training=training)

    # -- One replica's step, around the pure one ---------------------------------------------------------------------

    def _compiled(self, function):
        # Without XLA the pure function is inlined, which costs nothing, and lets layers talk across replicas
        # (synchronized batch normalisation), which a nested function cannot.
        return tf.function(function, jit_compile=True, autograph=False) if self.xla else function

    def _replica_train(self, pure_steps, players: Sequence[Player], batch: Batch):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        logs = {}
        for player in players:
            optimizer = self._players_optimizers[player.name]
            scale = optimizer.scale_loss(tf.constant(1.0))
            others = pure_step.other_variables(player, self.networks)
            gradients, losses, new_values, outputs = pure_steps[player.name](
                variable_values.read(player.variables), variable_values.read_for_replica(others), batch, scale
            )
            if replicas > 1:
                gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            learning_rate = tf.cast(optimizer.learning_rate, tf.float32)  # A schedule moves on in `apply`.
            optimizer.apply(gradients, player.variables)
            changed = [(v, new) for v, new in zip(others, new_values, strict=True) if new is not None]
            variable_values.write_from_replica(changed)
            prefix = f"{player.name}_" if len(self.players) > 1 else ""
            logs[f"{prefix}gradient_norm"] = tf.linalg.global_norm(gradients) / scale
            faults = [*losses.values()]
            if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):  # It skips such a step by itself.
                faults.append(logs[f"{prefix}gradient_norm"])
            logs[f"{prefix}learning_rate"] = learning_rate
            if len(self.players) > 1 or len(losses) > 1:
                logs.update({f"{prefix}{name}_loss": loss for name, loss in losses.items()})
            if player is self.players[0]:
                total = tf.add_n([*losses.values()])
                self.loss_mean.update_state(total, sample_weight=batch_weight(batch))
                for metric in self.output_metrics:
                    metric.update_state(*self.metric_inputs(batch, outputs))
            logs[f"{prefix}finite"] = tf.cast(tf.reduce_all(tf.math.is_finite(tf.stack(faults))), tf.float32)
        self._update_averages()
        if replicas > 1:
            names = sorted(logs)
            context = tf.distribute.get_replica_context()
            reduced = context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack([logs[name] for name in names]))
            logs = dict(zip(names, tf.unstack(reduced), strict=True))
        finite = tf.reduce_min(tf.stack([logs.pop(name) for name in [*logs] if name.endswith("finite")]))
        return logs, finite

    def _update_averages(self):
        if not self._averages:
            return
        step = tf.cast(self._players_optimizers[self.players[0].name].iterations, tf.float32)
        momentum = tf.minimum(self.ema_momentum, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self._averages, self._averaged_variables(), strict=True):
            value, old = tf.convert_to_tensor(variable.value), tf.convert_to_tensor(average.value)
            average.assign(old + (1.0 - tf.cast(momentum, old.dtype)) * (value - old))

    def _replica_test(self, pure_test, batch: Batch):
        player = self.players[0]
        averages = {id(v): average for v, average in zip(self._averaged_variables(), self._averages, strict=False)}

        def averaged(variables):
            return [averages.get(id(variable), variable) for variable in variables]

        outputs, losses = pure_test(
            variable_values.read(averaged(player.variables)),
            variable_values.read(averaged(pure_step.other_variables(player, self.networks))),
            batch,
        )
        self.loss_mean.update_state(tf.add_n([*losses.values()]), sample_weight=batch_weight(batch))
        for metric in [*self.output_metrics, *self.evaluation_metrics]:
            metric.update_state(*self.metric_inputs(batch, outputs))

    # -- All replicas, and Keras's calls -----------------------------------------------------------------------------

    def _train_function(self):
        strategy = self.distribute_strategy
        pure_steps = {
            player.name: self._compiled(
                functools.partial(pure_step.step, player, self.networks, self.accumulation_steps)
            )
            for player in self.players
        }

        def one_step(players, iterator):
            batch = next(iterator)
            logs, finite = strategy.run(lambda batch: self._replica_train(pure_steps, players, batch), args=(batch,))
            return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], (logs, finite))

        def several_steps(iterator, steps):
            logs, finite = one_step(self.players, iterator)
            done, first_fault = tf.constant(1), tf.where(finite < 1.0, 0, -1)  # -1: none so far.

            def body(done, first_fault, logs):
                logs, finite = one_step(self.players, iterator)
                found = tf.logical_and(first_fault < 0, finite < 1.0)
                return done + 1, tf.where(found, done, first_fault), logs

            _, first_fault, logs = tf.while_loop(
                lambda done, *_: done < steps, body, (done, first_fault, logs), parallel_iterations=1
            )
            return logs, first_fault

        @tf.function(autograph=False, reduce_retracing=True)
        def run_several(iterator, steps):
            logs, first_fault = several_steps(iterator, steps)
            return {**self._scalar_results(self.output_metrics), **logs}, first_fault

        def run_one(players):
            @tf.function(autograph=False, reduce_retracing=True)
            def run(iterator):
                logs, finite = one_step(players, iterator)
                first_fault = tf.where(finite < 1.0, 0, -1)
                return {**self._scalar_results(self.output_metrics), **logs}, first_fault

            return run

        runs: dict[tuple[str, ...], Callable] = {}

        def function(iterator):
            if self._skipped_steps:
                return self._skip()
            steps = self._steps_of_execution()
            if steps > 1 and all(player.every == 1 for player in self.players):
                results = [(run_several, (iterator, tf.constant(steps)), steps)]
            else:
                results = []
                for offset in range(steps):
                    due = [player for player in self.players if (self.step + offset) % player.every == 0]
                    names = tuple(player.name for player in due)
                    if not due:
                        raise ValueError(f"no player moves at step {self.step + offset}; one must have every=1")
                    if names not in runs:
                        runs[names] = run_one(due)
                    results.append((runs[names], (iterator,), 1))
            for run, arguments, count in results:
                try:
                    logs, first_fault = run(*arguments)
                except tf.errors.OutOfRangeError:
                    raise StopIteration from None
                first_fault = int(first_fault)
                if first_fault >= 0:
                    raise NonFiniteLossError(self.step + first_fault)
                self.step += count
                self._epoch_step += count
            return logs

        return function

    def _test_function(self):
        strategy = self.distribute_strategy

        def pure_test(trained_values, other_values, batch):
            player = self.players[0]
            outputs, losses, _ = pure_step.forward(
                player, self.networks, trained_values, other_values, batch, training=False
            )
            return outputs, losses

        compiled = self._compiled(pure_test)

        @tf.function(autograph=False, reduce_retracing=True)
        def run(iterator):
            strategy.run(lambda batch: self._replica_test(compiled, batch), args=(next(iterator),))

        @tf.function(autograph=False)
        def results():
            return self._scalar_results([*self.output_metrics, *self.evaluation_metrics])

        def function(iterator):
            steps = self.steps_per_execution
            if self._evaluation_steps_left is not None:
                steps = min(steps, self._evaluation_steps_left)
                self._evaluation_steps_left -= steps
            for _ in range(steps):
                try:
                    run(iterator)
                except tf.errors.OutOfRangeError:
                    raise StopIteration from None
            return results()

        return function

    def _scalar_results(self, metrics) -> dict[str, tf.Tensor]:
        """Reading a metric outside the replicas sums their states, so that logs need no reduction."""
        results = {metric.name: metric.result() for metric in [self.loss_mean, *metrics]}
        return {name: result for name, result in results.items() if len(result.shape) == 0}

    def _steps_of_execution(self) -> int:
        if self._steps_per_epoch is None:
            return self.steps_per_execution
        return min(self.steps_per_execution, self._steps_per_epoch - self._epoch_step)

    def _skip(self):
        """One call of `fit` for steps that were trained before the run was interrupted."""
        if self._resumed_metrics is not None:  # `fit` has reset them since they were restored.
            for metric in self.metrics:
                for variable, value in zip(metric.variables, self._resumed_metrics[metric.name], strict=True):
                    variable.assign(value)
            self._resumed_metrics = None
        steps = min(self._skipped_steps, self._steps_of_execution())
        self._skipped_steps -= steps
        self._epoch_step += steps
        return self.get_metrics_result()


def _apply_reduced_gradients(optimizer: keras.optimizers.Optimizer):
    """Makes `optimizer.apply` take gradients that are already reduced over replicas.

    Keras reduces inside `apply`, after clipping, so that each replica would clip its own gradient, and the result
    would depend on their number; its LossScaleOptimizer even assumes reduced gradients. There is no public switch.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, "_all_reduce_sum_gradients"):
        raise RuntimeError(f"Keras {keras.__version__} no longer reduces gradients in Optimizer.apply; Task must adapt")
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", lambda grads_and_vars: grads_and_vars)


def _add_named(state: dict, prefix: str, variables: Sequence[keras.Variable]):
    """Names are for people; the number in front makes them unique."""
    for index, variable in enumerate(variables):
        state[f"{prefix}/{index:04d}.{name_in_checkpoints(variable)}"] = variable
