"""How far apart are prototypes: this package, the published algorithm, and what no arrangement can beat.

    python -m benchmarks.prototypes

For each number of classes K and of dimensions d, over three seeds: the largest cosine between two prototypes (the
smaller, the better) and the seconds that it took, uncached and on one thread, of

    ours        tfdlcv.ops.prototypes.separate(K, d)
    paper 1k    the algorithm of Mettes, van der Pol, Snoek 2019, for 1,000 steps, as their text has it
    paper 10k   the same for 10,000 steps, as their code has it
    bound       tfdlcv.ops.prototypes.separation_bound(K, d)

Then, for a hierarchy of 20 groups of five classes (the shape of CIFAR-100's), what semantics cost in separation and how
much of the order of the hierarchy they bring.

Prints the tables and writes results/prototypes.json after each row; a second call goes on where the first one stopped,
and --fresh begins anew.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import platform
import statistics
import time
import warnings

from benchmarks.train_step import machine
from tfdlcv.ops import class_semantics, prototype_separation, prototypes

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = "python -m benchmarks.prototypes"
SIZES = [
    (10, 2),
    (10, 3),
    (12, 3),
    (24, 4),
    (64, 8),
    (100, 3),
    (100, 5),
    (100, 10),
    (100, 25),
    (100, 50),
    (100, 100),
    (128, 16),
    (200, 50),
    (1000, 128),
]
SEEDS = (0, 1, 2)
GROUPS, GROUP_SIZE = 20, 5
SEMANTIC_DIMENSIONS = (3, 5, 10, 25)
SEMANTIC_WEIGHTS = (0.1, 1.0)


def main():
    """Fill in the rows that the report lacks, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results" / "prototypes.json")
    parser.add_argument("--fresh", action="store_true", help="measure every row again")
    arguments = parser.parse_args()
    facts = {"command": COMMAND, "machine": machine(), "versions": versions(), "seeds": list(SEEDS)}
    report = None if arguments.fresh else read_report(arguments.output, facts)
    report = report or {"date": today(), **facts, "separation": {}, "semantics": {}}
    for num_classes, dimensions in SIZES:
        name = f"{num_classes},{dimensions}"
        if name not in report["separation"]:
            report["separation"][name] = measure_separation(num_classes, dimensions)
            write_report(arguments.output, report)
            print(f"measured {name}", flush=True)
    for dimensions in SEMANTIC_DIMENSIONS:
        name = str(dimensions)
        if name not in report["semantics"]:
            report["semantics"][name] = measure_semantics(dimensions)
            write_report(arguments.output, report)
            print(f"measured semantics, {name} dimensions", flush=True)
    print(table(report))
    print(f"\nwritten to {arguments.output}")


def measure_separation(num_classes: int, dimensions: int) -> dict:
    """-> the bound, and for each contender a cosine and seconds for each seed."""
    bound, kind = prototypes.separation_bound(num_classes, dimensions)

    def paper(steps):
        return lambda seed: prototype_separation.paper(num_classes, dimensions, seed=seed, steps=steps)

    contenders = {
        "ours": lambda seed: prototypes.separate(num_classes, dimensions, seed=seed, cache=False),
        "paper 1k": paper(1_000),
        "paper 10k": paper(10_000),
    }
    row = {"bound": bound, "bound_kind": kind}
    for name, contender in contenders.items():
        cosines, seconds = [], []
        for seed in SEEDS:
            start = time.perf_counter()
            points = contender(seed)
            seconds.append(round(time.perf_counter() - start, 3))
            cosines.append(round(prototypes.max_cosine(points), 6))
        row[name] = {"max_cosine": cosines, "seconds": seconds}
    return row


def measure_semantics(dimensions: int) -> dict:
    """-> for each weight of the ranking loss the largest cosine and the rank correlation with the hierarchy."""
    paths = [("all", f"group {i // GROUP_SIZE}") for i in range(GROUPS * GROUP_SIZE)]
    similarity = class_semantics.hierarchy_similarity(paths)
    row = {}
    for weight in (0.0, *SEMANTIC_WEIGHTS):
        cosines, correlations = [], []
        for seed in SEEDS:
            options = {"semantics": similarity, "semantics_weight": weight} if weight else {"method": "annealed"}
            points = prototypes.separate(len(paths), dimensions, seed=seed, cache=False, **options)
            cosines.append(round(prototypes.max_cosine(points), 6))
            correlations.append(round(class_semantics.rank_correlation(points, similarity), 4))
        row[f"{weight:g}"] = {"max_cosine": cosines, "rank_correlation": correlations}
    return row


def table(report: dict) -> str:
    """Both parts of the report as text: means over seeds, and deviations."""
    lines = [
        f"{'K, d':>9}  {'bound':>9}{'':7}{'ours':>17}  {'paper 1k':>17}  {'paper 10k':>17}  seconds: ours, paper 10k"
    ]
    for name, row in report["separation"].items():
        kind = "exact" if row["bound_kind"] == "exact" else "at least"
        cells = [spread(row[contender]["max_cosine"]) for contender in ("ours", "paper 1k", "paper 10k")]
        seconds = [statistics.mean(row[contender]["seconds"]) for contender in ("ours", "paper 10k")]
        lines.append(
            f"{name.replace(',', ', '):>9}  {kind:>8} {row['bound']:.4f}  "
            + "  ".join(f"{cell:>17}" for cell in cells)
            + f"  {seconds[0]:8.2f} {seconds[1]:8.2f}"
        )
    lines += ["", f"{GROUPS} groups of {GROUP_SIZE} classes; rank correlation with the hierarchy, largest cosine"]
    for name, row in report["semantics"].items():
        cells = [
            f"weight {weight}: {spread(cell['rank_correlation'])}, {spread(cell['max_cosine'])}"
            for weight, cell in row.items()
        ]
        lines.append(f"d = {name:>2}  " + "   ".join(cells))
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def versions() -> dict[str, str]:
    """Of Python and of every package that could change the numbers."""
    found = {package: importlib.metadata.version(package) for package in ("tfdlcv", "numpy", "scipy")}
    return {"python": platform.python_version(), **found, "algorithm": str(prototype_separation.VERSION)}


def today() -> str:
    """The date, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def read_report(path: pathlib.Path, facts: dict) -> dict | None:
    """The report of an earlier call on such a machine with these versions and seeds."""
    if not path.is_file():
        return None
    report = json.loads(path.read_text())
    return report if all(report.get(name) == value for name, value in facts.items()) else None


def write_report(path: pathlib.Path, report: dict):
    """By another name first, so that a stopped call leaves a whole report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(report, indent=2) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the published algorithm, that its prototypes coincide: the table says it.
        main()
