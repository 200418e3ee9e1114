"""Predictions for point clouds in files of the user: a class for a cloud, or for each point of one, of any size."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdlcv.data import cloud_files, meshes
from tfdlcv.data.cloud_blocks import blocks
from tfdlcv.data.clouds import Cloud
from tfdlcv.data.point_clouds import prepare
from tfdlcv.data.pyramid import PyramidSpec, build_pyramid, spatial_order
from tfdlcv.data.volumes import VolumeSpec, volume_arrays
from tfdlcv.errors import UserError
from tfdlcv.systems.cloud_logits import logits_function
from tfdlcv.systems.point_networks import FlexUnetConfig

if TYPE_CHECKING:
    import keras

BLOCK_POINTS = 131_072
"""Points whose labels a block gives: about 1 GB of activations, and blocks overlap by a quarter."""
_MOST_PICTURES = 100  # On the contact sheet, so that it stays readable; the tables have every file.
_DENSER = 0.7  # A cloud whose spacing is below this share of the training clouds' is thinned before it is segmented.


def find_clouds(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the cloud and mesh files in the folders among them, sorted."""
    suffixes = cloud_files.CLOUD_SUFFIXES | cloud_files.MESH_SUFFIXES
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith("."))
            if not inside:
                raise UserError(f"{path} holds no cloud files ({', '.join(sorted(suffixes))})")
            found += inside
        else:
            found.append(path)
    return found


