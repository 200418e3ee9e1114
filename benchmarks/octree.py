"""Milliseconds and memory of octrees against dense volumes: where does the octree pay?

    python -m benchmarks.octree                              # 32^3 to 256^3; 15 minutes on two cores, up to 16 GB
    python -m benchmarks.octree --resolutions 32 64

At each resolution, on the voxels of a generated surface (a torus: 3 to 25 % of the voxels become leaves of their own):

    convolution     one layer of 3^3 taps, forward and with the gradients to features and kernel:
                    tfdlcv.layers.OctreeConv and keras.layers.Conv3D, 16 to 16 channels
    network         the gradients of a classifier's loss to all weights, for one volume: tfdlcv.models.octnet and
                    dense3d, with as many coarser stages as leave 8^3 voxels (4^3 at 32^3)

Each is a process of its own, one after the other, several rounds; medians. Extra memory is the largest resident memory
of the process less that before the first step. "build" is the time that one thread takes on the host for the octree and
its index arrays, which data pipelines do while the device computes. A dense network that would not fit the memory that
is free is left out, with what it would take. Prints a table and writes results/octree_<machine>.json.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

from benchmarks.flexconv import resident_memory_mib
from benchmarks.train_step import ROOT, machine, machine_name, peak_memory_mib, versions

RESOLUTIONS = (32, 64, 128, 256)
WORK = {"convolution": ("octree", "dense"), "network": ("octree", "dense")}
CHANNELS = 16
CLASSES = 10
# Of dense3d: the outputs of its layers at full resolution are kept for the gradients, 102 channels of float32, and the
# widest two have gradients at the same time.
NETWORK_BYTES_PER_VOXEL = 4 * (1 + 8 + 14 + 14 + 20 + 20 + 26 + 26 + 20) + 4 * 2 * (26 + 26 + 32) / 8


def main():
    """Measures what fits, prints the table and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=list(RESOLUTIONS))
    parser.add_argument("--work", nargs="+", choices=WORK, default=[*WORK])
    parser.add_argument("--steps", type=int, default=3, help="of a process; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    parser.add_argument("--worker", nargs=3, metavar=("WORK", "KIND", "RESOLUTION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work, kind, resolution = arguments.worker
        print(json.dumps(measure(work, kind, int(resolution), arguments.steps)), flush=True)
        return
    facts = machine()
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": facts,
        "versions": versions(),
        "settings": {"channels": CHANNELS, "steps": arguments.steps, "rounds": arguments.rounds},
        "results": [row for work in arguments.work for row in race(work, arguments)],
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"octree_{machine_name(facts)}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report["results"]))
    print(f"\nwritten to {path}")


def race(work: str, arguments) -> list[dict]:
    """A row for each resolution and kind."""
    rows = []
    for resolution in arguments.resolutions:
        needed = bytes_needed(work, resolution)
        found: dict[str, list[dict]] = {kind: [] for kind in WORK[work]}
        for _ in range(arguments.rounds):
            for kind, results in found.items():
                if kind == "octree" or needed < free_bytes():
                    results.append(in_process(work, kind, resolution, arguments.steps))
        for kind, results in found.items():
            rows.append({"work": work, "resolution": resolution, "kind": kind, **medians(results)})
            if not results:
                rows[-1]["left_out"] = f"would take about {needed / 2**30:.0f} GiB"
        print(f"{work} at {resolution}^3 done", file=sys.stderr)
    return rows


def bytes_needed(work: str, resolution: int) -> float:
    """About how much memory the dense form takes."""
    # Input, output, their gradients, and what the library lays out anew.
    per_voxel = NETWORK_BYTES_PER_VOXEL if work == "network" else 4 * CHANNELS * 6
    return per_voxel * resolution**3


def free_bytes() -> float:
    """Memory that processes may still take; infinite where the system does not say."""
    path = pathlib.Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))


