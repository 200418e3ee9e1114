"""Small files of the published layouts of CIFAR-100, CUB-200-2011 and OmniArt."""

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent.parent


def write_image(path: Path, seed: int):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_cifar100(folder: Path):
    """The binary version: 2 bytes of labels, the coarse one first, and 3,072 of pixels for each image."""
    random = np.random.RandomState(0)
    lines = (ROOT / "configs" / "hyperspherical" / "cifar100_groups.csv").read_text().split()
    names = sorted(line.split(",")[0] for line in lines)
    for name, count in {"train.bin": 1000, "test.bin": 200}.items():
        fine = np.arange(count, dtype=np.uint8)[:, None] % 100
        pixels = random.randint(0, 256, (count, 3072)).astype(np.uint8)
        (folder / name).write_bytes(np.concatenate([fine // 5, fine, pixels], axis=1).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(f"group {i}" for i in range(20)) + "\n")


def write_cub200(folder: Path, species: int = 5, each: int = 12):
    """`species` of the birds; of each, the first half of `each` images trains."""
    classes = [f"{i + 1:03d}.Spotted_Bird_{chr(ord('a') + i)}" for i in range(species)]
    images, labels, split = [], [], []
    for index in range(species * each):
        name = classes[index // each]
        path = f"{name}/{name[4:]}_{index:04d}.jpg"
        images.append(f"{index + 1} {path}")
        labels.append(f"{index + 1} {index // each + 1}")
        split.append(f"{index + 1} {int(index % each < each // 2)}")
        write_image(folder / "images" / path, index)
    (folder / "images.txt").write_text("\n".join(images) + "\n")
    (folder / "image_class_labels.txt").write_text("\n".join(labels) + "\n")
    (folder / "train_test_split.txt").write_text("\n".join(split) + "\n")
    (folder / "classes.txt").write_text("".join(f"{i + 1} {name}\n" for i, name in enumerate(classes)))


def write_omniart(folder: Path, schools: int = 4):
    """Tables train_complete.csv and test_complete.csv, images in train/ and test/."""
    for part, count in {"train": 40, "test": 12}.items():
        rows = ["omni_id,creation_year,century,school"]
        for index in range(count):
            year = 1000 + (index * 131) % 933
            rows.append(f"{1000 + index},{year},{year // 100 + 1},school {index % schools}")
            write_image(folder / part / f"{1000 + index}.jpg", index)
        (folder / f"{part}_complete.csv").write_text("\n".join(rows) + "\n")