def classify_clouds(
    network: keras.Model,
    facts: Mapping[str, Any],
    spec: PyramidSpec | VolumeSpec,
    paths: Sequence[Path],
    directory: Path,
    *,
    on_error: str,
) -> dict[str, Path]:
    """Classifies each file; writes predictions.csv, predictions.json and contact_sheet.png to `directory`.

    As many points as in training are drawn from each cloud, or from the surface where the file is a mesh. A smaller
    cloud is taken as it is, or, by a network for that number of points alone, with some points more than once.
    """
    from tfdlcv.training.batches import network_inputs
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.point_clouds import draw_cloud_predictions

    fixed = any(tensor.name == "positions" and tensor.shape[1] is not None for tensor in network.inputs)

    def read(path):
        return _inputs(_sampled(path, facts["points"], spec, repeat=fixed), facts, spec, str(path))

    names, logits, shown = [], [], []
    for path, inputs in _readable(paths, on_error, read):
        logits.append(np.asarray(network(network_inputs(network, inputs), training=False))[0])
        names.append(str(path))
        shown.append(inputs["positions"][0])
    logits = np.stack(logits)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = facts["class_names"]
    rows = [
        {"file": name, "class_id": best, "label": classes[best], "probability": float(row[best])}
        for name, row, best in zip(names, probabilities, logits.argmax(axis=1).tolist(), strict=True)
    ]
    for row in rows[:20]:
        print(f"{row['file']}: {row['label']} ({row['probability']:.1%})")
    directory.mkdir(parents=True, exist_ok=True)
    written = {name: directory / name for name in ("predictions.csv", "predictions.json", "contact_sheet.png")}
    with open(written["predictions.csv"], "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = [{**row, "probabilities": p.tolist()} for row, p in zip(rows, probabilities, strict=True)]
    text = json.dumps({"class_names": classes, "predictions": content}, indent=1, ensure_ascii=False)
    written["predictions.json"].write_text(text + "\n", encoding="utf-8")
    sheet = draw_cloud_predictions(
        shown[:_MOST_PICTURES],
        logits[:_MOST_PICTURES],
        classes,
        cloud_names=[Path(name).name for name in names[:_MOST_PICTURES]],
        up_axis=facts["up_axis"],
    )
    save_png(sheet, written["contact_sheet.png"])
    return written


def segment_files(
    segmenter: Segmenter, paths: Sequence[Path], directory: Path, *, category: int | None = None, on_error: str
) -> dict[str, Path]:
    """Segments each file; writes, by its name, .labels.npz, .ply in the classes' colours, and .png to `directory`.

    Args:
        category: of all clouds, as files name none.
    """
    from tfdlcv.visualization.legend import class_colors
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.point_clouds import draw_labels

    facts = segmenter.facts
    palette = class_colors(len(facts["class_names"]))

    def read(path):
        cloud = replace(cloud_files.read_cloud(path), category=category)
        _check_neighbors(cloud, path, segmenter.spec)
        return cloud, segmenter.segment(cloud, str(path))

    written = {}
    for path, (cloud, found) in _readable(paths, on_error, read):
        stem = directory / path.name
        labels = found["label"]
        print(f"{path}: {len(labels):,} points in {found['seconds']['total']:.1f} s: {_shares(labels, facts)}")
        directory.mkdir(parents=True, exist_ok=True)
        labels_file = Path(f"{stem}.labels.npz")
        np.savez(labels_file, label=labels, probability=found["probability"], class_names=facts["class_names"])
        columns = {} if cloud.color is None else {"colour": cloud.color}
        if isinstance(cloud.label, np.ndarray) and cloud.label.max() < len(palette):
            columns["label in the file"] = cloud.label
        columns["prediction"] = labels
        picture = draw_labels(cloud.positions, columns, facts["class_names"], up_axis=facts["up_axis"])
        written |= {
            f"{path.name} labels": labels_file,
            f"{path.name} cloud": cloud_files.write_ply(
                Path(f"{stem}.segmented.ply"), cloud.positions, palette[labels], label=labels
            ),
            f"{path.name} picture": save_png(picture, Path(f"{stem}.png")),
        }
    return written


class Segmenter:
    """A trained network for clouds of any size: neighbours by a k-d tree, then the network in blocks that fit memory.

    Args:
        network: of `flex_unet`, or PointNet, which takes each cloud whole.
        facts: of the data, as `build_cloud_datasets` gives them.
        spec, model: of the network.
        block_points: how many points a block gives labels for.
        thin: whether clouds that are denser than those of training are thinned to their spacing first; the labels of
            the points that are left out are those of the nearest that is not.
    """

    def __init__(
        self,
        network: keras.Model,
        facts: Mapping[str, Any],
        spec: PyramidSpec,
        model: Any,
        *,
        block_points: int = BLOCK_POINTS,
        thin: bool = True,
    ):
        self.facts, self.spec, self.model = facts, spec, model
        self.block_points = block_points
        self.thin = thin
        self._logits_of = logits_function(network)

    def segment(self, cloud: Cloud, source: str = "cloud") -> dict[str, Any]:
        """-> `label` (N,) int32, `probability` (N,) float32 of it, `seconds` of each part of the work.

        Where the cloud's category is known and decides which classes its points may have, labels are among these.
        """
        clock = _Clock()
        kept = self._thinned(self._in_unit_of_training(cloud.positions)) if self.thin else None
        part = cloud if kept is None else cloud.select(kept)
        clock.lap("thinning")
        positions, features = prepare(
            part,
            self.facts["features"],
            centre=self.facts["centre"],
            up_axis=self.facts["up_axis"],
            num_categories=len(self.facts["category_names"]),
            source=source,
        )
        order = spatial_order(positions)
        positions, features = positions[order], features[order]
        clock.lap("ordering")
        pyramid = build_pyramid(positions, self.spec, random=np.random.default_rng(0), workers=-1)
        clock.lap("neighbors")
        label, probability = (np.empty(len(positions), dtype) for dtype in (np.int32, np.float32))
        own = self._classes_of(cloud.category)
        for wanted, logits in self._blocks(positions, features, pyramid):
            rows = order[wanted[0] : wanted[1]]
            logits = logits if own is None else np.where(own, logits, -np.inf)
            label[rows] = logits.argmax(axis=1)
            largest = logits.max(axis=1, keepdims=True)
            probability[rows] = 1 / np.exp(logits - largest).sum(axis=1)
        clock.lap("network")
        if kept is not None:
            from scipy.spatial import cKDTree

            _, nearest = cKDTree(cloud.positions[kept], balanced_tree=False).query(cloud.positions, workers=-1)
            label, probability = label[nearest], probability[nearest]
        clock.lap("spreading")
        return {"label": label, "probability": probability, "seconds": clock.seconds()}

    def _blocks(self, positions, features, pyramid):
        """(first, last + 1) and the logits of the points between, again and again until all are done."""
        if not isinstance(self.model, FlexUnetConfig):
            yield (0, len(positions)), self._logits(positions, features, {})
            return
        for block in blocks(
            pyramid,
            self.spec,
            size=self.block_points,
            encoder_blocks=self.model.encoder_blocks,
            decoder_blocks=self.model.decoder_blocks,
        ):
            logits = self._logits(positions[block.points], features[block.points], block.pyramid)
            yield block.wanted, logits[block.places]

    def _logits(self, positions, features, pyramid) -> np.ndarray:
        return self._logits_of({"positions": positions, "features": features, **pyramid})

    def _classes_of(self, category: int | None) -> np.ndarray | None:
        """(Q,) bool: the classes that points of a cloud of the category may have; None where all."""
        if category is None or not self.facts["label_category"]:
            return None
        return np.asarray(self.facts["label_category"]) == category

    def _in_unit_of_training(self, positions: np.ndarray) -> np.ndarray:
        """Positions in the unit of the facts' spacing: that of files, but where clouds fill the unit sphere."""
        if self.facts["centre"] != "unit_sphere":
            return positions
        return prepare(Cloud(positions), ("ones",), centre="unit_sphere")[0]

    def _thinned(self, positions: np.ndarray) -> np.ndarray | None:
        """Indices of the points that stay, one in each cell of a grid; None where all do."""
        wanted = self.facts["spacing"]
        if len(positions) < 2 or _spacing(positions) > _DENSER * wanted:
            return None
        # Points at random, q on a unit of surface, have a mean spacing of 1 / (2 sqrt(q)); a cell twice as wide
        # as the spacing holds one.
        cells = np.floor((positions - positions.min(axis=0)) / (2 * wanted)).astype(np.int64)
        keys = (cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]) * (cells[:, 2].max() + 1) + cells[:, 2]
        kept = np.sort(np.unique(keys, return_index=True)[1])
        return None if len(kept) < max(self.spec.neighbors, 1) else kept


