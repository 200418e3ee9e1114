"""The network, metrics, signatures and predictions that the systems of the hyperspherical area share.

A network has the outputs `embedding` (B, d) and, of these, what the system needs: `scores` (B, K), of which the largest
names the class, and `position` (B,), between -1 for the lower end of the values' range and 1 for the upper.

Keras and TensorFlow are imported when something is built, not before.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdlcv.systems.networks import (
    ImageNetworkConfig,
    build_image_network,
    is_synchronized,
    load_pretrained,
    main_logits,
)
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    import keras

    from tfdlcv.training.export import Serving

_BATCH = 64  # Files at a time.
_MOST_PICTURES = 100  # On a contact sheet, so that it stays readable.
# Of predictions.csv, as far as there are values for them.
_COLUMNS = ("file", "class_id", "label", "probability", "cosine", "value", "unit", "nearest", "nearest_cosine")


def check_sections(model: ImageNetworkConfig, optimizer: OptimizerConfig, trainer: TrainerConfig):
    """Raises ValueError, for the validator of a config, where these sections do not go together."""
    check_epochs(optimizer, epochs=trainer.epochs)
    if is_synchronized(model) and trainer.xla == "on":
        raise ValueError(
            "model.batch_norm synchronized and trainer.xla on exclude each other: "
            "a step that XLA compiles cannot talk to the other replicas"
        )


def task_options(model: ImageNetworkConfig, trainer: TrainerConfig, network: keras.Model) -> dict[str, Any]:
    """Arguments of every Task that follow from the sections; `network` is what `build_network` built of them."""
    from tfdlcv.training import strategies

    return {
        "initialize": lambda: load_pretrained(model, network),
        "xla": strategies.use_xla(trainer) and not is_synchronized(model),
        "accumulation_steps": trainer.accumulation_steps,
        "ema_momentum": trainer.ema_momentum,
    }


def build_network(
    model: ImageNetworkConfig,
    *,
    image_shape: Sequence[int],
    dimensions: int,
    outputs_of: Callable[[Any], Mapping[str, Any]],
) -> keras.Model:
    """The network of the `model` section with `dimensions` outputs, and behind it what `outputs_of` makes of them."""
    import keras

    body = build_image_network(model, image_shape=image_shape, outputs=dimensions)
    embedding = main_logits(body.output)
    return keras.Model(body.input, {"embedding": embedding, **outputs_of(embedding)}, name=body.name)


def class_metrics(num_classes: int, confidence: str) -> dict[str, list[keras.metrics.Metric]]:
    """Those of `tfdlcv.metrics.classification_metrics` that scores of this kind can have."""
    from tfdlcv.metrics import classification_metrics
    from tfdlcv.metrics.selected import Selected

    chosen = classification_metrics(num_classes)
    if confidence != "probability":  # Cosines are no probabilities, which a calibration could be of.
        chosen["evaluation"] = [m for m in chosen["evaluation"] if m.name != "expected_calibration_error"]
    return {kind: [Selected(metric, "label", "scores") for metric in metrics] for kind, metrics in chosen.items()}


def value_metrics() -> list[keras.metrics.Metric]:
    """The mean absolute error, in the values' own units."""
    import keras

    from tfdlcv.metrics.selected import Selected

    return [Selected(keras.metrics.MeanAbsoluteError(name="mean_absolute_error"), "value", "value")]


def metric_inputs(value: Mapping[str, Any] | None) -> Callable:
    """(batch, outputs) -> what the metrics above take; `value` is the fact about the data set's values."""

    def inputs(batch, outputs):
        import tensorflow as tf

        predicted = dict(outputs)
        if "position" in outputs:
            # (B, 1), as Keras's metrics average over the last axis.
            predicted["value"] = positions_to_values(outputs["position"], value)[:, None]
        truth = {"label": batch["label"]}
        if "value" in batch:
            truth["value"] = batch["value"][:, None]
        return truth, predicted, tf.cast(batch["valid"], tf.float32)

    return inputs


def positions_to_values(positions, value: Mapping[str, Any]):
    """Positions (B,) as values (B,), within their range: that of a linear layer may be beyond its end."""
    from keras import ops

    from tfdlcv.ops import hypersphere

    inside = ops.clip(ops.cast(positions, "float32"), -1.0, 1.0)
    return hypersphere.cosine_to_value(inside, lower=value["lower"], upper=value["upper"])


