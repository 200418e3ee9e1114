"""Seconds and memory of neighbour search in large clouds: the hashed grid in a graph, and a k-d tree on the host.

    python -m benchmarks.neighbors                           # 10^5 and 10^6 points
    python -m benchmarks.neighbors --points 10000000 --searches grid

The nine nearest points of every point of generated rooms (`tfdlcv.data.rooms`), all of the same density:

    grid    tfdlcv.ops.neighbors.knn_grid in a TensorFlow graph, cells 1.5 times as wide as the ninth neighbour is far
    xla     the same, compiled by XLA
    tree    tfdlcv.ops.neighbors.knn_host (scipy's k-d tree) on all cores

Each search of each size is a process of its own, once to warm up (the grid's graph is traced), then timed. Extra memory
is the largest resident memory of the process less that before the search. "overflow" is the share of points of which
the grid says that it may be wrong, and "wrong" the share whose neighbours differ from the tree's, among the points of
which it does not say so: it must be 0. Prints a table and writes results/neighbors_<machine>.json.
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

NEIGHBORS = 9
SEARCHES = ("grid", "xla", "tree")
SETTINGS = ("cells", "capacity", "chunk", "rounds")
COMPARED = 20_000  # Points whose neighbours are compared with the tree's.


def main():
    """Measures every size, prints the table and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=[*SEARCHES])
    parser.add_argument("--cells", type=float, default=1.5, help="their size; default: %(default)s ninth distances")
    parser.add_argument(
        "--capacity", type=int, default=6 * NEIGHBORS, help="of a column of three cells; default: %(default)s"
    )
    parser.add_argument("--chunk", type=int, default=4096, help="query points at once; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    parser.add_argument("--worker", choices=SEARCHES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        result = measure(arguments.worker, arguments.points[0], arguments)
        print(json.dumps(result), flush=True)
        return
    rows = []
    for points in arguments.points:
        for search in arguments.searches:
            rows.append({"points": points, "search": search, **in_process(search, points, arguments)})
    facts = machine()
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": facts,
        "versions": versions(),
        "settings": {name: getattr(arguments, name) for name in SETTINGS},
        "results": rows,
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"neighbors_{machine_name(facts)}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(table(rows))
    print(f"\nwritten to {path}")


def in_process(search: str, points: int, arguments) -> dict:
    """One search of one size in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.neighbors", "--worker", search, "--points", str(points)]
    command += [f"--{name}={getattr(arguments, name)}" for name in SETTINGS]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{search} of {points} points ended with status {done.returncode}: {done.stderr[-1500:]}")
    return json.loads(lines[0])


def measure(search: str, points: int, arguments) -> dict:
    """-> seconds, extra memory, and for the grid how right it was."""
    from tfdlcv.data import rooms
    from tfdlcv.data.pyramid import spatial_order

    positions = rooms.sample_building(points).positions
    positions = (positions - positions.mean(axis=0)).astype(np.float32)
    positions = positions[spatial_order(positions)]
    find = tree_search(positions) if search == "tree" else grid_search(positions, arguments, search == "xla")
    before = resident_memory_mib()
    found = find()
    seconds = []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        found = find()
        seconds.append(time.perf_counter() - start)
    result = {"seconds": round(statistics.median(seconds), 3), "extra_memory_mib": peak_memory_mib() - before}
    return result if search == "tree" else {**result, **agreement(positions, found)}


def grid_search(positions: np.ndarray, arguments, xla: bool):
    """-> a call that returns the grid's answer as arrays."""
    import tensorflow as tf

    from tfdlcv.ops import neighbors

    cell_size = arguments.cells * ninth_distance(positions)

    @tf.function(autograph=False, jit_compile=xla)
    def find(cloud):
        options = {"cell_size": cell_size, "capacity": arguments.capacity, "chunk_size": arguments.chunk}
        return neighbors.knn_grid(cloud, NEIGHBORS, **options)

    cloud = tf.constant(positions[None])
    return lambda: {name: value.numpy()[0] for name, value in find(cloud).items()}


def tree_search(positions: np.ndarray):
    """-> a call that returns the tree's answer."""
    from tfdlcv.ops import neighbors

    return lambda: neighbors.knn_host(positions, NEIGHBORS, workers=-1)


def ninth_distance(positions: np.ndarray) -> float:
    """The mean distance of some points to the last of their neighbours."""
    from scipy.spatial import cKDTree

    some = positions[:: max(len(positions) // 1000, 1)]
    return float(cKDTree(positions, balanced_tree=False).query(some, NEIGHBORS)[0][:, -1].mean())


def agreement(positions: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Shares of points: those that may be wrong, and those that are wrong all the same."""
    from tfdlcv.ops import neighbors

    rows = np.linspace(0, len(positions) - 1, min(COMPARED, len(positions))).astype(np.int64)
    expected = neighbors.knn_host(positions, NEIGHBORS, positions[rows], workers=-1)
    wrong = (found["neighbors"][rows] != expected).any(axis=1) & ~found["overflow"][rows]
    return {"overflow": float(found["overflow"].mean()), "wrong": float(wrong.mean())}


def table(rows: list[dict]) -> str:
    """The report as text."""
    lines = ["    points  search  seconds  extra MiB  overflow  wrong"]
    for row in rows:
        line = f"{row['points']:>10,}  {row['search']:<6}  {row['seconds']:>7.2f}  {row['extra_memory_mib']:>9,}"
        if "overflow" in row:
            line += f"  {row['overflow']:>8.2%}  {row['wrong']:>5.2%}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
