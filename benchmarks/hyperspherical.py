"""Results of the hyperspherical systems on the 5,000 MNIST digits, beside their baselines; mean and deviation of seeds.

    python -m benchmarks.hyperspherical               # every run that is missing; about an hour on two cores
    python -m benchmarks.hyperspherical --only few    # a table alone
    python -m benchmarks.hyperspherical --minutes 10  # begins no run later than that
    python -m benchmarks.hyperspherical --list        # what there is to do, and what is done
    python -m benchmarks.hyperspherical --table       # the tables of what is done

Tables:

    rates        validation accuracy at three learning rates: from it comes the rate of each loss in the next two
    classes      test accuracy of ResNet-20: prototypes in 2 to 25 dimensions, softmax, one-hot prototypes
    few          the same with 2 to 50 examples of each class, and with 2 of the first class to 50 of the last
    regression   mean absolute error, in degrees, of a digit's angle: poles, and squared error, at two learning rates
    joint        digit and angle at once, beside each alone, and multi-task learning

A run is a config of configs/hyperspherical with overrides. It trains in saved_models/benchmark_hyperspherical/<run>,
where an interrupted one resumes. Its results go to results/hyperspherical.json, with the command, and are not computed
again. A run whose loss became NaN is a result too. A seed decides weights, the order of examples and augmentation; the
digits of a training set are the same for all seeds.
"""

import argparse
import contextlib
import datetime
import hashlib
import importlib.metadata
import io
import json
import pathlib
import platform
import shlex
import shutil
import statistics
import time
from dataclasses import dataclass

from benchmarks.train_step import machine

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = "python -m benchmarks.hyperspherical"
SEEDS = (0, 1, 2)
TRIAL_SEED = 100  # Of the runs that choose learning rates; none of the others has it.
CLASSIFIER = "configs/hyperspherical/classifier_mnist5k.yaml"
REGRESSOR = "configs/hyperspherical/regressor_rotated_mnist5k.yaml"
JOINT = "configs/hyperspherical/joint_rotated_mnist5k.yaml"

PROTOTYPES = {f"prototypes, d = {d}": f"loss={{name: prototypes, dimensions: {d}}}" for d in (2, 3, 5, 10, 25)}
CLASS_LOSSES = {**PROTOTYPES, "one-hot prototypes": "loss={name: one_hot}", "softmax": "loss={name: softmax}"}
TEN = "prototypes, d = 10"
COMPARED = (TEN, "one-hot prototypes", "softmax")
RATES = (0.1, 0.4, 1.0)
# The best of the table `rates` by accuracy, and of equal ones by loss. Other prototypes take that of ten dimensions.
RATES_ALL = {"prototypes, d = 2": 0.4, TEN: 1.0, "softmax": 0.1}
RATES_FEW = {TEN: 1.0, "softmax": 0.4}
FEW = {**{f"{count} a class": count for count in (2, 10, 50)}, "2 to 50": (2, 50)}
REGRESSION_LOSSES = {
    "poles, d = 2": "loss={name: poles, dimensions: 2}",
    "squared error, d = 2": "loss={name: squared_error, dimensions: 2}",
    "squared error of degrees, d = 2": "loss={name: squared_error, dimensions: 2, target: value}",
}
REGRESSION_RATES = (0.64, 0.064)  # The lecture's 1e-2 and 1e-3 are of a sum over batches of 64; these of the mean.
ROTATED = "data={name: rotated_digits, source: mnist5k, degrees: [0, 180], validation_fraction: 0.1}"
EVALUATION = "trainer.evaluation_batch_size=200"


def rate(value: float) -> str:
    """The override that sets the learning rate."""
    return f"optimizer.learning_rate.peak={value:g}"


@dataclass(frozen=True)
class Run:
    """One training: where its result stands in the tables, and how it is made."""

    table: str
    row: str
    column: str
    seed: int
    config: str
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.table}/{self.row}/{self.column}/{self.seed}"

    @property
    def command(self) -> list[str]:
        return ["python", "train.py", self.config, *self.overrides, f"trainer.seed={self.seed}"]


