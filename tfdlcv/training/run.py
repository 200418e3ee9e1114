"""A run from its config: train, watch, resume, evaluate, export; and what is done with a run afterwards."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

import tfdlcv
from tfdlcv.config import config_text, load_config, system_module
from tfdlcv.data import pipeline
from tfdlcv.errors import UserError
from tfdlcv.metrics import class_table
from tfdlcv.training import checkpoints, report, resuming, strategies
from tfdlcv.training.callbacks import (
    Checkpoints,
    RunInterrupted,
    Throughput,
    learning_is_stopped_early,
    stop_on_signals,
)
from tfdlcv.training.checkpoints import Position
from tfdlcv.training.export import export_saved_model
from tfdlcv.training.optimizers import build_optimizer
from tfdlcv.training.run_folder import RunFolder
from tfdlcv.training.task import NonFiniteLossError, Task
from tfdlcv.training.tensorboard import TensorBoardLogger, flat_hparams, write_results
from tfdlcv.training.weight_decay import exclude_from_weight_decay

# What TensorFlow raises on the workers that are left when one of a cluster dies.
_CLUSTER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


def train(config: Any) -> dict[str, Any]:
    """Trains from the start, or from the last checkpoint of `trainer.run_dir`. Returns what metrics.json holds."""
    strategy = strategies.build_strategy(config.trainer)
    is_chief = strategies.is_chief(strategy)
    folder = RunFolder(config.trainer.run_dir)
    if is_chief:
        folder.lock()
    try:
        with strategies.process_settings(config.trainer), pipeline.faults_of_examples():
            return _train(config, folder, strategy, is_chief)
    except _CLUSTER_ERRORS as error:
        if strategies.num_workers(strategy) == 1:
            raise
        reason = " ".join(re.sub(r"\{\{.*?\}\}", "", error.message).split())[:300]
        print(f"Error: a worker of the cluster has failed or cannot be reached: {reason}", file=sys.stderr)
        print("Start all workers again with the same command to resume from the last checkpoint.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)  # Leaving the interpreter in order would wait for the dead worker.
    finally:
        folder.unlock()


class Evaluation(NamedTuple):
    """What a network scores on a split: `scores`, and as text a line for each class where its pixels, points or
    examples are counted by class."""

    scores: dict[str, float]
    class_table: str | None


def evaluate(run_dir: str | Path, split: str = "test", overrides: Sequence[str] = ()) -> Evaluation:
    """Metrics of the best checkpoint on a split: `train`, `validation` or `test`."""
    folder = RunFolder(run_dir)
    folder.require()
    config = load_config(folder.config, overrides)
    system = system_module(config.system)
    strategy = strategies.build_strategy(config.trainer)
    with strategies.process_settings(config.trainer), pipeline.faults_of_examples():
        datasets = system.build_datasets(config)
        chosen = {"train": datasets.train, "validation": datasets.validation, "test": datasets.test}.get(split)
        if chosen is None:
            raise UserError(f"no split {split!r}: choose train, validation or test, where the data set has it")
        with strategy.scope():
            task = system.build_task(config, datasets.facts)
        resuming.load_best_weights(task, folder)
        scores = _evaluate(task, chosen, config, strategy)
    matrix, class_names = task.evaluation_tables().get("confusion_matrix"), datasets.facts.get("class_names")
    return Evaluation(scores, None if matrix is None else class_table(matrix, class_names or ()))


def predict(
    run_dir: str | Path,
    paths: Sequence[Path],
    output_dir: Path | None = None,
    on_error: str = "stop",
    overrides: Sequence[str] = (),
):
    """Predictions of the best checkpoint for files of the user, written to `output_dir`."""
    folder, config, system, task, facts = resuming.load_run(run_dir, overrides)
    with strategies.process_settings(config.trainer):
        return system.predict(
            config, facts, task, [Path(path) for path in paths], Path(output_dir or folder.predictions), on_error
        )


def features(run_dir: str | Path, paths: Sequence[Path], layer: str, output: Path | None = None, on_error="stop"):
    """What a layer of the best checkpoint's network makes of files of the user, written to `output`, an .npz file."""
    folder, config, system, task, facts = resuming.load_run(run_dir)
    if not hasattr(system, "features"):
        raise UserError(f"{run_dir} is a run of {config.system}, whose networks give no features of images")
    with strategies.process_settings(config.trainer):
        output = Path(output or folder.path / "features" / f"{layer}.npz")
        return system.features(config, facts, task, [Path(path) for path in paths], output, layer, on_error)