def in_process(work: str, kind: str, resolution: int, steps: int) -> dict:
    """One measurement in a fresh process, on the CPU or the GPU, whichever TensorFlow takes."""
    command = [sys.executable, "-m", "benchmarks.octree", "--steps", str(steps)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    done = subprocess.run(
        [*command, "--worker", work, kind, str(resolution)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{kind} {work} at {resolution}^3 ended with status {done.returncode}: {done.stderr[-1500:]}")
    return json.loads(lines[0])


def measure(work: str, kind: str, resolution: int, steps: int) -> dict:
    """-> milliseconds of the forward pass and of a step, extra memory, and facts of the octree."""
    volume = surface(resolution)
    facts = {"occupied": round(float(volume.mean()), 5)}
    forward, step = (of_convolution if work == "convolution" else of_network)(kind, volume, facts)
    before = resident_memory_mib()
    step()  # Traces, and fills caches.
    times = {}
    for name, call in (("forward_ms", forward), ("step_ms", step)):
        call()
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        times[name] = round(1000 * statistics.median(seconds), 2)
    return {**times, "extra_memory_mib": peak_memory_mib() - before, **facts}


def surface(resolution: int) -> np.ndarray:
    """Voxels (S, S, S) bool of a torus, without holes: twelve points for each voxel of a surface of S x S."""
    from tfdlcv.data.primitives import sample_primitive
    from tfdlcv.data.volumes import voxelize

    return voxelize(sample_primitive("torus", 12 * resolution**2, np.random.default_rng(0)), resolution)


def build_arrays(volume: np.ndarray, facts: dict) -> dict[str, np.ndarray]:
    """The network's arrays of an octree; notes how many leaves it has and how long they took."""
    from tfdlcv.data.volumes import VolumeSpec
    from tfdlcv.ops import octree
    from tfdlcv.ops.octree_batches import batch_arrays

    spec = VolumeSpec(len(volume), octree=True).octree_spec
    for _ in range(2):  # The first call makes tables that stay.
        start = time.perf_counter()
        tree = octree.build_octree(volume)
        arrays = batch_arrays([tree], [volume[tuple(tree.origins.T)].astype(np.float32)[:, None]], spec)
        facts["build_ms"] = round(1000 * (time.perf_counter() - start), 1)
    facts["leaves"] = tree.num_leaves
    return arrays


def of_convolution(kind: str, volume: np.ndarray, facts: dict):
    """-> (forward, step) of one layer."""
    import keras
    import tensorflow as tf

    from tfdlcv.layers import OctreeConv
    from tfdlcv.ops.octree_batches import group_inputs

    reads: list[tf.Tensor] = []
    if kind == "octree":
        arrays = build_arrays(volume, facts)
        reads = [tf.constant(arrays[name]) for name in group_inputs(0)]
        shape, layer = arrays["features"].shape[:-1], OctreeConv(CHANNELS)
    else:
        shape, layer = (1, *volume.shape), keras.layers.Conv3D(CHANNELS, 3, padding="same")
    features = tf.random.normal((*shape, CHANNELS))
    layer([features, *reads] if reads else features)

    @tf.function(autograph=False)
    def forward(features):
        return layer([features, *reads] if reads else features)

    @tf.function(autograph=False)
    def step(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = tf.reduce_sum(forward(features))
        return tape.gradient(loss, [features, *layer.trainable_variables])

    return lambda: wait(forward(features)), lambda: wait(step(features))


def of_network(kind: str, volume: np.ndarray, facts: dict):
    """-> (forward, step) of a classifier."""
    import tensorflow as tf

    from tfdlcv import models
    from tfdlcv.training.batches import network_inputs

    resolution = len(volume)
    stages = max(resolution.bit_length() - 5, 2)
    options = {"resolution": resolution, "coarse_filters": ((26, 32),) + ((32, 32),) * (stages - 1)}
    if kind == "octree":
        network, batch = models.octnet(CLASSES, **options), build_arrays(volume, facts)
    else:
        network, batch = models.dense3d(CLASSES, **options), {"occupancy": volume[None, ..., None].astype(np.float32)}
    facts["parameters"] = network.count_params()
    inputs = network_inputs(network, {name: tf.constant(values) for name, values in batch.items()})

    @tf.function(autograph=False)
    def forward(inputs):
        return network(inputs, training=False)

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = -tf.nn.log_softmax(network(inputs, training=True))[0, 0]
        return tape.gradient(loss, network.trainable_variables)

    return lambda: wait(forward(inputs)), lambda: wait(step(inputs))


def wait(values):
    """Until the device is done."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda value: tf.convert_to_tensor(value).numpy().ravel()[:1], values)


def medians(results: list[dict]) -> dict:
    """Over rounds, of numbers; empty without any."""
    return {name: statistics.median(result[name] for result in results) for name in results[0]} if results else {}


def table(rows: list[dict]) -> str:
    """The report as text: a line for each work and resolution, the dense form's ratios last."""
    lines = ["work         voxels  leaves     octree ms  dense ms  ratio  octree MiB  dense MiB  ratio  build ms"]
    by_place = {(row["work"], row["resolution"], row["kind"]): row for row in rows}
    for work, resolution in dict.fromkeys((row["work"], row["resolution"]) for row in rows):
        own, other = (by_place[work, resolution, kind] for kind in ("octree", "dense"))
        line = f"{work:<11}  {resolution:>4}^3  {own['leaves']:>9,}  {own['step_ms']:>9,.1f}"
        memory = own["extra_memory_mib"]
        if "left_out" in other:
            line += f"  dense {other['left_out']}; octree {memory:,} MiB"
        else:
            line += f"  {other['step_ms']:>8,.1f}  {other['step_ms'] / own['step_ms']:>5.2f}"
            line += (
                f"  {memory:>10,}  {other['extra_memory_mib']:>9,}  {other['extra_memory_mib'] / max(memory, 1):>5.2f}"
            )
            line += f"  {own['build_ms']:>8,.1f}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
