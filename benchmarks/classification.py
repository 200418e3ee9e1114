"""Images per second of training and inference, side by side: ResNet-50, MobileNet and DenseNet-121.

    python -m benchmarks.classification
    python -m benchmarks.classification --networks resnet50    # One of them; the others' results stay in the file.
    python -m benchmarks.classification --contenders tfdlcv_jax keras_jax tfdlcv_jax_as_torch torch \\
        --precisions bfloat16 --image-size 224 --batch-size 128 --steps 20 --batches 40    # On a GPU.

Contenders, as far as their packages are installed, each a process of its own:

    tfdlcv             Task.fit on the network of tfdlcv.models in the form of keras.applications
    keras              Keras's own fit on the network of keras.applications
    tfdlcv_as_torch    Task.fit on the network of tfdlcv.models in the form of the PyTorch library
    torch              torchvision (MobileNet: timm), channels last, autocast for bfloat16, compiled on a GPU
    tfdlcv_jax, keras_jax, tfdlcv_jax_as_torch    the same on Keras's JAX backend, one jitted step; by --contenders only

The forms of a network differ in where it takes strides (ResNet-50: on the 1 x 1 in keras.applications, on the 3 x 3 in
torchvision) and how it pads. Every round measures each contender once in training and once in inference, one after the
other, in an order that rotates; ratios are medians over rounds of the ratio within the round. Data are one resident
batch of random numbers. Prints a table and writes results/classification_<machine>.json.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks import classification_contenders, train_step

PACKAGES = {"tfdlcv": "tensorflow", "keras": "tensorflow", "tfdlcv_as_torch": "tensorflow", "torch": "torch"}
PAIRS = (
    ("tfdlcv", "keras"),
    ("tfdlcv_as_torch", "torch"),
    ("tfdlcv_jax", "keras_jax"),
    ("tfdlcv_jax_as_torch", "torch"),
)
KINDS = ("training", "inference")
OPTIONS = ("image_size", "batch_size", "steps", "batches", "seed")  # What a contender is told.


def main():
    """Race, print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks, precisions = [*classification_contenders.NETWORKS], ("float32", "bfloat16")
    parser.add_argument("--networks", nargs="+", choices=networks, default=networks)
    parser.add_argument("--contenders", nargs="+", choices=classification_contenders.MAKE, help="default: see above")
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=("float32",))
    parser.add_argument("--image-size", type=int, default=96, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=3, help="of training in a round; default: %(default)s")
    parser.add_argument("--batches", type=int, default=6, help="of inference in a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=train_step.ROOT / "benchmarks" / "results")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments)
    machine = train_step.machine()
    path = arguments.output / f"classification_{train_step.machine_name(machine)}.json"
    names = ("image_size", "batch_size", "steps", "batches", "rounds", "seed")
    facts = {
        "machine": machine,
        "versions": versions(),
        "settings": {name: getattr(arguments, name) for name in names},
    }
    report = continued(path, facts)
    for precision in arguments.precisions:
        for network in arguments.networks:
            results = race(contenders(arguments), network, precision, arguments)
            date = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
            entry = {"date": date, "results": results, "ratios": ratios(results)}
            report["networks"].setdefault(precision, {})[network] = entry
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))
    print(f"\nwritten to {path}")


def contenders(arguments) -> list[str]:
    """Those asked for, or all whose packages are installed."""
    present = {package: importlib.util.find_spec(package) is not None for package in {*PACKAGES.values()}}
    return arguments.contenders or [name for name, package in PACKAGES.items() if present[package]]


def continued(path: pathlib.Path, facts: dict) -> dict:
    """The report of before, if machine, versions and settings are the same, so that each network may have its call."""
    if path.is_file():
        report = json.loads(path.read_text())
        if {name: report.get(name) for name in facts} == facts:
            return report
    return {**facts, "networks": {}}


def versions() -> dict[str, str]:
    """Of Python and of every package that could change the numbers."""
    found = train_step.versions()
    for package in ("torchvision", "timm", "keras-hub"):
        if importlib.util.find_spec(package.replace("-", "_")) is not None:
            found[package] = importlib.metadata.version(package)
    return found


# -- The race -------------------------------------------------------------------------------------------------------