def planned_runs() -> list[Run]:
    """All runs: those that choose learning rates, and then every table's first seed first."""
    runs, epochs = [], "trainer.epochs=8"
    for column, rows in {"all": RATES_ALL, "10 a class": RATES_FEW}.items():
        for row in rows:
            runs += [_class_run("rates", f"{row}, rate {each:g}", column, row, each, 6, TRIAL_SEED) for each in RATES]
    for seed in SEEDS:
        for row in CLASS_LOSSES:
            runs.append(_class_run("classes", row, "all", row, RATES_ALL.get(row, RATES_ALL[TEN]), 8, seed))
        for column in FEW:
            for row in COMPARED:
                runs.append(_class_run("few", row, column, row, RATES_FEW.get(row, RATES_FEW[TEN]), 12, seed))
        for row in list(REGRESSION_LOSSES)[:2]:
            runs += [_regression_run(row, value, seed) for value in REGRESSION_RATES]
        digit = (ROTATED, "loss.dimensions=9", rate(0.4), epochs, EVALUATION)
        runs.append(Run("joint", "digit alone", "", seed, CLASSIFIER, digit))
        runs.append(Run("joint", "angle alone", "", seed, REGRESSOR, ("loss.dimensions=10", epochs, EVALUATION)))
        runs.append(Run("joint", "hyperspherical", "", seed, JOINT, (epochs, EVALUATION)))
    for seed in SEEDS:  # Last, as the lesser questions.
        runs += [_regression_run(list(REGRESSION_LOSSES)[2], value, seed) for value in REGRESSION_RATES]
        multi_task = ("loss={name: multi_task}", rate(0.1), epochs, EVALUATION)
        runs.append(Run("joint", "multi-task", "", seed, JOINT, multi_task))
    return runs


def _regression_run(loss: str, learning_rate: float, seed: int) -> Run:
    overrides = (REGRESSION_LOSSES[loss], rate(learning_rate), "trainer.epochs=6", EVALUATION)
    return Run("regression", loss, f"rate {learning_rate:g}", seed, REGRESSOR, overrides)


def _class_run(table: str, row: str, column: str, loss: str, learning_rate: float, epochs: int, seed: int) -> Run:
    """A classifier, trained on all examples or, if `column` is one of FEW, on few."""
    overrides = [CLASS_LOSSES[loss], rate(learning_rate), f"trainer.epochs={epochs}", EVALUATION]
    if column in FEW:
        count = FEW[column]
        # As many steps for each, of no more examples than there are.
        size = 64 if isinstance(count, tuple) else min(64, 10 * count)
        text = list(count) if isinstance(count, tuple) else count
        overrides += [f"data.examples_per_class={text}", f"trainer.batch_size={size}", "trainer.steps_per_epoch=25"]
    return Run(table, row, column, seed, CLASSIFIER, tuple(overrides))


