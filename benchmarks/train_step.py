"""Images per second and peak memory of training ResNet-20 on 32 x 32 x 3, side by side in one run.

    python -m benchmarks.train_step

Contenders, as far as their packages are installed, each a process of its own:

    task            Task.fit, the training step of this project
    keras           Keras's own fit on the same layers
    keras_stock     Keras's own fit on the same network with keras.layers.BatchNormalization
    torch           the same network in PyTorch, channels last, autocast for bfloat16
    jax             the network on Keras's JAX backend, one jitted step; where TensorFlow is absent, or by --contenders

Every round trains each contender for the same number of steps, one contender after the other, in an order that rotates;
ratios are medians over rounds of the ratio within the round, so that a slow minute of the machine hits both sides. Data
are one resident batch of random numbers: only the step is timed, no input pipeline. Runs on a GPU when there is one.
Prints a table and writes results/train_step_<machine>.json.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

from benchmarks import train_step_contenders

PACKAGES = {"task": "tensorflow", "keras": "tensorflow", "keras_stock": "tensorflow", "jax": "jax", "torch": "torch"}
ROOT = pathlib.Path(__file__).parents[1]


def main():
    """Race, print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="+", choices=PACKAGES, help="default: all that are installed")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="steps a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments)
    contenders = arguments.contenders or installed_contenders()
    results = {precision: race(contenders, precision, arguments) for precision in arguments.precisions}
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "versions": versions(),
        "network": "ResNet-20, projection shortcuts, 32 x 32 x 3, SGD with Nesterov momentum",
        "settings": {name: getattr(arguments, name) for name in ("batch_size", "steps", "rounds", "seed")},
        "results": results,
        "ratios": {precision: ratios(results[precision]) for precision in results},
    }
    print(table(report))
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"train_step_{machine_name(report['machine'])}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten to {path}")


# -- The race -------------------------------------------------------------------------------------------------------


def installed_contenders() -> list[str]:
    """Those whose framework is there; JAX only stands in for TensorFlow."""
    present = {package: importlib.util.find_spec(package) is not None for package in set(PACKAGES.values())}
    return [
        name for name, package in PACKAGES.items() if present[package] and not (name == "jax" and present["tensorflow"])
    ]


def race(contenders, precision: str, arguments) -> dict[str, dict]:
    """-> for each contender its images per second in every round, their median, and its memory."""
    workers = {name: start_worker(name, precision, arguments) for name in contenders}
    facts = {name: read_line(worker, name) for name, worker in workers.items()}
    parameters = {name: fact["trainable_parameters"] for name, fact in facts.items()}
    if len(set(parameters.values())) != 1:
        raise SystemExit(f"the contenders train different networks; trainable parameters: {parameters}")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(arguments.rounds):
        turn = index % len(contenders)
        for name in [*contenders[turn:], *contenders[:turn]]:
            print("train", file=workers[name].stdin, flush=True)
            seconds[name].append(read_line(workers[name], name)["seconds"])
        print(f"{precision} round {index + 1} of {arguments.rounds}", file=sys.stderr)
    images = arguments.batch_size * arguments.steps
    results = {}
    for name, worker in workers.items():
        print("stop", file=worker.stdin, flush=True)
        rounds = [round(images / s, 1) for s in seconds[name]]
        memory = read_line(worker, name)
        results[name] = {"images_per_second": statistics.median(rounds), "rounds": rounds, **facts[name], **memory}
        worker.wait()
    return results


def start_worker(name: str, precision: str, arguments) -> subprocess.Popen:
    """A process that trains on `train` in its input and ends on `stop`, and answers each in a line of JSON."""
    options = ["--batch-size", arguments.batch_size, "--steps", arguments.steps, "--seed", arguments.seed]
    environment = os.environ | {
        "KERAS_BACKEND": "jax" if name == "jax" else "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The contenders share the GPU's memory, and the peak shall be what a step needs.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    command = [
        sys.executable,
        "-m",
        "benchmarks.train_step",
        "--worker",
        name,
        "--precisions",
        precision,
        *map(str, options),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, **pipes)


def read_line(worker: subprocess.Popen, name: str) -> dict:
    """The next answer of a worker, past what libraries print."""
    for line in worker.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"the contender {name} ended with status {worker.wait()}")


def work(arguments):
    """One contender: trains `steps` steps whenever told to, then tells its peak memory."""
    (precision,) = arguments.precisions
    contender = train_step_contenders.MAKE[arguments.worker](
        precision, batch_size=arguments.batch_size, seed=arguments.seed
    )
    before = peak_memory_mib()
    contender.train(3)  # Traces, compiles and fills caches.
    facts = {"trainable_parameters": contender.trainable_parameters, "device": contender.device}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        start = time.perf_counter()
        contender.train(arguments.steps)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
    memory = {"peak_memory_mib": peak_memory_mib(), "peak_memory_before_training_mib": before}
    if contender.device != "cpu":
        memory["peak_device_memory_mib"] = round(contender.peak_device_memory() / 2**20)
    print(json.dumps(memory), flush=True)


def peak_memory_mib() -> int:
    """Largest resident memory of this process so far. (ru_maxrss is in KiB on Linux.)"""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


# -- The report -----------------------------------------------------------------------------------------------------


def ratios(results: dict[str, dict]) -> dict[str, float]:
    """-> {"a / b": median over rounds of a's images per second over b's} for every two contenders."""
    names = [*results]
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    rounds = {(a, b): zip(results[a]["rounds"], results[b]["rounds"], strict=True) for a, b in pairs}
    return {f"{a} / {b}": round(statistics.median(x / y for x, y in rounds[a, b]), 3) for a, b in pairs}


def table(report: dict) -> str:
    """The report as text, a contender a line, and the ratios."""
    header = ("precision", "contender", "images/s", "range of rounds", "peak MiB", "of it before training")
    rows = [header]
    for precision, results in report["results"].items():
        for name, result in results.items():
            spread = f"{min(result['rounds']):.0f}-{max(result['rounds']):.0f}"
            memory = (result["peak_memory_mib"], result["peak_memory_before_training_mib"])
            rows.append((precision, name, f"{result['images_per_second']:.0f}", spread, *map(str, memory)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for precision, values in report["ratios"].items():
        lines += ["", f"{precision}: median of the ratios of each round"]
        lines += [f"  {name}: {value:.2f}" for name, value in values.items()]
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Of Python and of every package that could change the numbers."""
    packages = ("tfdlcv", "tensorflow", "keras", "numpy", "torch", "jax")
    present = {package: importlib.util.find_spec(package) is not None for package in packages}
    found = {package: importlib.metadata.version(package) for package in packages if present[package]}
    return {"python": platform.python_version(), **found}


def machine() -> dict[str, str | int]:
    """The processor, its usable cores and the GPU, if nvidia-smi names one."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    facts = {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpus = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        facts |= {"gpu": gpus[0]} if gpus else {}
    return facts


def machine_name(facts: dict[str, str | int]) -> str:
    """The GPU, or the processor and its cores, in letters that a file name can have."""
    text = str(facts.get("gpu") or f"{facts['processor']} {facts['cores']} cores")
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


if __name__ == "__main__":
    main()
