"""How many images a second the generator of shapes makes, on one core.

    python -m benchmarks.shapes

The images are made one after another in this process, as each worker of an input pipeline does; training on shapes with
keep_in_memory pays for each image once. Writes results/shapes_<machine>.json.
"""

import argparse
import datetime
import json
import pathlib
import time

from benchmarks.train_step import ROOT, machine, machine_name, versions


def main(arguments=None):
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256], help="default: %(default)s")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "benchmarks" / "results", help="a folder")
    options = parser.parse_args(arguments)
    facts = machine()
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": facts,
        "versions": versions(),
        "images": options.images,
        "images_per_second": {},
    }
    for size in options.sizes:
        speed = images_per_second(size, options.images)
        report["images_per_second"][str(size)] = round(speed, 1)
        print(f"{size} x {size}: {speed:6.0f} images/s")
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"shapes_{machine_name(facts)}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(path)


def images_per_second(size: int, images: int) -> float:
    """Of processor time, so that what else the machine does counts little."""
    from tfdlcv.data.shapes import Shapes

    generator = Shapes(0, size=size)
    generator[0]  # Imports what numpy puts off.
    start = time.process_time()
    for index in range(images):
        generator[index]
    return images / (time.process_time() - start)


if __name__ == "__main__":
    main()
