"""SavedModels for TensorFlow Serving: version folders, named signatures, labels and warm-up requests.

    export/<version>/saved_model.pb, variables/, fingerprint.pb
    export/<version>/assets/labels.txt                          class names, one a line
    export/<version>/assets.extra/tf_serving_warmup_requests    what the server runs before it answers clients

Such a folder needs nothing of this package, nor Keras: `tf.saved_model.load`, TensorFlow Serving and
`saved_model_cli` take it as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdlcv.errors import UserError
from tfdlcv.training import serving_requests

# TensorFlow Serving runs at most as many warm-up records, and refuses a model that brings more.
_MOST_WARMUP_REQUESTS = 1000


@dataclass(frozen=True)
class WarmupRequest:
    """Inputs by name, as a client would send them to `signature`."""

    signature: str
    inputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Serving:
    """What a trained system offers to clients, for images, points, frames or anything else that tensors hold.

    Attributes:
        signatures: functions by name, each a `tf.function` with an `input_signature` whose tensors are named, that
            returns a dict of named tensors. `serving_default` takes what a client has, such as encoded images.
            They run in this process as they do in the exported model.
        labels: class names in the order of class ids; may be empty.
        warmup_requests: run by a server before it answers clients, so that no client waits for lazy initialisation.
    """

    signatures: Mapping[str, tf.types.experimental.PolymorphicFunction]
    labels: tuple[str, ...] = ()
    warmup_requests: tuple[WarmupRequest, ...] = ()

    def __post_init__(self):
        if "serving_default" not in self.signatures:
            raise ValueError(f"signatures must have serving_default. Received: {sorted(self.signatures)}")
        for name, function in self.signatures.items():
            specs = tf.nest.flatten(getattr(function, "input_signature", None))
            if any(getattr(spec, "name", None) is None for spec in specs):
                raise ValueError(
                    f"signature {name} must be a tf.function with an input_signature of named tensors. "
                    f"Received: {function}"
                )
        for label in self.labels:
            if not label or "\n" in label:
                raise ValueError(f"labels must be texts of one line. Received: {label!r}")
        if len(self.warmup_requests) > _MOST_WARMUP_REQUESTS:
            raise ValueError(f"warmup_requests ({len(self.warmup_requests)}) must be at most {_MOST_WARMUP_REQUESTS}")
        for request in self.warmup_requests:
            if request.signature not in self.signatures:
                raise ValueError(
                    f"warmup_requests name signature {request.signature!r}, which is none of {sorted(self.signatures)}"
                )


def export_saved_model(directory: str | Path, serving: Serving, *, version: int | None = None) -> Path:
    """Writes `directory/<version>/` and returns its path.

    The folder appears under its number only when it is whole, so a server that watches `directory` never loads a part.

    Args:
        version: default: one more than the highest that is there, from 1.

    Raises:
        UserError: the version exists.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if version is None:
        version = 1 + max(versions(directory), default=0)
    elif version < 1:
        raise ValueError(f"version must be at least 1. Received: version={version}")
    path = directory / str(version)
    if path.exists():
        raise UserError(f"{path} exists: choose another version, or none to get the next one")

    # Servers pass over names that are not numbers.
    unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{version}-", dir=directory))
    try:
        content = unfinished / str(version)  # Made by TensorFlow, with the permissions that the user's umask gives.
        _save(content, unfinished, serving)
        _write_warmup_requests(content, serving)
        try:
            os.rename(content, path)
        except OSError:
            if path.exists():
                raise UserError(f"{path} was written by another process meanwhile: export again") from None
            raise
    finally:
        shutil.rmtree(unfinished)
    return path


def versions(directory: str | Path) -> list[int]:
    """Versions that lie in `directory`, ascending; none if there is no such folder."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal() and entry.is_dir())


def _save(path: Path, scratch: Path, serving: Serving):
    module = tf.Module()
    # Saving refuses variables that the saved object does not own. The functions know theirs; under a strategy these
    # are the copies of the first replica, so that nothing of the strategy gets into the file.
    # Given the tf.functions themselves, saving would trace each of them once more.
    signatures = {name: function.get_concrete_function() for name, function in serving.signatures.items()}
    used = [variable for signature in signatures.values() for variable in signature.graph.variables]
    module.served_variables = list({id(variable): variable for variable in used}.values())
    if serving.labels:
        labels_file = scratch / "labels.txt"
        labels_file.write_text("".join(f"{label}\n" for label in serving.labels), encoding="utf-8")
        module.labels_file = tf.saved_model.Asset(str(labels_file))
    # A served model is not trained, and custom gradients may need Python of this package to be traced.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(path), signatures=signatures, options=options)


def _write_warmup_requests(path: Path, serving: Serving):
    if not serving.warmup_requests:
        return
    folder = path / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for request in serving.warmup_requests:
            try:
                serving.signatures[request.signature](
                    **{name: tf.constant(value) for name, value in request.inputs.items()}
                )
            except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
                raise ValueError(f"a warm-up request does not fit signature {request.signature}: {error}") from error
            predict_request = serving_requests.encode_predict_request(request.inputs, signature=request.signature)
            writer.write(serving_requests.encode_prediction_log(predict_request))