def export(run_dir: str | Path, output_dir: Path | None = None) -> Path:
    """Writes a new version of the SavedModel of the best checkpoint."""
    folder, config, system, task, facts = resuming.load_run(run_dir)
    with strategies.process_settings(config.trainer):
        return export_saved_model(output_dir or folder.export, system.serving(config, facts, task))


def _train(config, folder: RunFolder, strategy, is_chief: bool) -> dict[str, Any]:
    trainer = config.trainer
    system = system_module(config.system)
    _check_batches(trainer, strategy.num_replicas_in_sync)
    if is_chief:
        resuming.claim(folder, config)
    if folder.is_finished():
        if is_chief:
            print(f"{folder.path} is finished: its results are in {folder.metrics}. Remove the folder to train again.")
        return json.loads(folder.metrics.read_text())

    datasets = system.build_datasets(config)
    steps_of_pass = pipeline.steps_per_epoch(datasets.train, trainer.batch_size)
    steps = trainer.steps_per_epoch or steps_of_pass
    with strategy.scope():
        task: Task = system.build_task(config, datasets.facts)
        task.compile(
            _build_optimizers(system.optimizers(config), config.trainer, task, steps),
            steps_per_execution=trainer.steps_per_execution,
            steps_per_epoch=steps,
        )
    _check_monitor(config, task)
    position = resuming.resume(task, folder, is_chief)
    if not strategies.agree_on(strategy, position.step):
        raise UserError(
            f"the workers found different checkpoints (here: step {position.step}): trainer.run_dir "
            f"({folder.path}) must lie on a file system that all workers share"
        )
    if is_chief:
        folder.write_json(folder.facts, datasets.facts)
        folder.write_history(position.history)
        report.print_start(config, folder, strategy, task, datasets, steps, position)

    if position.epoch < trainer.epochs and not learning_is_stopped_early(position, trainer):
        position = _fit(config, folder, strategy, is_chief, system, task, datasets, steps, position)

    strategies.agree_on(strategy, position.step)  # Nobody reads the best checkpoint before the chief has written it.
    best = resuming.restore_best(task, folder, is_chief)
    test = _evaluate(task, datasets.test, config, strategy) if datasets.test is not None else None
    tables = task.evaluation_tables() if test is not None else {}
    results = _without_nan(
        {
            "best_epoch": best.epoch,
            "epochs": position.epoch,
            "steps": position.step,
            "parameters": sum(network.count_params() for network in task.networks.values()),
            "seed": trainer.seed,
            "validation": _row_of(position, best.epoch),
            "test": test,
            "test_tables": {name: table.tolist() for name, table in tables.items()},
            "train_seconds": sum(_seconds(row) for row in position.history),
            "versions": {"tfdlcv": tfdlcv.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
            "machine": _machine(),
        }
    )
    if is_chief:
        results["export"] = str(export_saved_model(folder.export, system.serving(config, datasets.facts, task)))
        write_results(folder.tensorboard, test or {}, step=position.step)
        folder.write_json(folder.metrics, results)
        report.print_summary(folder, results)
    return results


def _fit(config, folder, strategy, is_chief, system, task, datasets, steps, position: Position) -> Position:
    trainer = config.trainer
    evaluation_batch = trainer.evaluation_batch_size or trainer.batch_size
    train_batches = pipeline.distribute(
        strategy,
        lambda **shard: pipeline.training_dataset(
            datasets, batch_size=trainer.batch_size, seed=trainer.seed, start_step=position.step, **shard
        ),
        trainer.batch_size,
    )
    validation_batches = pipeline.distribute(
        strategy,
        lambda **shard: pipeline.evaluation_dataset(datasets.validation, batch_size=evaluation_batch, **shard),
        evaluation_batch,
    )
    alone = strategies.num_workers(strategy) == 1
    message = "Stopping after this step; a checkpoint is written."
    if not alone:
        message = "Stopping all workers at the next checkpoint."
    with stop_on_signals(message) as signalled:
        saver = Checkpoints(
            folder,
            trainer,
            steps_per_epoch=steps,
            position=position,
            is_chief=is_chief,
            should_stop=lambda: strategies.is_any(strategy, signalled()),
            stop_at_checkpoints=not alone,  # To ask the other workers after every step would slow them down.
        )
        try:
            task.fit(
                train_batches,
                shuffle=False,  # The pipeline has shuffled.
                initial_epoch=position.epoch,
                epochs=trainer.epochs,
                steps_per_epoch=steps,
                validation_data=validation_batches,
                validation_steps=pipeline.evaluation_steps(datasets.validation, evaluation_batch),
                callbacks=[
                    Throughput(trainer.batch_size),
                    TensorBoardLogger(
                        folder.tensorboard,
                        config_text=config_text(config),
                        hparams=flat_hparams(config.model_dump()),
                        batch_size=trainer.batch_size,
                        pictures=system.pictures(config, datasets.facts, task, datasets),
                        is_chief=is_chief,
                        **trainer.tensorboard.model_dump(),
                    ),
                    saver,
                ],
                verbose=0 if not is_chief else 1 if sys.stdout.isatty() else 2,
            )
        except NonFiniteLossError as error:
            raise UserError(_describe_fault(error.step, config, datasets, folder)) from None
        except RunInterrupted:
            raise KeyboardInterrupt from None
    return saver.position


def _evaluate(task: Task, split: pipeline.Split, config, strategy) -> dict[str, float]:
    batch_size = config.trainer.evaluation_batch_size or config.trainer.batch_size
    batches = pipeline.distribute(
        strategy, lambda **shard: pipeline.evaluation_dataset(split, batch_size=batch_size, **shard), batch_size
    )
    if not task.compiled:
        task.compile(keras.optimizers.SGD(0.0)) if len(task.players) == 1 else task.compile(
            {player.name: keras.optimizers.SGD(0.0) for player in task.players}
        )
    return task.evaluate(batches, steps=pipeline.evaluation_steps(split, batch_size), verbose=0, return_dict=True)


def _build_optimizers(configs, trainer, task: Task, steps: int) -> dict[str, keras.optimizers.Optimizer]:
    """The optimizer of each player, built on its variables, with loss scaling for float16."""
    built = {}
    for player in task.players:
        optimizer = build_optimizer(configs[player.name], steps_per_epoch=steps, epochs=trainer.epochs)
        if configs[player.name].weight_decay_on == "kernels":
            exclude_from_weight_decay(optimizer, player.variables)
        if trainer.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        built[player.name] = optimizer
    return built


def _check_batches(trainer, replicas: int):
    """Batches must be cut evenly; how many replicas there are is known only now."""
    if trainer.batch_size % (replicas * trainer.accumulation_steps):
        raise UserError(
            f"trainer.batch_size ({trainer.batch_size}) must be divisible by the number of replicas ({replicas}) times "
            f"trainer.accumulation_steps ({trainer.accumulation_steps})"
        )
    if (trainer.evaluation_batch_size or 0) % replicas:
        raise UserError(
            f"trainer.evaluation_batch_size ({trainer.evaluation_batch_size}) must be divisible by the number of "
            f"replicas ({replicas})"
        )


def _check_monitor(config, task: Task):
    names = [task.loss_mean.name, *(m.name for m in task.output_metrics)]
    evaluated = [*names, *(m.name for m in task.evaluation_metrics)]
    known = [*names, *(f"val_{name}" for name in evaluated)]
    if config.trainer.checkpoints.monitor not in known:
        raise UserError(
            f"trainer.checkpoints.monitor ({config.trainer.checkpoints.monitor}) is not a column of history.csv: "
            f"choose one of {', '.join(known)}"
        )


def _describe_fault(step: int, config, datasets, folder: RunFolder) -> str:
    trainer = config.trainer
    ids = pipeline.step_indices(
        step, num_examples=datasets.train.num_examples, batch_size=trainer.batch_size, seed=trainer.seed
    ).numpy()
    names = [datasets.train.describe(int(index)) for index in ids[:8]]
    saved = checkpoints.list_checkpoints(folder.checkpoints)
    return (
        f"the loss of step {step} (the first is 0), or its gradient, is NaN or infinite, and training has stopped.\n"
        f"Examples of that batch, by id: {', '.join(map(str, ids))}\n"
        f"The first of them: {', '.join(names)}\n"
        f"Last good checkpoint: {saved[-1] if saved else 'none yet'}\n"
        "A lower optimizer.learning_rate or optimizer.clip_norm often helps; "
        "remove the run folder or change trainer.run_dir to start anew with another config."
    )


def _without_nan(content):
    """JSON has neither NaN nor infinity: the accuracy, say, of a class without examples is null."""
    if isinstance(content, dict):
        return {name: _without_nan(part) for name, part in content.items()}
    if isinstance(content, list):
        return [_without_nan(part) for part in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _machine() -> str:
    gpus = len(tf.config.list_physical_devices("GPU"))
    return f"{platform.machine()}, {os.cpu_count()} CPU cores, {gpus} GPU"


def _row_of(position: Position, epoch: int) -> dict[str, float]:
    return next((dict(row) for row in position.history if row["epoch"] == epoch), {})


def _seconds(row: dict[str, float]) -> float:
    return row.get("train_seconds", 0.0)
