"""Every YAML file of configs/ trains a few steps, evaluates and exports, on small data of the layout it asks for."""

import importlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.io import savemat

from tests.data.published_clouds import (
    write_meshes,
    write_modelnet_resampled,
    write_s3dis,
    write_shapenet_part,
    write_stanford_2d3ds,
)
from tests.data.published_layouts import write_cifar100, write_cub200, write_omniart
from tests.data.published_masks import mask_of, write_image, write_mask, write_voc
from tfdlcv import models
from tfdlcv.config import load_config
from tfdlcv.data.music import generate_piece
from tfdlcv.training import run

# The package's own attributes of these names are the functions.
densenet, resnet, resnext, wide_resnet = (
    importlib.import_module(f"tfdlcv.models.{name}") for name in ("densenet", "resnet", "resnext", "wide_resnet")
)
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


def write_mnist(folder: Path):
    """IDX: magic number and sizes, big-endian, then the bytes."""
    random = np.random.RandomState(0)
    for part, count in {"train": 64, "t10k": 16}.items():
        pixels = random.randint(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        header = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, count], ">i4").tobytes() + labels.tobytes())


def write_music(folder: Path):
    content = {}
    for key, count in {"traindata": 10, "validdata": 3, "testdata": 3}.items():
        content[key] = np.empty((1, count), object)
        for index in range(count):
            content[key][0, index] = generate_piece(12 + index, seed=(index,)).astype("float64")
    for name in ("JSB_Chorales.mat", "Nottingham.mat"):
        savemat(folder / name, content)


