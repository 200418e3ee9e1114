"""A million coloured points, segmented end to end from a file on the processor: time, memory, and how both grow.

    python -m benchmarks.million_points --run saved_models/pointcloud_segmenter_rooms
    KERAS_BACKEND=jax python -m benchmarks.million_points --gpu --points 1000000 7000000    # Needs no TensorFlow.

Generated rooms side by side, as dense as those of training, in a binary PLY. Each size is a process of its own that
reads the file, finds neighbours and coarser levels, runs the network in overlapping blocks, and writes the labels; its
peak memory is that of the whole process. JAX compiles the network for the sizes of blocks before the clock starts; what
a first call takes stands beside. Three rounds over the sizes, medians; "processor" is the time of both cores
together, which other work on the machine changes little. Without --run, the network of the
config, as it is initialised, takes the same time, and no score is reported.

The bound is the traffic that no implementation can avoid: each flex-convolution reads its features, positions and
neighbours once and writes its outputs, 4 (N (C_in + C_out + 3) + N K) bytes, over the bandwidth of adding two large
arrays, measured in the same process.
"""

import argparse
import json
import math
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.train_step import ROOT, machine, machine_name, versions

CONFIG = "configs/pointcloud/segmenter_rooms.yaml"
SIZES = (100_000, 200_000, 500_000, 1_000_000)


def main():
    """Measures every size and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="folder of a finished run of pointcloud/segmenter on generated rooms")
    parser.add_argument("--points", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="run the network on a GPU; say with --points 7000000")
    parser.add_argument("--output", type=pathlib.Path, help="default: benchmarks/results/million_points_<machine>.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print("RESULT " + json.dumps(work(pathlib.Path(arguments.worker), arguments.run)))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {points: write_building(points, pathlib.Path(folder)) for points in arguments.points}
        rounds = [
            {points: measure(files[points], arguments.run, gpu=arguments.gpu) for points in files}
            for _ in range(arguments.rounds)
        ]
    report = summary(rounds)
    facts = machine()
    report |= {"machine": facts, "versions": versions(), "load_average": os.getloadavg()[0], "run": arguments.run}
    report["backend"] = os.environ.get("KERAS_BACKEND", "tensorflow")
    output = arguments.output or ROOT / "benchmarks" / "results" / f"million_points_{machine_name(facts)}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def write_building(points: int, folder: pathlib.Path) -> pathlib.Path:
    """Rooms in a PLY file, with their true labels."""
    from tfdlcv.data import cloud_files, rooms

    building = rooms.sample_building(points)
    return cloud_files.write_ply(folder / f"{points}.ply", building.positions, building.color, label=building.label)


def measure(path: pathlib.Path, run: str | None, *, gpu: bool = False) -> dict:
    """One size in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.million_points",
        "--worker",
        str(path),
        *(["--run", run] if run else []),
    ]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if not gpu:
        environment |= {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"the worker for {path} failed: {done.stderr[-2000:]}")
    return json.loads(lines[0].removeprefix("RESULT "))


def work(path: pathlib.Path, run: str | None) -> dict:
    """Segments one file; the network is loaded, and has run once on a small cloud, before the clock starts."""
    from tfdlcv.data import cloud_files
    from tfdlcv.metrics import per_class_iou

    segmenter, network, facts = load(run)
    warm_up(segmenter)
    compiling = warm_up_sizes(segmenter, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, processor_start = time.perf_counter(), time.process_time()
    cloud = cloud_files.read_cloud(path)
    read = time.perf_counter()
    found = segmenter.segment(cloud)
    segmented = time.perf_counter()
    np.savez(path.with_suffix(".labels.npz"), label=found["label"], probability=found["probability"])
    end, processor_end = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    classes = len(facts["class_names"])
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (cloud.label, found["label"]), 1)
    seconds = {"read": read - start, **found["seconds"], "write": end - segmented, "total": end - start}
    seconds["processor"] = processor_end - processor_start
    traffic = compulsory_bytes(network, len(cloud), segmenter.spec)
    return {
        "points": len(cloud),
        "seconds": seconds,
        "first_call_seconds": compiling,
        "peak_memory_mib": round(peak / 2**10),
        "memory_before_mib": round(before / 2**10),
        "mean_iou": float(np.nanmean(per_class_iou(matrix))) if run else None,
        "compulsory_gb": traffic / 1e9,
        "bandwidth_gb_per_second": bandwidth() / 1e9,
    }


