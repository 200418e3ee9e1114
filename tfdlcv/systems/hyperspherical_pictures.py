"""What TensorBoard shows of the systems of the hyperspherical area: the sphere, predictions, and the projector.

Keras and TensorFlow are imported when something is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdlcv.systems import hyperspherical_data, hyperspherical_outputs

if TYPE_CHECKING:
    import numpy as np

    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_SAMPLES = 25  # Validation images whose predictions are shown.
_DOTS = 600  # Validation images on the sphere and in the projector.


def embedding_pictures(
    facts: Mapping[str, Any],
    task: Task,
    datasets: Datasets,
    *,
    confidence: str | None,
    run_dir: str,
    by_class: bool = True,
    skipped_dimensions: int = 0,
) -> dict[str, Picture]:
    """Pictures that every system of the area has, of examples of validation.

    Args:
        confidence: what the scores are; None for networks that name no class.
        by_class: colour embeddings by class, and not by value.
        run_dir: of the run, in whose TensorBoard folder the projector's files are kept up to date.
        skipped_dimensions: first dimensions of the embedding in which the prototypes have no part.
    """
    import numpy as np

    from tfdlcv.training.tensorboard import Picture

    dots = hyperspherical_data.samples(datasets.validation, _DOTS)
    shown = hyperspherical_data.samples(datasets.validation, _SAMPLES)
    folder = Path(run_dir) / "tensorboard" / "validation"

    def read_dots():
        return {
            "embedding": np.asarray(task.infer(dots["image"])["embedding"]),
            "directions": class_directions(task),
        }

    def draw_dots(content):
        _write_projector(folder, content["embedding"], dots, facts, by_class=by_class)
        return _draw_sphere(content, dots, facts, by_class, skipped_dimensions)

    def read_samples():
        outputs = {name: np.asarray(value) for name, value in task.infer(shown["image"]).items()}
        return {name: np.asarray(value) for name, value in _described(outputs, facts, confidence).items()}

    def read_neighbors():
        return {"shown": np.asarray(task.infer(shown["image"])["embedding"]), **read_dots()}

    if {"scores", "position"} & task.network.output.keys():
        pictures = {"predictions": Picture(read_samples, lambda content: _draw_samples(content, shown, facts))}
    else:
        pictures = {"neighbors": Picture(read_neighbors, lambda content: _draw_neighbors(content, shown, dots, facts))}
    if task.network.output["embedding"].shape[-1] >= 2:
        pictures["embeddings"] = Picture(read_dots, draw_dots)
    return pictures


def confusion_matrix(facts: Mapping[str, Any], task: Task) -> dict[str, Picture]:
    """The confusion matrix of validation."""
    import numpy as np

    from tfdlcv.training.tensorboard import Picture
    from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix

    matrix = next(metric for metric in task.evaluation_metrics if metric.name == "confusion_matrix")
    return {
        "confusion_matrix": Picture(
            read=lambda: np.asarray(matrix.result()),
            draw=lambda counts: draw_confusion_matrix(counts, facts["class_names"]),
        )
    }


def class_directions(task: Task) -> np.ndarray | None:
    """(K, d) of norm 1: prototypes, or the trained directions of the classes; None for heads that have neither."""
    import numpy as np

    from tfdlcv.layers import CosineClassifier, PrototypeCosines

    for layer in task.network.layers:
        if isinstance(layer, PrototypeCosines):
            return np.asarray(layer.prototypes)
        if isinstance(layer, CosineClassifier):
            kernel = np.asarray(layer.kernel).T
            return kernel / np.linalg.norm(kernel, axis=1, keepdims=True)
    return None


def _draw_sphere(content, dots, facts, by_class: bool, skipped_dimensions: int):
    from tfdlcv.visualization.hypersphere import draw_hypersphere

    if not by_class:
        value = facts["value"]
        return draw_hypersphere(
            content["embedding"],
            values=dots["value"],
            value_name=f"{value['name']} ({value['unit']})",
            title=f"{len(dots['value'])} validation examples",
        )
    directions = content["directions"]
    embedding = content["embedding"]
    if embedding.shape[1] - skipped_dimensions >= 2:
        embedding = embedding[:, skipped_dimensions:]
    else:
        directions = None
    return draw_hypersphere(
        embedding,
        labels=dots["label"],
        class_names=facts["class_names"],
        prototypes=directions,
        title=f"{len(dots['label'])} validation examples" + ("" if directions is None else ", and prototypes (rings)"),
    )


def _write_projector(folder: Path, embeddings, dots, facts, *, by_class: bool):
    from tfdlcv.visualization.projector import write_projector

    columns: dict[str, Sequence] = {}
    if by_class:
        columns["class"] = [facts["class_names"][label] for label in dots["label"]]
    if "value" in dots:
        columns[facts["value"]["name"]] = [f"{value:.4g}" for value in dots["value"]]
    write_projector(folder, embeddings, columns, dots["image"])


def _described(outputs, facts, confidence):
    return hyperspherical_outputs.describe(outputs, facts, confidence)


def _draw_samples(content, shown, facts: Mapping[str, Any]):
    """Each image with its prediction, and below it the truth where that differs."""
    from tfdlcv.visualization.contact_sheet import draw_contact_sheet

    captions, correct = [], []
    for i in range(len(shown["image"])):
        row = {name: array[i] for name, array in content.items()}
        if "label" in row:
            row["label"] = row["label"].decode()
        lines = hyperspherical_outputs.caption(row, facts)
        right = "class_id" not in row or int(row["class_id"]) == int(shown["label"][i])
        if not right:
            lines[0] += f", true: {facts['class_names'][shown['label'][i]]}"
        if "value" in row:
            lines.append(f"true: {hyperspherical_outputs.value_text(shown['value'][i], facts['value'])}")
        captions.append("\n".join(lines))
        correct.append(right if "class_id" in row else None)
    title = "" if None in correct else f"{sum(correct)} of {len(correct)} right"
    return draw_contact_sheet(shown["image"], captions, correct=correct, title=title)


def _draw_neighbors(content, shown, dots, facts: Mapping[str, Any]):
    """Each image, and to its right the nearest other one of those that are on the sphere."""
    import numpy as np

    from tfdlcv.visualization.contact_sheet import draw_contact_sheet

    queries, others = (
        points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
        for points in (content["shown"], content["embedding"])
    )
    cosines = queries @ others.T
    cosines[shown["id"][:, None] == dots["id"][None, :]] = -np.inf
    nearest = np.argmax(cosines, axis=1)
    names = facts["class_names"]
    found = dots["label"][nearest]
    captions = [
        f"{names[own]}, nearest: {names[other]}\n(cos {cosine:.2f})"
        for own, other, cosine in zip(shown["label"], found, cosines.max(axis=1), strict=True)
    ]
    pairs = np.concatenate([shown["image"], dots["image"][nearest]], axis=2)
    correct = found == shown["label"]
    return draw_contact_sheet(
        pairs, captions, correct=correct.tolist(), title=f"{correct.sum()} of {len(correct)} are of one class"
    )