def race(
    names, network: str, precision: str, arguments, *, module: str = "benchmarks.classification", options=OPTIONS
) -> dict[str, dict]:
    """-> for each contender its images per second in every round, their median, of training and of inference, and its
    peak memory. A worker is a process of `module`, which gets `options` from the arguments."""
    workers = {name: start_worker(name, network, precision, arguments, module, options) for name in names}
    facts = {name: train_step.read_line(worker, name) for name, worker in workers.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in names}
    for index in range(arguments.rounds):
        turn = index % len(names)
        for kind in KINDS:
            for name in [*names[turn:], *names[:turn]]:
                print(kind, file=workers[name].stdin, flush=True)
                seconds[name][kind].append(train_step.read_line(workers[name], name)["seconds"])
        print(f"{network} {precision} round {index + 1} of {arguments.rounds}", file=sys.stderr)
    results = {}
    for name, worker in workers.items():
        print("stop", file=worker.stdin, flush=True)
        results[name] = {**facts[name], **train_step.read_line(worker, name)}
        worker.wait()
        for kind, count in zip(KINDS, (arguments.steps, arguments.batches), strict=True):
            rounds = [round(count * arguments.batch_size / s, 2) for s in seconds[name][kind]]
            results[name][kind] = {"images_per_second": statistics.median(rounds), "rounds": rounds}
    return results


def start_worker(name: str, network: str, precision: str, arguments, module: str, options) -> subprocess.Popen:
    """A process that answers `training`, `inference` and `stop` in its input with a line of JSON."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax" if "jax" in name else "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # The contenders share the GPU's memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    settings = {"--worker": name, "--networks": network, "--precisions": precision}
    settings |= {f"--{option.replace('_', '-')}": getattr(arguments, option) for option in options}
    command = [sys.executable, "-m", module]
    command += [str(part) for setting in settings.items() for part in setting]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=train_step.ROOT, text=True, **pipes)


def work(arguments):
    """One contender: trains or infers whenever told to."""
    (network,), (precision,) = arguments.networks, arguments.precisions
    contender = classification_contenders.MAKE[arguments.worker](
        arguments.worker,
        network,
        precision,
        batch_size=arguments.batch_size,
        image_size=arguments.image_size,
        seed=arguments.seed,
    )
    serve(contender, arguments)


def serve(contender, arguments):
    """Answers what `race` asks for, until it says `stop`."""
    before = train_step.peak_memory_mib()
    contender.train(2)  # Traces, compiles and fills caches.
    contender.infer(2)
    facts = {"trainable_parameters": contender.trainable_parameters, "device": contender.device}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        start = time.perf_counter()
        contender.train(arguments.steps) if line.strip() == "training" else contender.infer(arguments.batches)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
    memory = {"peak_memory_mib": train_step.peak_memory_mib(), "peak_memory_before_training_mib": before}
    print(json.dumps(memory), flush=True)


# -- The report -----------------------------------------------------------------------------------------------------


def ratios(results: dict[str, dict], pairs=PAIRS) -> dict[str, dict[str, float]]:
    """-> {"a / b": {kind: median over rounds of a's images per second over b's}} for the pairs that are there."""
    found = {}
    for a, b in pairs:
        if a in results and b in results:
            found[f"{a} / {b}"] = {
                kind: round(
                    statistics.median(
                        x / y for x, y in zip(results[a][kind]["rounds"], results[b][kind]["rounds"], strict=True)
                    ),
                    3,
                )
                for kind in KINDS
            }
    return found


def table(report: dict) -> str:
    """The report as text, a contender a line, and the ratios."""
    rows = [("precision", "network", "contender", "parameters", "training", "inference", "peak MiB")]
    for precision, entries in report["networks"].items():
        for network, entry in entries.items():
            for name, result in entry["results"].items():
                speeds = (f"{result[kind]['images_per_second']:.1f}" for kind in KINDS)
                memory = str(result.get("peak_memory_mib", ""))
                rows.append((precision, network, name, f"{result['trainable_parameters']:,}", *speeds, memory))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", "Medians of the ratios of each round, training and inference"]
    for precision, entries in report["networks"].items():
        for network, entry in entries.items():
            for pair, values in entry["ratios"].items():
                lines.append(f"  {precision} {network} {pair}: {values['training']:.2f}, {values['inference']:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
