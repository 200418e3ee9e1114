"""Every YAML file of configs/ trains a few steps, evaluates and exports, on small data of the layout it asks for."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdlcv.config import load_config
from tfdlcv.training import run

REPOSITORY = Path(__file__).parent.parent.parent
FILES = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").rglob("*.yaml"))
SHORT = (
    "trainer.epochs=3",
    "trainer.steps_per_epoch=1",
    "trainer.batch_size=8",
    "trainer.tensorboard.pictures_every_epochs=0",
)


def write_cifar10(folder: Path):
    """The binary version: 1 byte of label and 3,072 of pixels for each image, in five files and one."""
    random = np.random.RandomState(0)
    for name in [*(f"data_batch_{part}.bin" for part in range(1, 6)), "test_batch.bin"]:
        labels = np.arange(20, dtype=np.uint8)[:, None] % 10
        rows = np.concatenate([labels, random.randint(0, 256, (20, 3072)).astype(np.uint8)], axis=1)
        (folder / name).write_bytes(rows.tobytes())
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (folder / "batches.meta.txt").write_text("\n".join(names.split()) + "\n")


def write_image_folder(folder: Path):
    random = np.random.RandomState(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for index in range(20):
            Image.fromarray(random.randint(0, 256, (40, 50, 3)).astype(np.uint8)).save(folder / name / f"{index}.jpg")


# By the data's name: what writes small files of its published layout.
WRITERS = {"cifar10": write_cifar10, "image_folder": write_image_folder}


def small_data(path: Path, folder: Path) -> list[str]:
    data = load_config(REPOSITORY / path).data
    if data.name not in WRITERS:
        return ["data.train_limit=64"] if hasattr(data, "train_limit") else []
    WRITERS[data.name](folder)
    caching = [f"data.cache_folder={folder}/cache"] if hasattr(data, "cache_folder") else []
    return [f"data.folder={folder}", *caching]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_it_trains_evaluates_and_exports(path, tmp_path):
    (tmp_path / "data").mkdir()
    overrides = [*SHORT, f"trainer.run_dir={tmp_path / 'run'}", *small_data(path, tmp_path / "data")]
    results = run.train(load_config(REPOSITORY / path, overrides))
    assert results["steps"] == 3
    assert np.isfinite([results["test"]["loss"], results["validation"]["loss"]]).all()
    served = tf.saved_model.load(results["export"])
    assert "serving_default" in served.signatures
