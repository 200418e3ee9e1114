"""Small files in the layouts in which data sets of point clouds are published."""

import json
from pathlib import Path

import h5py
import numpy as np

from tfdlcv.data.shapenet_part import PARTS

MODELNET_CLASSES = ("chair", "night_stand", "sofa")
TETRAHEDRON = "4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


def write_modelnet_resampled(folder: Path, points: int = 1100, train: int = 6, test: int = 2):
    """modelnet40_normal_resampled, of three classes."""
    random = np.random.default_rng(0)
    (folder / "modelnet40_shape_names.txt").write_text("".join(f"{name}\n" for name in MODELNET_CLASSES))
    for part, first, count in (("train", 1, train), ("test", train + 1, test)):
        names = [f"{name}_{index:04d}" for name in MODELNET_CLASSES for index in range(first, first + count)]
        (folder / f"modelnet40_{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            path = folder / name.rpartition("_")[0] / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            np.savetxt(path, random.normal(size=(points, 6)), delimiter=",", fmt="%.6f")


def write_modelnet_hdf5(folder: Path, points: int = 300):
    """modelnet40_ply_hdf5_2048, of three classes; its lists name paths from where they were made."""
    random = np.random.default_rng(0)
    (folder / "shape_names.txt").write_text("".join(f"{name}\n" for name in MODELNET_CLASSES))
    for part, files in (("train", 2), ("test", 1)):
        names = [f"ply_data_{part}{index}.h5" for index in range(files)]
        lines = "".join(f"data/modelnet40_ply_hdf5_2048/{name}\n" for name in names)
        (folder / f"{part}_files.txt").write_text(lines)
        for name in names:
            with h5py.File(folder / name, "w") as file:
                file["data"] = random.normal(size=(6, points, 3)).astype(np.float32)
                file["label"] = (np.arange(6) % 3).astype(np.uint8)[:, None]


def write_modelnet_meshes(folder: Path):
    """ModelNet40 as meshes, of three classes; every second file has the first line that some published ones have."""
    for name in MODELNET_CLASSES:
        for part, indices in (("train", range(1, 5)), ("test", range(5, 7))):
            (folder / name / part).mkdir(parents=True)
            for index in indices:
                start = "OFF\n" if index % 2 else "OFF"
                (folder / name / part / f"{name}_{index:04d}.off").write_text(start + TETRAHEDRON)


def write_meshes(folder: Path):
    """Two meshes, a class each."""
    (folder / "tetrahedron.off").write_text("OFF\n" + TETRAHEDRON)
    (folder / "square.off").write_text("OFF\n4 1 4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")


def write_shapenet_part(folder: Path, points: int = 60):
    """shapenetcore_partanno_segmentation_benchmark_v0_normal, all 16 categories."""
    random = np.random.default_rng(0)
    first, lists, lines = 0, {"train": [], "val": [], "test": []}, []
    (folder / "train_test_split").mkdir()
    for number, (name, parts) in enumerate(PARTS.items()):
        synset = f"{2_000_000 + number:08d}"
        lines.append(f"{name}\t{synset}\n")
        (folder / synset).mkdir()
        for index, part in enumerate(("train", "train", "val", "test")):
            rows = np.concatenate(
                [random.normal(size=(points, 6)), random.integers(first, first + parts, (points, 1))], 1
            )
            np.savetxt(folder / synset / f"shape{index}.txt", rows, fmt="%.6f")
            lists[part].append(f"shape_data/{synset}/shape{index}")
        first += parts
    (folder / "synsetoffset2category.txt").write_text("".join(lines))
    for part, entries in lists.items():
        (folder / "train_test_split" / f"shuffled_{part}_file_list.json").write_text(json.dumps(entries))


def room_objects(seed: int) -> dict[str, np.ndarray]:
    """Objects of a small room, (N, 6) each: x y z in metres and colours."""
    random = np.random.default_rng(seed)
    objects = {}
    for name, low, size in (
        ("floor_1", (0, 0, 0), (4, 3, 0.01)),
        ("wall_1", (0, 0, 0), (4, 0.01, 2.5)),
        ("chair_1", (1, 1, 0), (0.5, 0.5, 1)),
        ("clutter_1", (3, 2, 0), (0.3, 0.3, 0.3)),
        ("stairs_1", (2, 2, 0), (1, 1, 1)),
    ):
        count = 900 if name == "floor_1" else 200
        points = np.array(low) + random.random((count, 3)) * size
        objects[name] = np.concatenate([points + np.array([10, 20, 1]), random.integers(0, 256, (count, 3))], axis=1)
    return objects


def write_s3dis(folder: Path):
    """Stanford3dDataset_v1.2_Aligned_Version: two areas, the second with a damaged number as in a published file."""
    for area, rooms in (("Area_1", ("office_1", "office_2", "hallway_1")), ("Area_5", ("office_1", "office_2"))):
        for number, room in enumerate(rooms):
            target = folder / area / room / "Annotations"
            target.mkdir(parents=True)
            for name, table in room_objects(number).items():
                np.savetxt(target / f"{name}.txt", table, fmt=["%.3f"] * 3 + ["%d"] * 3)
    damaged = folder / "Area_5" / "office_1" / "Annotations" / "wall_1.txt"
    content = damaged.read_bytes().split(b"\n")
    content[3] = content[3].replace(b" ", b"\x10", 1)
    damaged.write_bytes(b"\n".join(content))


def write_stanford_2d3ds(folder: Path):
    """area_1 and area_5a with their pointcloud.mat: struct arrays as MATLAB 7.3 saves them."""
    for area in ("area_1", "area_5a"):
        path = folder / area / "3d" / "pointcloud.mat"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            references = file.create_group("#refs#")

            def store(value, references=references):
                item = references.create_dataset(f"r{len(references)}", data=value)
                return item.ref

            def text(value):
                return np.array([[ord(letter)] for letter in value], np.uint16)

            names, objects = [], []
            for number, room in enumerate(("office_1", "hallway_2")):
                struct = references.create_group(f"room{number}")
                table = room_objects(number) | {"<UNK>_1": np.ones((5, 6))}
                columns = {
                    "name": [store(text(name)) for name in table],
                    "points": [store(values[:, :3].T) for values in table.values()],
                    "RGB_color": [store(values[:, 3:].T.astype(np.uint8)) for values in table.values()],
                }
                for key, column in columns.items():
                    struct.create_dataset(key, data=np.array(column, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
                names.append(store(text(room)))
                objects.append(struct.ref)
            spaces = file.create_group(f"{area.capitalize()}/Disjoint_Space")
            for key, column in (("name", names), ("object", objects)):
                spaces.create_dataset(key, data=np.array(column, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