def _spacing(positions: np.ndarray) -> float:
    """Mean distance of some points to the one nearest to them."""
    from scipy.spatial import cKDTree

    # The points of a box, as a tree of all would take longer than anything else here.
    middle = positions[len(positions) // 2]
    distances = np.abs(positions - middle).max(axis=1)
    near = positions[np.argpartition(distances, min(20_000, len(positions)) - 1)[:20_000]]
    return float(cKDTree(near).query(near, k=2)[0][:, 1].mean())


def _shares(labels: np.ndarray, facts: Mapping[str, Any]) -> str:
    """How many of the points each class has, as text."""
    counts = np.bincount(labels, minlength=len(facts["class_names"]))
    named = zip(facts["class_names"], counts, strict=True)
    return ", ".join(f"{name} {count / len(labels):.1%}" for name, count in named if count)


class _Clock:
    def __init__(self):
        self.start = self.last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str):
        now = time.perf_counter()
        self.laps[name] = now - self.last
        self.last = now

    def seconds(self) -> dict[str, float]:
        return {**self.laps, "total": time.perf_counter() - self.start}


def _readable(paths: Sequence[Path], on_error: str, read: Callable[[Path], Any]):
    """(path, what `read` makes of it); `stop` raises for the first file that cannot be used, `skip` leaves them out."""
    some = False
    for path in find_clouds(paths):
        try:
            content = read(path)
        except UserError as error:
            if on_error == "stop":
                raise
            print(f"Skipped: {error}")
            continue
        some = True
        yield path, content
    if not some:
        raise UserError("there is no cloud to predict")


def _check_neighbors(cloud: Cloud, path: Path, spec: PyramidSpec | VolumeSpec):
    if len(cloud) < max(spec.neighbors, 1):
        raise UserError(f"{path}: the cloud has {len(cloud)} points, but the network needs {spec.neighbors}")


def _sampled(path: Path, points: int, spec: PyramidSpec | VolumeSpec, *, repeat: bool) -> Cloud:
    """So many points of a file, of a mesh's surface or of a cloud; where it has fewer all, with `repeat` some again."""
    random = np.random.default_rng(0)
    mesh = cloud_files.read_mesh(path)
    if mesh is not None:
        positions, triangles = meshes.sample_surface(mesh, points, random)
        return Cloud(positions=positions, normal=meshes.normals(mesh)[triangles].astype(np.float32))
    cloud = cloud_files.read_cloud(path)
    _check_neighbors(cloud, path, spec)
    if len(cloud) > points:
        return cloud.select(np.sort(random.choice(len(cloud), points, replace=False)))
    if len(cloud) < points and repeat:
        print(f"{path}: the cloud has {len(cloud)} points, but the network takes {points}, so some stand repeatedly")
        return cloud.repeated(points, random)
    return cloud


def _inputs(
    cloud: Cloud, facts: Mapping[str, Any], spec: PyramidSpec | VolumeSpec, source: str
) -> dict[str, np.ndarray]:
    """The network's inputs for one cloud, and its positions, with the axis of clouds."""
    if isinstance(spec, VolumeSpec):
        positions, _ = prepare(cloud, ("ones",), centre=facts["centre"], up_axis=facts["up_axis"], source=source)
        return {"positions": positions[None], **volume_arrays(positions[None], spec)}
    positions, features = prepare(
        cloud, facts["features"], centre=facts["centre"], up_axis=facts["up_axis"], source=source
    )
    pyramid = build_pyramid(positions, spec, random=np.random.default_rng(0))
    return {name: values[None] for name, values in {"positions": positions, "features": features, **pyramid}.items()}