def main():
    """Do the runs that are missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables_of_runs = tuple(dict.fromkeys(run.table for run in planned_runs()))
    parser.add_argument("--only", nargs="+", choices=tables_of_runs, help="tables")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run later than that")
    parser.add_argument("--list", action="store_true", help="print the runs and which are done")
    parser.add_argument("--table", action="store_true", help="print the tables of what is done")
    parser.add_argument("--smoke", action="store_true", help="two steps of each run, for the tests")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results" / "hyperspherical.json")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "saved_models" / "benchmark_hyperspherical")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    report = read_report(arguments.output)
    for run in planned_runs():
        if arguments.only is not None and run.table not in arguments.only:
            continue
        done = is_done(run, report)
        if arguments.list:
            print(f"{'done' if done else 'open'}  {run.name}  {shlex.join(run.command)}")
        elif not arguments.table and not done and time.monotonic() < end:
            report["runs"][run.name] = perform(run, arguments.runs, smoke=arguments.smoke)
            write_report(arguments.output, report)
            print(f"{run.name}: {report['runs'][run.name]}", flush=True)
    if not arguments.list:
        print(tables(report))


def is_done(run: Run, report: dict) -> bool:
    """Whether the report has this very run, and not one of its name with another command."""
    return report["runs"].get(run.name, {}).get("command") == shlex.join(run.command)


def perform(run: Run, folder: pathlib.Path, *, smoke: bool) -> dict:
    """Trains, or resumes, and returns what the report holds of it."""
    import keras

    from tfdlcv.config import load_config
    from tfdlcv.errors import UserError
    from tfdlcv.training import run as training

    # Of the command: a folder that is left of another plan would be of another config.
    run_dir = folder / hashlib.sha256(shlex.join(run.command).encode()).hexdigest()[:16]
    overrides = [*run.overrides, f"trainer.seed={run.seed}", f"trainer.run_dir={run_dir}"]
    overrides.append("trainer.tensorboard.pictures_every_epochs=0")
    if smoke:
        overrides += ["trainer.epochs=2", "trainer.steps_per_epoch=1"]
    result = {"command": shlex.join(run.command), "seed": run.seed, "test": None}
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            metrics = training.train(load_config(ROOT / run.config, overrides))
        result["test"] = {name: round(value, 5) for name, value in metrics["test"].items()}
        result["validation"] = {
            name[4:]: round(value, 5) for name, value in metrics["validation"].items() if name.startswith("val_")
        }
        result |= {"best_epoch": metrics["best_epoch"], "steps": metrics["steps"]}
    except UserError as error:
        if "is NaN or infinite" not in str(error):
            raise
        result["fault"] = "the loss became NaN or infinite"
    keras.backend.clear_session()
    result["seconds"] = round(time.monotonic() - start, 1)
    shutil.rmtree(run_dir)  # A checkpoint and a model of a hundred runs would fill the disk.
    return result


def tables(report: dict) -> str:
    """Mean and deviation over seeds, a table after the other."""
    cells: dict[tuple[str, str, str], list[dict]] = {}
    for run in planned_runs():
        if is_done(run, report):
            cells.setdefault((run.table, run.row, run.column), []).append(report["runs"][run.name])
    lines = []
    for table in dict.fromkeys(key[0] for key in cells):
        part = "validation" if table == "rates" else "test"
        lines.append(f"\n{table} ({part})")
        for (_, row, column), results in ((key, value) for key, value in cells.items() if key[0] == table):
            lines.append(f"  {row:32} {column:12} {_cell([result.get(part) for result in results])}")
    return "\n".join(lines)


def _cell(results: list[dict | None]) -> str:
    """The metrics of a cell's seeds; None is a run that failed."""
    found = [result for result in results if result is not None]
    parts = []
    if found and "accuracy" in found[0]:
        parts.append(f"{spread([100 * result['accuracy'] for result in found])} %")
    if found and "mean_absolute_error" in found[0]:
        parts.append(f"{spread([result['mean_absolute_error'] for result in found])} degrees")
    if len(found) < len(results):
        parts.append(f"{len(results) - len(found)} of {len(results)} runs ended in NaN")
    return f"{'; '.join(parts)}  ({len(results)} seed{'s' if len(results) > 1 else ''})"


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def versions() -> dict[str, str]:
    """Of Python and of every package that could change the numbers."""
    found = {package: importlib.metadata.version(package) for package in ("tfdlcv", "tensorflow", "keras", "numpy")}
    return {"python": platform.python_version(), **found}


def read_report(path: pathlib.Path) -> dict:
    """The report so far. Runs of other versions are no part of it."""
    facts = {"machine": machine(), "versions": versions()}
    if path.is_file():
        report = json.loads(path.read_text())
        different = [name for name in facts if report[name] != facts[name]]
        if not different:
            return {"command": COMMAND, **report}
        raise SystemExit(f"{path} is of other {' and '.join(different)}: move it away to begin anew")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"command": COMMAND, "date": today, **facts, "runs": {}}


def write_report(path: pathlib.Path, report: dict):
    """By another name first, so that a stopped call leaves a whole report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(report, indent=1) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
