"""Test accuracy and training time of every small network on the 5,000 MNIST digits, under one budget.

    python -m benchmarks.classification_table             # every run that is missing
    python -m benchmarks.classification_table --only resnet20 mlp
    python -m benchmarks.classification_table --list      # what there is to do, and what is done
    python -m benchmarks.classification_table --table     # the table of what is done, for the README

The budget: 15 epochs of 3,600 digits in batches of 64, shifted by up to two pixels and turned by up to ten degrees,
cosine decay behind one epoch of warm-up, label smoothing 0.1, and the checkpoint that is best on 400 others. With batch
normalisation: SGD at 0.1; without: Adam at 0.002. The perceptron has its own rule, one digit a step, on the same
pixels. The recipe that is named modern adds mixup, cutmix, RandAugment, stochastic depth and averaged weights.

A run is a config of configs/classification with overrides; it trains in saved_models/classification_table/<run>, where
an interrupted one resumes. Its result goes to results/classification_table.json, with the command, and is not computed
again. Accuracy is that of 1,000 test digits: its standard error is about 0.4 points. Times are those of the training
steps alone, of whatever else the machine does too.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import shlex
import sys
from dataclasses import dataclass

from benchmarks.train_step import ROOT, machine

EPOCHS = 15
AUGMENTATION = "data.augmentation={crop_padding: 2, rotation_degrees: 10}"
# Of networks without batch normalisation; the others have resnet20_mnist5k's.
ADAM = "optimizer={name: adam, learning_rate: {name: cosine, peak: 0.002, warmup_epochs: 1}}"
# In powers of two from 28: networks that halve five times.
PADDED = "data.padding=2"


@dataclass(frozen=True)
class Run:
    """A row of the table: the network in words, and the config and overrides that make it."""

    network: str
    config: str
    overrides: tuple[str, ...] = ()


def planned_runs() -> dict[str, Run]:
    """Every run by name, from the oldest network to the newest."""
    smoothing, validation = "loss.label_smoothing=0.1", "data.validation_fraction=0.1"
    plain = (AUGMENTATION, smoothing, validation, ADAM)
    normalized = "resnet20_mnist5k"
    return {
        "perceptron": Run(
            "perceptron, Rosenblatt's rule", "perceptron_mnist5k", (AUGMENTATION, "trainer.steps_per_execution=60")
        ),
        "mlp": Run("MLP 512-256", "mlp_mnist5k", plain),
        "lenet5_original": Run(
            "LeNet-5, the original", "lenet5_mnist5k", (*plain, "model={name: lenet5, variant: original}")
        ),
        "lenet5": Run("LeNet-5, dense, ReLU", "lenet5_mnist5k", plain),
        "lecture_convnet": Run(
            "lecture 4's convnet", "lenet5_mnist5k", (*plain, "model={name: lecture_convnet, dropout: 0.5}")
        ),
        "resnet20": Run("ResNet-20, projections", normalized),
        "resnet20_identity": Run("ResNet-20, identities", normalized, ("model.shortcut=identity",)),
        "resnet20_full_preact": Run("ResNet-20, full pre-activation", normalized, ("model.block_order=full_preact",)),
        "resnet20_modern": Run("ResNet-20, modern recipe", "resnet20_modern_mnist5k"),
        "wide_resnet10_2": Run("WRN-10-2", normalized, ("model={name: wide_resnet_cifar, depth: 10, width: 2}",)),
        "resnext11": Run(
            "ResNeXt-11 4x8d", normalized, ("model={name: resnext_cifar, depth: 11, cardinality: 4, group_width: 8}",)
        ),
        "densenet_bc22": Run("DenseNet-BC-22, k = 12", normalized, ("model={name: densenet_cifar, depth: 22}",)),
        "mobilenet": Run("MobileNet 0.25", normalized, ("model={name: mobilenet, width: 0.25}", PADDED)),
    }


def main():
    """Do the runs that are missing, or say what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="names of runs")
    parser.add_argument("--list", action="store_true", help="print the runs and which are done")
    parser.add_argument("--table", action="store_true", help="print the table of what is done")
    parser.add_argument("--smoke", action="store_true", help="one step of each run, into other places")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, help="default: benchmarks/results/classification_table.json")
    parser.add_argument("--runs", type=pathlib.Path, help="default: saved_models/classification_table")
    arguments = parser.parse_args()
    kind = "_smoke" if arguments.smoke else ""
    output = arguments.output or ROOT / "benchmarks" / "results" / f"classification_table{kind}.json"
    folder = arguments.runs or ROOT / "saved_models" / f"classification_table{kind}"
    runs = planned_runs()
    unknown = [name for name in arguments.only or () if name not in runs]
    if unknown:
        sys.exit(f"no run {', '.join(unknown)}; there are: {', '.join(runs)}")
    done = json.loads(output.read_text()) if output.is_file() else {}
    for name in arguments.only or runs:
        if arguments.list:
            print(f"{'done' if name in done else 'open'} {name:22} {shlex.join(command(runs[name], arguments.seed))}")
        elif name not in done and not arguments.table:
            done[name] = perform(runs[name], folder / name, seed=arguments.seed, smoke=arguments.smoke)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps({n: done[n] for n in runs if n in done}, indent=1) + "\n", encoding="utf-8")
    if not arguments.list:
        print(table(done))


def command(run: Run, seed: int) -> list[str]:
    """What trains it by hand."""
    overrides = [*run.overrides, f"trainer.epochs={EPOCHS}", f"trainer.seed={seed}"]
    return ["python", "train.py", f"configs/classification/{run.config}.yaml", *overrides]


def perform(run: Run, folder: pathlib.Path, *, seed: int, smoke: bool) -> dict:
    """Trains, or resumes, and returns what the result file holds."""
    from tfdlcv.config import load_config
    from tfdlcv.training import run as training

    _, _, config, *overrides = command(run, seed)
    overrides += [f"trainer.run_dir={folder}", "trainer.tensorboard.pictures_every_epochs=0"]
    if smoke:
        overrides += ["trainer.epochs=2", "trainer.steps_per_epoch=1", "data.train_limit=64"]
    results = training.train(load_config(ROOT / config, overrides))
    return {
        "network": run.network,
        "parameters": results["parameters"],
        "accuracy": results["test"]["accuracy"],
        "validation_accuracy": results["validation"]["val_accuracy"],
        "best_epoch": results["best_epoch"],
        "epochs": results["epochs"],
        "training_seconds": round(results["train_seconds"], 1),
        "seed": seed,
        "command": shlex.join(command(run, seed)),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in ("tfdlcv", "tensorflow", "keras")},
    }


def table(done: dict[str, dict]) -> str:
    """Markdown; parameters are those of `keras.Model.count_params`, with moving statistics."""
    lines = ["| network | parameters | test accuracy | training |", "|---|---|---|---|"]
    for row in done.values():
        accuracy, seconds = f"{100 * row['accuracy']:.1f} %", f"{row['training_seconds']:.0f} s"
        lines.append(f"| {row['network']} | {row['parameters']:,} | {accuracy} | {seconds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