def load(run: str | None):
    """The segmenter, its network, and the facts of the data."""
    from tfdlcv.config import load_config
    from tfdlcv.data.rooms import CLASS_NAMES
    from tfdlcv.models.weights import load_pretrained
    from tfdlcv.systems import point_networks
    from tfdlcv.systems.point_predictions import Segmenter

    if run:
        config = load_config(pathlib.Path(run) / "config.yaml")
        facts = json.loads((pathlib.Path(run) / "dataset.json").read_text())
    else:
        config = load_config(ROOT / CONFIG)
        facts = {"class_names": list(CLASS_NAMES), "features": list(config.data.features), "centre": "floor"}
        facts |= {"up_axis": 2, "category_names": [], "spacing": 0.0, "num_features": 4}
    network = point_networks.build_segmenter(
        config.model, num_classes=len(facts["class_names"]), features=facts["num_features"]
    )
    if run:
        load_pretrained(network, run)
    return Segmenter(network, facts, point_networks.pyramid_of(config.model), config.model), network, facts


def warm_up(segmenter):
    """Traces the network and starts the thread pools."""
    from tfdlcv.data.rooms import sample_building

    segmenter.segment(sample_building(5000))


def warm_up_sizes(segmenter, path: pathlib.Path) -> float | None:
    """Seconds of a first call with the cloud itself on JAX, which compiles for each size; nothing on TensorFlow."""
    import keras

    from tfdlcv.data import cloud_files

    if keras.backend.backend() != "jax":
        return None
    start = time.perf_counter()
    segmenter.segment(cloud_files.read_cloud(path))
    return round(time.perf_counter() - start, 2)


def compulsory_bytes(network, points: int, spec) -> float:
    """What the flex-convolutions of the network must read and write, in bytes."""
    from tfdlcv.layers import FlexConv

    sizes = spec.sizes(points)
    total = 0
    for layer in network.layers:
        if isinstance(layer, FlexConv):
            level = int(layer.name.removeprefix("down").removeprefix("up").partition("_")[0])
            _, channels, filters = layer.theta.shape
            total += 4 * sizes[level] * (channels + filters + 3 + spec.neighbors) + 4 * layer.count_params()
    return total


def bandwidth() -> float:
    """Bytes a second that adding two arrays of 256 MB moves, on all cores; the best of five."""
    from keras import ops

    first, second = ops.ones((64 * 2**20,)), ops.ones((64 * 2**20,))
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        _ = ops.convert_to_numpy((first + second)[:1])
        best = min(best, time.perf_counter() - start)
    return 3 * 4 * 64 * 2**20 / best


def summary(rounds: list[dict[int, dict]]) -> dict:
    """Medians over rounds, the growth from the smallest size to the largest, and the ratio to the bound."""
    sizes = []
    for points in rounds[0]:
        results = [entry[points] for entry in rounds]
        seconds = {
            part: round(statistics.median(result["seconds"][part] for result in results), 3)
            for part in results[0]["seconds"]
        }
        bound = results[0]["compulsory_gb"] / max(result["bandwidth_gb_per_second"] for result in results)
        sizes.append(
            {
                "points": points,
                "seconds": seconds,
                "total_seconds_of_rounds": [round(result["seconds"]["total"], 2) for result in results],
                "peak_memory_mib": max(result["peak_memory_mib"] for result in results),
                "memory_before_mib": results[0]["memory_before_mib"],
                "mean_iou": results[0]["mean_iou"],
                "compulsory_gb": round(results[0]["compulsory_gb"], 3),
                "bandwidth_gb_per_second": round(max(r["bandwidth_gb_per_second"] for r in results), 2),
                "network_over_bound": round(seconds["network"] / bound, 1),
                "first_call_seconds": results[0]["first_call_seconds"],
            }
        )
    exponents = {}
    for clock in ("total", "processor") if len(sizes) > 1 else ():
        times, points = [row["seconds"][clock] for row in sizes], [row["points"] for row in sizes]
        exponents[clock] = round(math.log(times[-1] / times[0]) / math.log(points[-1] / points[0]), 3)
    return {"sizes": sizes, "exponents_of_time": exponents}


def table(report: dict) -> str:
    """The report as text."""
    lines = ["    points  total s  processor s  read  neighbors  network  peak MiB  network / bound  mean IoU"]
    for row in report["sizes"]:
        seconds = row["seconds"]
        score = "" if row["mean_iou"] is None else f"{row['mean_iou']:.3f}"
        lines.append(
            f"{row['points']:>10,}  {seconds['total']:7.2f}  {seconds['processor']:11.2f}  {seconds['read']:4.2f}  "
            f"{seconds['neighbors']:9.2f}  {seconds['network']:7.2f}  {row['peak_memory_mib']:8,}  "
            f"{row['network_over_bound']:15.1f}  {score:>8}"
        )
    for clock, exponent in report["exponents_of_time"].items():
        lines.append(f"{clock} time grows with points ^ {exponent}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
