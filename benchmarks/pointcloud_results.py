"""What flex-convolutions learn of generated clouds in minutes, beside PointNet trained for the same time.

    python -m benchmarks.pointcloud_results                # what is missing; about 60 minutes on two cores
    python -m benchmarks.pointcloud_results --only rooms
    python -m benchmarks.pointcloud_results --table        # what is done

primitives: accuracy of ten generated bodies; uneven_primitives: the same, with eight times as many points on one side
as on the other, as scanners see them; rooms: mean intersection over union of eight classes. Each is a config of
configs/pointcloud. PointNet takes the config with `model={name: pointnet}` and as many epochs as fill the seconds that
the flex-convolutions trained for: at least as long, by less than one epoch. A result that is there is not computed
again; an interrupted training resumes. results/pointcloud_results.json.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys

from benchmarks.train_step import ROOT, machine, versions

OUTPUT = ROOT / "benchmarks" / "results" / "pointcloud_results.json"
TASKS = {
    "primitives": {"config": "configs/pointcloud/classifier_primitives.yaml", "score": "accuracy"},
    "uneven_primitives": {
        "config": "configs/pointcloud/classifier_primitives.yaml",
        "score": "accuracy",
        "overrides": ["data.density_ratio=8"],
    },
    "rooms": {"config": "configs/pointcloud/segmenter_rooms.yaml", "score": "mean_iou"},
}
BASELINE = "model={name: pointnet}"


def main():
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*TASKS])
    parser.add_argument("--network", choices=["flex", "pointnet"], help="default: both")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "saved_models" / "benchmark_pointcloud")
    parser.add_argument("--override", nargs="*", default=[], help="changes of the config, of both networks; for tests")
    arguments = parser.parse_args()
    report = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    for name in [arguments.only] if arguments.only else TASKS:
        for network in [arguments.network] if arguments.network else ("flex", "pointnet"):
            if not arguments.table and network not in report.get(name, {}):
                report.setdefault(name, {})[network] = train(name, network, report, arguments)
                report |= {"machine": machine(), "versions": versions()}
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def train(name: str, network: str, report: dict, arguments) -> dict:
    """One row of the table."""
    overrides = list(arguments.override)
    if network == "pointnet":
        if "flex" not in report.get(name, {}):
            raise SystemExit(f"{name}: train flex first; PointNet gets its time")
        overrides += [BASELINE, *equal_time(name, report[name]["flex"]["train_seconds"], arguments)]
    results, command = run(name, arguments.runs / f"{name}_{network}", overrides)
    score = TASKS[name]["score"]
    return {
        "score": score,
        "test": results["test"][score],
        "validation": results["validation"][f"val_{score}"],
        "per_class": results["test_tables"].get("per_class_iou") or results["test_tables"].get("per_class_accuracy"),
        "parameters": results["parameters"],
        "epochs": results["epochs"],
        "train_seconds": round(results["train_seconds"], 1),
        "seed": results["seed"],
        "command": command,
        "date": datetime.date.today().isoformat(),
    }


def equal_time(name: str, seconds: float, arguments) -> list[str]:
    """The override with as many epochs as fill so many seconds; the speed is that of a run of two epochs."""
    overrides = [*arguments.override, BASELINE, "trainer.epochs=2"]
    results, _ = run(name, arguments.runs / f"{name}_speed", overrides)
    of_epoch = results["validation"]["train_seconds"]
    return [f"trainer.epochs={max(2, math.ceil(seconds / of_epoch))}"]


def run(name: str, run_dir: pathlib.Path, overrides: list[str]) -> tuple[dict, str]:
    """Trains in a process of its own, or finds it done. Returns metrics.json and the command."""
    task = TASKS[name]
    words = ["train.py", task["config"], *task.get("overrides", []), *overrides, f"trainer.run_dir={run_dir}"]
    if not (run_dir / "metrics.json").is_file():
        subprocess.run([sys.executable, *words], cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, check=True)
    shown = shlex.join(["python", *words[:-1]])
    return json.loads((run_dir / "metrics.json").read_text()), shown


def table(report: dict) -> str:
    """The report as text."""
    lines = ["task               network     test    parameters  epochs  seconds"]
    for name in TASKS:
        for network, row in report.get(name, {}).items():
            lines.append(
                f"{name:<17}  {network:<8}  {row['test']:.4f}  {row['parameters']:>12,}  {row['epochs']:>6}  "
                f"{row['train_seconds']:>7}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