def describe(outputs: Mapping[str, Any], facts: Mapping[str, Any], confidence: str | None) -> dict[str, Any]:
    """What a client gets for each of B images, by name.

    With classes: `class_id` (B,) int64, `label` (B,) string, its `probability` or `cosine` (B,) float32, and `scores`
    (B, K), those of all classes. With values: `value` (B,) float32 and `unit` (B,) string. Always: `embedding` (B, d).
    """
    import tensorflow as tf

    described = {"embedding": tf.cast(outputs["embedding"], tf.float32)}
    if "scores" in outputs:
        scores = tf.cast(outputs["scores"], tf.float32)
        scores = tf.nn.softmax(scores) if confidence == "probability" else scores
        class_id = tf.argmax(scores, axis=-1)
        described |= {
            "class_id": class_id,
            "label": tf.gather(tf.constant(facts["class_names"]), class_id),
            confidence: tf.reduce_max(scores, axis=-1),
            "scores": scores,
        }
    if "position" in outputs:
        values = positions_to_values(outputs["position"], facts["value"])
        described |= {"value": values, "unit": tf.fill(tf.shape(values), facts["value"]["unit"])}
    return described


def build_serving(network, facts: Mapping[str, Any], decoding: Mapping[str, Any], confidence: str | None) -> Serving:
    """Image files or pixels to what `describe` says."""
    from tfdlcv.training.image_serving import image_serving

    return image_serving(
        lambda image: describe(network(image, training=False), facts, confidence),
        image_shape=tuple(facts["image_shape"]),
        labels=tuple(facts["class_names"]) if "scores" in network.output else (),
        **decoding,
    )


def predict_files(
    serving: Serving,
    facts: Mapping[str, Any],
    decoding: Mapping[str, Any],
    paths: Sequence[Path],
    directory: Path,
    on_error: str,
    *,
    complete: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> dict[str, Path]:
    """Writes predictions.csv, predictions.json and contact_sheet.png for image files, and prints the first rows.

    Args:
        complete: adds to the rows, one a file, what follows from all of them together.
    """
    import tensorflow as tf

    from tfdlcv.systems.image_predictions import find_images, read_images
    from tfdlcv.visualization.pictures import save_png

    files, images = read_images(find_images(paths), facts["image_shape"], dict(decoding), on_error)
    rows = []
    for start in range(0, len(files), _BATCH):
        batch = files[start : start + _BATCH]
        outputs = serving.signatures["serving_default"](tf.constant([file.read_bytes() for file in batch]))
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        rows += [
            {"file": str(file), **{name: _plain(array[i]) for name, array in arrays.items()}}
            for i, file in enumerate(batch)
        ]
    complete(rows)
    columns = [name for name in _COLUMNS if name in rows[0]]
    directory.mkdir(parents=True, exist_ok=True)
    written = {name: directory / name for name in ("predictions.csv", "predictions.json", "contact_sheet.png")}
    with open(written["predictions.csv"], "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = {"class_names": list(facts["class_names"]), "predictions": rows}
    written["predictions.json"].write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    captions = ["\n".join([*caption(row, facts), Path(row["file"]).name]) for row in rows[:_MOST_PICTURES]]
    save_png(_sheet(images[:_MOST_PICTURES], captions), written["contact_sheet.png"])
    for row in rows[:20]:
        print(f"{row['file']}: {', '.join(caption(row, facts))}")
    if len(rows) > 20:
        print(f"... and {len(rows) - 20} more")
    return written


def add_nearest(rows: list[dict[str, Any]]):
    """Gives each row the file whose embedding points most nearly where its own does, and the cosine between the two."""
    import numpy as np

    if len(rows) < 2:
        return
    embeddings = np.array([row["embedding"] for row in rows])
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(norms > 0, norms, 1)
    for i, row in enumerate(rows):  # Row by row: all pairs of many files would not fit into memory.
        cosines = unit @ unit[i]
        cosines[i] = -np.inf
        nearest = int(np.argmax(cosines))
        row |= {"nearest": rows[nearest]["file"], "nearest_cosine": float(cosines[nearest])}


def caption(row: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """The parts of a prediction as a person reads them: `7 (cos 0.98)`, `43 degrees`."""
    parts = []
    if "label" in row:
        sure = f"{row['probability']:.0%}" if "probability" in row else f"cos {row['cosine']:.2f}"
        parts.append(f"{row['label']} ({sure})")
    if "value" in row:
        parts.append(value_text(row["value"], facts["value"]))
    if "nearest" in row:
        parts.append(f"nearest: {Path(row['nearest']).name} (cos {row['nearest_cosine']:.2f})")
    return parts


def value_text(value: float, fact: Mapping[str, Any]) -> str:
    """A value with its unit, to a hundredth of its range or finer."""
    step = (fact["upper"] - fact["lower"]) / 100
    decimals = next(places for places in range(8) if 10**-places <= max(step, 1e-7))
    return f"{value:.{decimals}f} {fact['unit']}".rstrip()


def _plain(value):
    """An element of an array as JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    return value.tolist()


def _sheet(images, captions):
    from tfdlcv.visualization.contact_sheet import draw_contact_sheet

    return draw_contact_sheet(images, captions)
