"""What a layer of a trained network makes of image files, for classifiers and searches outside the network.

Donahue et al. 2014, "DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition": layers behind the
convolutions describe images well enough for a linear classifier on other classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdlcv.errors import UserError
from tfdlcv.systems.networks import body_of, unknown_layer

if TYPE_CHECKING:
    import keras

_BATCH = 64  # Files at a time.


def write_features(
    network: keras.Model,
    layer: str,
    paths: Sequence[Path],
    output: Path,
    *,
    image_shape: Sequence[int],
    decode: dict[str, Any],
    on_error: str,
) -> Path:
    """Writes `features` (N, ...) float32, the layer's output for each readable file, and `files` (N,), to an .npz file.

    Args:
        network: What `tfdlcv.systems.networks.build_image_network` built.
        layer: Name of a layer of the function of `tfdlcv.models`; its output keeps its shape: maps stay maps.
        decode: keyword arguments of `tfdlcv.data.images.read_image_file`, those of training.
        on_error: `stop` raises for the first file that is no image; `skip` leaves such files out and says how many.

    Raises:
        UserError: for a layer that the network has not, and where there is no readable image.
    """
    import numpy as np

    extractor = feature_extractor(network, layer)
    files, rows, faults = [], [], []
    for start in range(0, len(paths), _BATCH):
        readable, images = _read(paths[start : start + _BATCH], image_shape, decode, on_error, faults)
        if readable:
            files += [str(path) for path in readable]
            rows.append(np.asarray(extractor.predict_on_batch(np.stack(images)), "float32"))
    for fault in faults:
        print(f"Skipped: {fault}")
    if faults:
        print(f"{len(faults)} of {len(paths)} files were skipped")
    if not rows:
        raise UserError("there is no image to take features of")
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "wb") as file:  # Given a path, numpy would add a suffix to it.
        np.savez(file, features=np.concatenate(rows), files=np.array(files))
    return output


def feature_extractor(network: keras.Model, layer: str) -> keras.Model:
    """`image` (B, H, W, C), 0..255, -> the output of `layer`, with the network's own variables."""
    import keras

    body = body_of(network)
    if layer not in {each.name for each in body.layers}:
        raise UserError(unknown_layer("--layer", layer, body))
    image = keras.Input(network.input_shape[1:], name="image")
    upto = keras.Model(body.input, body.get_layer(layer).output)
    return keras.Model(image, upto(network.get_layer("scale_pixels")(image)))


def _read(paths: Sequence[Path], image_shape, decode, on_error: str, faults: list[str]):
    """-> the readable paths and their images (H, W, C) uint8; what is wrong with the others goes to `faults`."""
    from tfdlcv.data.images import read_image_file

    readable, images = [], []
    for path in paths:
        try:
            images.append(read_image_file(path, tuple(image_shape), **decode))
            readable.append(path)
        except UserError as error:
            if on_error == "stop":
                raise
            faults.append(str(error))
    return readable, images
