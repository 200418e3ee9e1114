"""What the networks for dense prediction learn of generated images in minutes, beside clusters of pixels.

    python -m benchmarks.segmentation_results                       # what is missing; about 40 minutes on two cores
    python -m benchmarks.segmentation_results --only unet --seeds 0 1 2
    python -m benchmarks.segmentation_results --table               # what is done

Each network is a config of configs/segmentation; the stages of FCN begin with each other's weights, as published, and
SegNet with those of FCN-32s. The clusters are named by the truth, each with the class that most of its pixels have,
which no algorithm could know: their score says how well clusters alone would follow the outlines. A result that is
there is not computed again; an interrupted training resumes. results/segmentation.json.
"""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

from benchmarks.train_step import ROOT, machine, versions

OUTPUT = ROOT / "benchmarks" / "results" / "segmentation.json"
NETWORKS = {  # Name -> config and score; stages stand behind those that they begin with.
    "unet": ("unet_shapes", "mean_iou"),
    "deeplab_v3": ("deeplab_v3_shapes", "mean_iou"),
    "fcn_32s": ("fcn_32s_shapes", "mean_iou"),
    "segnet": ("segnet_shapes", "mean_iou"),
    "fcn_16s": ("fcn_16s_shapes", "mean_iou"),
    "fcn_8s": ("fcn_8s_shapes", "mean_iou"),
    "depth": ("depth_scenes", "rmse"),
    "normals": ("normals_scenes", "angle_degrees"),
}
STAGES = {"segnet": "fcn_32s", "fcn_16s": "fcn_32s", "fcn_8s": "fcn_16s"}
CLUSTERINGS = {
    "kmeans": {"name": "kmeans", "clusters": 8, "place_weight": 0.0},
    "agglomerative": {"name": "agglomerative", "clusters": 12},
}
CLUSTERED_IMAGES = 100  # Of the test images.


def main():
    """Computes what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*NETWORKS, *CLUSTERINGS], default=[*NETWORKS, *CLUSTERINGS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "saved_models" / "benchmark_segmentation")
    parser.add_argument("--override", nargs="*", default=[], help="changes of every config; for tests")
    parser.add_argument("--images", type=int, default=CLUSTERED_IMAGES, help="that are clustered; for tests")
    arguments = parser.parse_args()
    report = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    for seed in arguments.seeds:
        for name in arguments.only:
            key = str(seed) if name in NETWORKS else "truth names clusters"
            if arguments.table or key in report.get(name, {}):
                continue
            row = train(name, seed, arguments) if name in NETWORKS else cluster_images(name, arguments.images)
            report.setdefault(name, {})[key] = row
            report |= {"machine": machine(), "versions": versions()}
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def train(name: str, seed: int, arguments) -> dict:
    """One row of the table: trains in a process of its own, or finds it done."""
    config, score = NETWORKS[name]
    overrides = [*arguments.override, f"trainer.seed={seed}"]
    if name in STAGES:
        stage = arguments.runs / f"{STAGES[name]}_{seed}"
        if not (stage / "metrics.json").is_file():
            raise SystemExit(f"{name} begins with the weights of {STAGES[name]}: train that one first")
        overrides.append(f"model.pretrained={stage}")
    run_dir = arguments.runs / f"{name}_{seed}"
    words = ["train.py", f"configs/segmentation/{config}.yaml", *overrides, f"trainer.run_dir={run_dir}"]
    if not (run_dir / "metrics.json").is_file():
        subprocess.run([sys.executable, *words], cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, check=True)
    results = json.loads((run_dir / "metrics.json").read_text())
    shown = [word for word in words[:-1] if not word.startswith("model.pretrained")]
    return {
        "score": score,
        "test": results["test"][score],
        "all_test": results["test"],
        "validation": results["validation"][f"val_{score}"],
        "per_class_iou": results["test_tables"].get("per_class_iou"),
        "parameters": results["parameters"],
        "epochs": results["epochs"],
        "train_seconds": round(results["train_seconds"], 1),
        "seed": seed,
        "command": shlex.join(["python", *shown]),
        "date": datetime.date.today().isoformat(),
    }


def cluster_images(name: str, count: int) -> dict:
    """Scores of a clustering whose clusters the truth has named."""
    import time

    import numpy as np
    from pydantic import TypeAdapter

    from tfdlcv.data.shapes import CLASS_NAMES, ShapesConfig
    from tfdlcv.metrics import confusion_scores
    from tfdlcv.systems.clustering import ClusteringConfig, cluster, name_clusters

    config = TypeAdapter(ClusteringConfig).validate_python(CLUSTERINGS[name])
    generator, classes = ShapesConfig(name="shapes").generator("test"), len(CLASS_NAMES)
    matrix, seconds = np.zeros((classes, classes), np.int64), 0.0
    for index in range(count):
        example = generator[index]
        start = time.perf_counter()
        clusters = cluster(example.image, config)
        seconds += time.perf_counter() - start
        named = name_clusters(clusters, example.mask, classes)[clusters]
        np.add.at(matrix, (example.mask.ravel(), named.ravel()), 1)
    scores = confusion_scores(matrix)
    return {
        "score": "mean_iou",
        "test": scores["mean_iou"],
        "all_test": scores,
        "images": count,
        "seconds_an_image": round(seconds / count, 4),
        "config": CLUSTERINGS[name],
        "date": datetime.date.today().isoformat(),
    }


def table(report: dict) -> str:
    """The report as text: of several seeds the mean, with the smallest and the largest."""
    lines = ["network         score            test  smallest   largest  seeds  parameters  epochs  seconds"]
    for name in [*NETWORKS, *CLUSTERINGS]:
        rows = [*report.get(name, {}).values()]
        if not rows:
            continue
        tests, first = [row["test"] for row in rows], rows[0]
        line = f"{name:<14}  {first['score']:<13}  {statistics.mean(tests):6.4f}  {min(tests):8.4f}  {max(tests):8.4f}"
        if "parameters" in first:
            seconds = max(row["train_seconds"] for row in rows)
            line += f"  {len(rows):>5}  {first['parameters']:>10,}  {first['epochs']:>6}  {seconds:>7}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
