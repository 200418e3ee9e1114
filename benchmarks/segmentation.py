"""Images per second of training and inference of segmentation networks, side by side, and milliseconds of two layers.

    python -m benchmarks.segmentation
    python -m benchmarks.segmentation --parts layers   # Or unet, or deeplab_v3: the others' results stay in the file.
    python -m benchmarks.segmentation --parts deeplab_v3 unet --precisions bfloat16 --image-size 512 --batch-size 16 \\
        --steps 20 --batches 40    # On a GPU.

Contenders, as far as their packages are installed, each a process of its own:

    tfdlcv       Task.fit on the network of tfdlcv.models
    torch        channels last, autocast for bfloat16, compiled on a GPU: torchvision's deeplabv3_resnet50, and U-Net as
                 in the paper with zeros around its convolutions, written out here
    keras_hub    Keras's fit on KerasHub's DeepLabV3 with ResNet-50, which has output stride 32 alone, and a head of
                 another form: see its parameters

U-Net has 64 to 1,024 filters and no normalisation. DeepLabV3 has ResNet-50 at output stride 8 and a pyramid of 12, 24
and 36; torchvision's loses the 3 x 3 convolution of its head that the paper has not, so that both have as many
parameters. Rounds are those of `benchmarks.classification`. The layers are pooling with indices and unpooling, and the
pyramid: forward and with gradients, eager, as a graph, and compiled by XLA; for unpooling also TensorFlow's own
operation and a scatter, which XLA does not compile. Prints tables and writes results/segmentation_<machine>.json.
"""

import argparse
import datetime
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import time

from benchmarks import classification, segmentation_contenders, train_step

PACKAGES = {"tfdlcv": "tensorflow", "torch": "torchvision", "keras_hub": "keras_hub"}
PAIRS = (("tfdlcv", "torch"), ("tfdlcv", "keras_hub"))
PARTS = (*segmentation_contenders.NETWORKS, "layers")
OPTIONS = (*classification.OPTIONS, "width")


def main():
    """Race, time the layers, print the tables and write the report."""
    arguments = parsed_arguments()
    if arguments.worker == "layers":
        return print(json.dumps(layer_times(arguments)))
    if arguments.worker:
        return work(arguments)
    machine = train_step.machine()
    path = arguments.output / f"segmentation_{train_step.machine_name(machine)}.json"
    names = ("image_size", "batch_size", "steps", "batches", "rounds", "width", "seed")
    settings = {name: getattr(arguments, name) for name in names}
    facts = {"machine": machine, "versions": classification.versions(), "settings": settings}
    report = classification.continued(path, facts)
    for part in arguments.parts:
        for precision in arguments.precisions if part != "layers" else ("float32",):
            entry = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")}
            if part == "layers":
                report["layers"] = entry | {"milliseconds": started_layer_times(arguments)}
            else:
                module = "benchmarks.segmentation"
                competing = contenders(arguments, part)
                results = classification.race(competing, part, precision, arguments, module=module, options=OPTIONS)
                entry |= {"results": results, "ratios": classification.ratios(results, PAIRS)}
                report["networks"].setdefault(precision, {})[part] = entry
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))
    print(f"\nwritten to {path}")


def parsed_arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", "--networks", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--contenders", nargs="+", choices=PACKAGES, help="default: see above")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=("float32",))
    parser.add_argument("--image-size", type=int, default=128, help="a multiple of 16; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=2, help="of training in a round; default: %(default)s")
    parser.add_argument("--batches", type=int, default=4, help="of inference in a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--width", type=float, default=1.0, help="factor of U-Net's filters; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=train_step.ROOT / "benchmarks" / "results")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def contenders(arguments, network: str) -> list[str]:
    """Those asked for, or all whose packages are installed, as far as they have the network."""
    names = arguments.contenders or [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
    return [name for name in names if network in segmentation_contenders.MAKE[name]]


def work(arguments):
    """One contender: trains or infers whenever told to."""
    (network,), (precision,) = arguments.parts, arguments.precisions
    contender = segmentation_contenders.MAKE[arguments.worker][network](
        network,
        precision,
        batch_size=arguments.batch_size,
        image_size=arguments.image_size,
        width=arguments.width,
        seed=arguments.seed,
    )
    classification.serve(contender, arguments)


# -- Layers ---------------------------------------------------------------------------------------------------------


def started_layer_times(arguments) -> dict[str, dict[str, float]]:
    """`layer_times` in a process of its own, since a race may have left its memory full."""
    names = ("image_size", "batch_size", "batches", "rounds", "seed")
    settings = [str(part) for name in names for part in (f"--{name.replace('_', '-')}", getattr(arguments, name))]
    command = [sys.executable, "-m", "benchmarks.segmentation", "--worker", "layers", *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=train_step.ROOT) as worker:
        return train_step.read_line(worker, "layers")


def layer_times(arguments) -> dict[str, dict[str, float]]:
    """-> {way to call a layer: {"forward" and "gradients": median milliseconds over the rounds}}."""
    calls = segmentation_contenders.layer_calls(
        batch_size=arguments.batch_size, image_size=arguments.image_size, seed=arguments.seed
    )
    names = [*calls]
    for call in calls.values():
        call()  # Traces and compiles.
    seconds = {name: [] for name in names}
    for index in range(arguments.rounds):
        turn = index % len(names)
        for name in [*names[turn:], *names[:turn]]:
            start = time.perf_counter()
            for _ in range(arguments.batches):
                calls[name]()
            seconds[name].append((time.perf_counter() - start) / arguments.batches)
    milliseconds: dict[str, dict[str, float]] = {}
    for (layer, way, kind), rounds in seconds.items():
        milliseconds.setdefault(f"{layer} {way}", {})[kind] = round(1000 * statistics.median(rounds), 3)
    return milliseconds


def table(report: dict) -> str:
    """The report as text: a contender a line, the ratios, and a way to call a layer a line."""
    lines = [classification.table(report)] if report["networks"] else []
    if "layers" in report:
        lines += ["", f"{'layer':28} {'forward ms':>11} {'with gradients ms':>18}"]
        for name, times in report["layers"]["milliseconds"].items():
            lines.append(f"{name:28} {times['forward']:11.2f} {times['gradients']:18.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
