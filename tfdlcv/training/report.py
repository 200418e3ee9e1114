"""What a run tells the terminal before and after training."""

from __future__ import annotations

import sys
from typing import Any

from tfdlcv.training.checkpoints import Position
from tfdlcv.training.run_folder import RunFolder


def print_start(config, folder: RunFolder, strategy, task, datasets, steps: int, position: Position):
    """Says what is about to be trained, on what, and where."""
    trainer = config.trainer
    replicas = strategy.num_replicas_in_sync
    sizes = {"training": datasets.train, "validation": datasets.validation, "test": datasets.test}
    examples = ", ".join(f"{split.num_examples} {name}" for name, split in sizes.items() if split is not None)
    print(f"{config.system}: {examples} examples")
    for name, network in task.networks.items():
        trainable = sum(variable.value.shape.num_elements() for variable in network.trainable_variables)
        print(f"{name}: {network.name}, {trainable:,} trainable parameters")
    where = f"{replicas} replica{'s' if replicas > 1 else ''}"
    xla = "XLA" if task.xla else "no XLA"
    print(f"{trainer.epochs} epochs of {steps} steps, batch {trainer.batch_size}, {where}, {trainer.precision}, {xla}")
    print(f"Watch it with: tensorboard --logdir {folder.tensorboard}")
    if position.step:
        print(f"Resuming after step {position.step} (epoch {position.epoch + 1}, step {position.step_in_epoch} in it)")
    sys.stdout.flush()


def print_summary(folder: RunFolder, results: dict[str, Any]):
    """The results of the best epoch as a table, where everything lies, and what to do next."""
    validation, test = results["validation"], results["test"] or {}
    evaluated = [name.removeprefix("val_") for name in validation if name.startswith("val_")]
    names = list(dict.fromkeys([*test, *evaluated]))
    width = max([len(name) for name in names], default=10)
    header = f"{'train':>10}  {'validation':>10}  {'test':>10}"
    print(f"\n{'':{width}}  {header}    (epoch {results['best_epoch']}, the best)")
    for name in names:
        cells = [validation.get(name), validation.get(f"val_{name}"), test.get(name)]
        print(f"{name:{width}}  " + "  ".join(f"{_number(cell):>10}" for cell in cells))
    seconds = f"{results['train_seconds']:.0f} s of training"
    print(f"\n{results['parameters']:,} parameters, {results['steps']} steps, {seconds}")
    print(f"Run folder        {folder.path}/  (config.yaml, history.csv, metrics.json, checkpoints/)")
    print(f"SavedModel        {results['export']}")
    print(f"Watch it          tensorboard --logdir {folder.tensorboard}")
    print(f"Evaluate again    tfdlcv evaluate {folder.path}")
    print(f"Predict           tfdlcv predict {folder.path} FILE ...")
    sys.stdout.flush()


def _number(value: float | None) -> str:
    """Four decimals; of losses that would be 0.0000, two digits and the power of ten."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"
