"""Milliseconds a training step of temporal convolutional networks, and microseconds a step of streaming, side by side.

    python -m benchmarks.tcn

Networks: those of Bai, Kolter and Koltun 2018 for copy memory (T = 1000), the adding problem (T = 600) and sequential
MNIST. Contenders of training, each a process of its own, as far as their packages are installed:

    tcn        Task.fit's step, this project's training step, on `tfdlcv.models.tcn`
    full       the same without the thinning of networks of the last step: every output of every block
    xla        the same as tcn, compiled by XLA
    keras_tcn  keras-tcn's layer (without weight normalisation; skip connections off), Keras's own fit
    torch      the authors' network in PyTorch, eager
    lstm, gru  this project's recurrent networks with as many parameters

Every round trains each contender for the same number of steps, one contender after the other, in an order that rotates;
ratios are medians over rounds of the ratio within the round. Data are one resident batch of random numbers: only the
step is timed. Streaming: one frame of one sequence by `TcnStream`, after 200 and 20,000 frames, against running the
network again on the window of its receptive field. Prints a table and writes results/tcn_<machine>.json; of a report
with the same machine, versions and settings, networks that are not raced this time are kept.
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

from benchmarks import tcn_contenders
from benchmarks.tcn_contenders import NETWORKS
from benchmarks.train_step import machine, machine_name, versions

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = {
    "tcn": "tensorflow",
    "full": "tensorflow",
    "xla": "tensorflow",
    "keras_tcn": "tcn",
    "torch": "torch",
    "lstm": "tensorflow",
    "gru": "tensorflow",
}


def main():
    """Race, print the table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--contenders", nargs="+", choices=PACKAGES, help="default: all that are installed")
    parser.add_argument("--steps", type=int, default=5, help="steps a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=machine()["cores"], help="of a contender; default: all cores")
    parser.add_argument(
        "--frames", type=int, default=200, help="frames that streaming is timed on; default: %(default)s"
    )
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--network", choices=NETWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker == "streaming":
        return print(json.dumps(tcn_contenders.time_streaming(arguments.network, arguments.frames)))
    if arguments.worker:
        return work(arguments)
    contenders = arguments.contenders or [n for n, package in PACKAGES.items() if importlib.util.find_spec(package)]
    facts = {
        "machine": machine(),
        "versions": {**versions(), **version_of_keras_tcn()},
        "settings": {name: getattr(arguments, name) for name in ("steps", "rounds", "threads", "frames")},
    }
    path = arguments.output / f"tcn_{machine_name(facts['machine'])}.json"
    networks = measured_before(path, facts)
    for name in arguments.networks:
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
        networks[name] = {"date": date, "load_average_before": os.getloadavg()[0]}
        networks[name]["training"] = race(name, contenders, arguments)
        if arguments.frames:
            result = json.loads(start_worker("streaming", name, arguments).communicate()[0].splitlines()[-1])
            networks[name]["streaming"] = result
            print(f"{name:18} streaming  " + "  ".join(f"{key} {value:,.0f}" for key, value in result.items()))
        arguments.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, "networks": networks}, indent=1) + "\n", encoding="utf-8")
    print(path)


def measured_before(path, facts):
    """What the report at `path` has of networks, if machine, versions and settings were the same."""
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return report.get("networks", {}) if all(report.get(name) == fact for name, fact in facts.items()) else {}


def version_of_keras_tcn():
    """Where it is installed."""
    if importlib.util.find_spec("tcn") is None:
        return {}
    return {"keras-tcn": importlib.metadata.version("keras-tcn")}


def start_worker(contender, network, arguments):
    """Starts the process of a contender, which trains a round for each line that it reads."""
    options = {"--steps": arguments.steps, "--threads": arguments.threads, "--frames": arguments.frames}
    options = [str(part) for option in options.items() for part in option]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tcn", "--worker", contender, "--network", network, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # The contenders share the memory of a GPU.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
    )


def race(network, contenders, arguments):
    """Milliseconds a step of each contender and round, their median, and the ratio of its time to that of `tcn`."""
    workers = {name: start_worker(name, network, arguments) for name in contenders}
    facts = {name: read_line(worker, name) for name, worker in workers.items()}
    milliseconds = {name: [] for name in workers}
    names = [*workers]
    for round_number in range(arguments.rounds):
        shift = round_number % len(names)
        for name in names[shift:] + names[:shift]:
            print("train", file=workers[name].stdin, flush=True)
            milliseconds[name].append(read_line(workers[name], name)["milliseconds"])
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    results = {}
    for name, times in milliseconds.items():
        results[name] = {"ms_per_step": round(statistics.median(times), 2)}
        if "tcn" in milliseconds:
            results[name]["times_tcn"] = ratio(times, milliseconds["tcn"])
        print(f"{network:18} {name:10} " + "  ".join(f"{key} {value:9.2f}" for key, value in results[name].items()))
        results[name] |= {"rounds": [round(value, 2) for value in times], **facts[name]}
    return results


def ratio(times, others):
    """The median of the rounds' ratios."""
    return round(statistics.median(own / other for own, other in zip(times, others, strict=True)), 2)


def read_line(worker, name):
    """The next answer of a worker, past what libraries print."""
    for line in worker.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"the contender {name} ended with status {worker.wait()}")


def work(arguments):
    """Train a round for each line of input; print the milliseconds of a step."""
    contender = tcn_contenders.make(arguments.worker, arguments.network, threads=arguments.threads)
    contender.train(3)  # Traces, compiles and fills caches.
    print(json.dumps({"parameters": contender.parameters, "device": contender.device}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        contender.train(arguments.steps)
        print(json.dumps({"milliseconds": (time.perf_counter() - start) / arguments.steps * 1e3}), flush=True)


if __name__ == "__main__":
    main()