def write_photographs(folder: Path):
    random = np.random.RandomState(0)
    for name, count in {"train": 3, "test": 1}.items():
        (folder / name).mkdir()
        for index in range(count):
            pixels = random.randint(0, 256, (150, 150)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def write_text(folder: Path):
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(" the cat sat on the mat \n the dog did not \n" * 200)


# By the data's name: what writes small files of its published layout.
WRITERS = {
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "cub200": write_cub200,
    "files": write_text,
    "image_folder": write_image_folder,
    "image_table": write_omniart,
    "jsb": write_music,
    "mesh_files": write_meshes,
    "mesh_scenes": write_meshes,
    "mnist": write_mnist,
    "modelnet": write_modelnet_resampled,
    "nottingham": write_music,
    "photograph_folder": write_photographs,
    "s3dis": write_s3dis,
    "shapenet_part": write_shapenet_part,
    "stanford_2d3ds": write_stanford_2d3ds,
    "voc2012": lambda folder: write_voc(folder, train=12, val=2),
}

# What a network costs here is mostly the time to build its graphs, which grows with its layers. So each trains in a
# form that has every kind of its units, few of each. The published forms are counted in
# tests/models/test_parameter_counts.py.
FEW_UNITS = (
    (resnet._UNITS, (1, 1, 1, 1)),
    (resnext._UNITS, (1, 1, 1, 1)),
    (wide_resnet._UNITS, (1, 1, 1, 1)),
    (densenet._LAYERS, (2, 2, 2, 2)),
)
SMALLER = {
    "wide_resnet_cifar": ["model.depth=10", "model.width=2"],
    "resnext_cifar": ["model.depth=11", "model.cardinality=2", "model.group_width=8"],
    "densenet_cifar": ["model.depth=22"],
    "mobilenet": ["model.width=0.25"],
    "wide_resnet": ["model.width=1"],
    "resnext": ["model.cardinality=2"],
    "dncnn": ["model.depth=3", "model.width=0.125"],
    "denoising_autoencoder": ["model.width=0.125"],
}
IMAGENET_SIZE = (224, 224)
NEED_SIZE_65 = ("alexnet", "zfnet", "googlenet")


def smaller_network(path: Path) -> list[str]:
    config = load_config(REPOSITORY / path)
    overrides = [*SMALLER.get(config.model.name, [])]
    if config.model.name == "resnet" and config.model.depth in (32, 164):
        overrides.append("model.depth=20")
    if getattr(config.data, "image_size", None) == IMAGENET_SIZE:
        size = 65 if config.model.name in NEED_SIZE_65 else 32
        # The folders of small_data have no parts of their own for validation and testing. One epoch: large networks
        # take their time to save.
        overrides += [f"data.image_size=[{size},{size}]", "data.validation_fraction=0.2", "data.test_fraction=0.2"]
        overrides += ["trainer.epochs=1", "trainer.steps_per_epoch=3"]
    # Times of the published training, which are beyond the end of this one.
    if config.optimizer.learning_rate.warmup_epochs >= 3:
        overrides.append("optimizer.learning_rate.warmup_epochs=0.25")
    times = getattr(config.optimizer.learning_rate, "boundary_epochs", ())
    if times:
        early = [0.25 * place for place in range(1, len(times) + 1)]
        overrides.append(f"optimizer.learning_rate.boundary_epochs={early}")
    return overrides


def pretrained_weights(path: Path, folder: Path) -> list[str]:
    """Of a network for other classes, in place of a run that the config names."""
    model = load_config(REPOSITORY / path).model
    if "segmentation" in path.parts:  # Stages of a network begin anew.
        return ["model.pretrained=null"]
    if getattr(model, "pretrained", None) is None:
        return []
    models.resnet_cifar((28, 28, 1), num_classes=3, depth=model.depth).save(folder / "pretrained.keras")
    return [f"model.pretrained={folder / 'pretrained.keras'}"]


def smaller_sequence_network(path: Path) -> list[str]:
    model = load_config(REPOSITORY / path).model
    if getattr(model, "filters", 0) < 400:
        return []
    tied_to_filters = model.tied and model.last_filters is None
    return ["model.filters=32", *(["model.embedding_size=32"] if tied_to_filters else [])]


def smaller_scenes(path: Path, folder: Path) -> list[str]:
    """Of depth maps; a finer level needs a run of the coarser one."""
    small = ["data.train_examples=8", "data.validation_examples=2", "data.test_examples=2", "data.pixels=16"]
    small += ["data.resolution=8", "model.filters=[2,2,2]"]
    if load_config(REPOSITORY / path).model.coarser is None:
        return small
    coarser = f"trainer.run_dir={folder / 'coarser'}"
    once = ["trainer.epochs=1", "trainer.steps_per_epoch=1", "trainer.tensorboard.pictures_every_epochs=0"]
    run.train(load_config(REPOSITORY / path, [*small, "model.coarser=null", "trainer.batch_size=8", *once, coarser]))
    return [*small, "data.resolution=16", f"model.coarser={folder / 'coarser'}"]


def smaller_clouds(path: Path, folder: Path) -> list[str]:
    config = load_config(REPOSITORY / path)
    if config.system == "pointcloud/fusion":
        return smaller_scenes(path, folder)
    fewer = ["data.train_examples=24"] if hasattr(config.data, "train_examples") else []
    if len(getattr(config.model, "filters", ())) > 3:
        fewer.append("model.filters=[8,8,8]")
    if hasattr(config.model, "resolution"):
        fewer += ["model.resolution=16", "model.hidden_units=8"]
    if getattr(config.optimizer.learning_rate, "boundary_epochs", ()):
        fewer.append("optimizer.learning_rate.boundary_epochs=[0.5]")
    return [*fewer, "data.points=256"]


def smaller_masks(path: Path, folder: Path) -> list[str]:
    config = load_config(REPOSITORY / path)
    size = 188 if getattr(config.model, "padding", None) == "valid" else 32
    overrides = ["model.width=0.03125", f"data.image_size=[{size},{size}]", "trainer.batch_size=4"]
    overrides += ["trainer.evaluation_batch_size=4"]
    if hasattr(config.data, "train_examples"):
        # So many that each class has pixels, which weights of classes need.
        overrides += ["data.train_examples=24", "data.validation_examples=4", "data.test_examples=4"]
    if hasattr(config.data, "radius"):
        overrides.append("data.radius=[6,9]")
    if getattr(config.data.augmentation.scale_crop, "size", None):
        overrides.append("data.augmentation.scale_crop.size=[32,32]")
    if config.data.name == "image_mask_folder":
        for part, count in {"train": 6, "val": 2, "test": 2}.items():
            for index in range(count):
                mask = mask_of(24, 44, *range(len(config.data.class_names)))
                mask[0] = config.data.void_value
                write_image(folder / part / "images" / f"{index}.png", 24, 44, seed=index)
                write_mask(folder / part / "masks" / f"{index}.png", mask)
        overrides += [f"data.folder={folder}", f"data.cache_folder={folder}/cache", "data.train_limit=null"]
    return overrides


def small_data(path: Path, folder: Path) -> list[str]:
    data = load_config(REPOSITORY / path).data
    if data.name not in WRITERS:
        smaller = ("validation_examples=16", "test_examples=16")
        smaller += () if getattr(data, "examples_per_class", None) else ("train_limit=64",)
        overrides = [f"data.{each}" for each in smaller if hasattr(data, each.partition("=")[0])]
        if data.name in ("mnist5k", "rotated_digits", "noisy_digits"):
            overrides.append("trainer.evaluation_batch_size=200")  # There are 1,000 test digits.
        return overrides
    WRITERS[data.name](folder)
    caching = [f"data.cache_folder={folder}/cache"] if hasattr(data, "cache_folder") else []
    return [f"data.folder={folder}", *caching]


@pytest.fixture(autouse=True)
def few_units(monkeypatch):
    for units_by_depth, few in FEW_UNITS:
        for depth in units_by_depth:
            monkeypatch.setitem(units_by_depth, depth, few)
    yield
    keras.backend.clear_session()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_it_trains_evaluates_and_exports(path, tmp_path):
    (tmp_path / "data").mkdir()
    overrides = [*SHORT, f"trainer.run_dir={tmp_path / 'run'}", *small_data(path, tmp_path / "data")]
    overrides += smaller_network(path) if {"classification", "hyperspherical", "restoration"} & {*path.parts} else []
    overrides += pretrained_weights(path, tmp_path)
    overrides += smaller_sequence_network(path) if "sequence" in path.parts else []
    overrides += smaller_clouds(path, tmp_path) if "pointcloud" in path.parts else []
    overrides += smaller_masks(path, tmp_path / "data") if "segmentation" in path.parts else []
    results = run.train(load_config(REPOSITORY / path, overrides))
    assert results["steps"] == 3
    assert np.isfinite([results["test"]["loss"], results["validation"]["loss"]]).all()
    served = tf.saved_model.load(results["export"])
    assert "serving_default" in served.signatures
