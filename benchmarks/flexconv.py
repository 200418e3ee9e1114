"""Milliseconds and memory of one flex-convolution, forward and with its gradients, beside other ways to do the work.

    python -m benchmarks.flexconv

Contenders, as far as their packages are installed, each a process of its own:

    layer           tfdlcv.layers.FlexConv in a TensorFlow graph
    layer_remat     the same in keras.RematScope: the backward pass computes the moments again instead of keeping them
    layer_xla       the same compiled by XLA
    layer_jax       the same on Keras's JAX backend, jitted
    naive           the formula as it is printed: a weight matrix for every edge, in a TensorFlow graph
    torch_moments   the algorithm of the layer written in PyTorch
    torch_pointnet  PyTorch Geometric's PointNetConv: largest of a linear layer of (features, relative position)
    torch_kpconv    a rigid kernel-point convolution of 15 kernel points, written plainly in PyTorch

All take the same cloud with the same neighbours, and as many channels and filters. A step gives the gradients to the
features and all weights. Every round times each contender, one after the other, in an order that rotates; ratios are
medians over rounds of the ratio within the round. Extra memory is the largest resident memory of the process less that
before its first step. `--layers 8` races eight layers, one after the other, of the first three contenders instead.
Prints a table and writes results/flexconv_<machine>.json.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from benchmarks import flexconv_contenders
from benchmarks.train_step import machine, machine_name, peak_memory_mib, read_line

PACKAGES = {
    "layer": "tensorflow",
    "layer_remat": "tensorflow",
    "layer_xla": "tensorflow",
    "layer_jax": "jax",
    "naive": "tensorflow",
    "torch_moments": "torch",
    "torch_pointnet": "torch_geometric",
    "torch_kpconv": "torch",
}
STACKED = ("layer", "layer_remat", "layer_xla")
ROOT = pathlib.Path(__file__).parents[1]
SIZES = {"clouds": 1, "points": 4096, "neighbors": 9, "channels": 64, "filters": 64}


def main():
    """Race, print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="+", choices=PACKAGES, help="default: all that are installed")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    parser.add_argument("--layers", type=int, default=1, help="one after the other; default: %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="steps a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments)
    able = [name for name in PACKAGES if arguments.layers == 1 or name in STACKED]
    contenders = arguments.contenders or [name for name in able if importlib.util.find_spec(PACKAGES[name])]
    if not set(contenders) <= set(able):
        parser.error(f"--layers {arguments.layers} is for {', '.join(able)}")
    results = race(contenders, arguments)
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "versions": versions(),
        "settings": {name: getattr(arguments, name) for name in (*SIZES, "layers", "steps", "rounds", "seed")},
        "results": results,
        "ratios": ratios(results),
    }
    print(table(report))
    arguments.output.mkdir(parents=True, exist_ok=True)
    stack = f"_{arguments.layers}_layers" if arguments.layers > 1 else ""
    path = arguments.output / f"flexconv{stack}_{machine_name(report['machine'])}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten to {path}")


def race(contenders, arguments) -> dict[str, dict]:
    """-> for each contender its milliseconds in every round, their medians, and its memory."""
    workers = {name: start_worker(name, arguments) for name in contenders}
    facts = {name: read_line(worker, name) for name, worker in workers.items()}
    rounds = {name: {"forward": [], "step": []} for name in contenders}
    for index in range(arguments.rounds):
        turn = index % len(contenders)
        for name in [*contenders[turn:], *contenders[:turn]]:
            print("time", file=workers[name].stdin, flush=True)
            times = read_line(workers[name], name)
            for what, values in rounds[name].items():
                values.append(round(times[what], 2))
        print(f"round {index + 1} of {arguments.rounds}", file=sys.stderr)
    results = {}
    for name, worker in workers.items():
        worker.stdin.close()
        worker.wait()
        medians = {f"{what}_ms": statistics.median(values) for what, values in rounds[name].items()}
        results[name] = {**medians, **facts[name], "rounds": rounds[name]}
    return results


def start_worker(name: str, arguments) -> subprocess.Popen:
    """A process that times its contender on every line of input, and answers in a line of JSON."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax" if name == "layer_jax" else "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    options = [f"--{option}={getattr(arguments, option)}" for option in (*SIZES, "layers", "steps", "seed")]
    command = [sys.executable, "-m", "benchmarks.flexconv", "--worker", name, *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=ROOT, text=True, **pipes)


def work(arguments):
    """One contender: its memory first, then its times whenever told to."""
    cloud = flexconv_contenders.random_cloud(
        arguments.clouds, arguments.points, arguments.neighbors, arguments.channels, arguments.seed
    )
    several = {"layers": arguments.layers} if arguments.layers > 1 else {}
    contender = flexconv_contenders.MAKE[arguments.worker](cloud, arguments.filters, **several)
    before = resident_memory_mib()
    for _ in range(3):  # Traces, compiles and fills caches.
        contender.step()
    facts = {"parameters": contender.parameters, "extra_memory_mib": peak_memory_mib() - before}
    contender.forward()
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        times = {}
        for what, call in (("forward", contender.forward), ("step", contender.step)):
            call()
            seconds = []
            for _ in range(arguments.steps):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            times[what] = 1000 * statistics.median(seconds)
        print(json.dumps(times), flush=True)


def resident_memory_mib() -> int:
    """Resident memory of this process now; the peak so far where /proc does not tell."""
    if sys.platform != "linux":
        return peak_memory_mib()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def ratios(results: dict[str, dict]) -> dict[str, dict[str, float]]:
    """-> for each other contender, how many times the time and the memory of `layer` it takes."""
    if "layer" not in results:
        return {}
    own, found = results["layer"], {}
    for name, other in results.items():
        if name == "layer":
            continue
        found[name] = {"extra_memory": round(other["extra_memory_mib"] / max(own["extra_memory_mib"], 1), 1)}
        for what in ("forward", "step"):
            pairs = zip(own["rounds"][what], other["rounds"][what], strict=True)
            found[name][what] = round(statistics.median(theirs / ours for ours, theirs in pairs), 2)
    return found


def table(report: dict) -> str:
    """The report as text, a contender a line."""
    rows = [("contender", "forward ms", "step ms", "extra MiB", "parameters", "x forward", "x step", "x memory")]
    for name, result in report["results"].items():
        ratio = report["ratios"].get(name, {"forward": 1, "step": 1, "extra_memory": 1})
        times = (f"{result['forward_ms']:.1f}", f"{result['step_ms']:.1f}")
        relative = [f"{ratio[what]:.2f}" for what in ("forward", "step", "extra_memory")]
        rows.append((name, *times, str(result["extra_memory_mib"]), str(result["parameters"]), *relative))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def versions() -> dict[str, str]:
    """Of Python and of every package that could change the numbers."""
    packages = ("tfdlcv", "tensorflow", "keras", "numpy", "torch", "torch_geometric", "jax")
    present = [package for package in packages if importlib.util.find_spec(package) is not None]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in present}}


if __name__ == "__main__":
    main()
