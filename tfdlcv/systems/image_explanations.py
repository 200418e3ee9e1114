"""What a classifier of images sees in them: the pictures of `tfdlcv explain`, written to a folder with their numbers.

Keras, TensorFlow and NumPy are imported when something is explained, not before.

Shape legend: N images, H x W pixels, C channels, K classes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tfdlcv.data.pipeline import Datasets, Split

# Those that make a map of each image, in the order of the sheet's columns.
MAPS = ("saliency", "guided_backpropagation", "deconvnet", "grad_cam", "guided_grad_cam", "occlusion")
METHODS = (*MAPS, "filters", "feature_maps", "responses", "embeddings")
_MOST_EXPLAINED = 32  # Images: more make a sheet that nobody can read.
_MOST_EMBEDDED = 1000  # Of a split; t-SNE's time grows fast with their number.
_OCCLUDING_SHARE = 5  # The patch is a fifth of the image's side, as in Zeiler and Fergus, figure 7: 50 of 224 pixels.
_STRIDES_OF_PATCH = 3  # Places overlap, so that the map is smoother than the patch is large.


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Attributes:
        paths: Image files and folders of them; none: examples of the run's own data.
        examples: How many of these, spread evenly over the split.
        split: `train`, `validation` or `test`.
        methods: Of `METHODS`; none: all that the network allows.
        layer: Name of the layer for Grad-CAM, feature maps and responses; None: the last one of maps.
        class_name: Whose score is explained; None: the predicted class of each image.
        directory: Where the pictures go.
        on_error: `stop` or `skip`, for a file that cannot be read.
    """

    paths: tuple[Path, ...]
    directory: Path
    examples: int = 8
    split: str = "test"
    methods: tuple[str, ...] = ()
    layer: str | None = None
    class_name: str | None = None
    on_error: str = "stop"


@dataclass(frozen=True)
class _Images:
    """Images (N, H, W, C) uint8, their names, and their classes (N,) where they are known."""

    images: np.ndarray
    names: list[str]
    labels: np.ndarray | None


def explain(
    network: keras.Model,
    facts: Mapping[str, Any],
    request: Request,
    *,
    decoding: Mapping[str, Any],
    datasets: Callable[[], Datasets],
    confidence: str = "probability",
) -> dict[str, Path]:
    """Writes the pictures of each method to `request.directory`; returns their paths by name, and prints what is left
    out because the network or the images do not allow it.

    Args:
        network: From images (N, H, W, C), 0..255, to scores (N, K).
        decoding: Keyword arguments of `read_image_file`, those of training.
        datasets: Reads the run's data, where images of it are asked for.
        confidence: `probability`, of scores that are logits, or `cosine`.

    Raises:
        UserError: for an unknown method, layer or class, and for methods that were asked for and cannot be.
    """
    for method in request.methods:
        if method not in METHODS:
            raise UserError(f"no method {method!r}: choose of {', '.join(METHODS)}")
    class_id = _class_id(request.class_name, facts["class_names"])
    _check_layer(network, request.layer)
    source = datasets() if not request.paths else None
    shown = _shown(source, facts, request, decoding)
    few = _few(shown)
    given = None if class_id is None else [class_id] * len(few.images)
    written: dict[str, Path] = {}
    wanted = request.methods or METHODS
    for name, write in (
        ("maps", lambda: _write_maps(network, few, given, facts, request, confidence)),
        ("filters", lambda: _write_filters(network, request)),
        ("feature_maps", lambda: _write_feature_maps(network, few, request)),
        ("responses", lambda: _write_responses(network, shown, source, request)),
        ("embeddings", lambda: _write_embeddings(network, shown, source, facts, request)),
    ):
        if name not in wanted and not (name == "maps" and set(wanted) & set(MAPS)):
            continue
        try:
            written |= write()
        except UserError as error:
            if request.methods:
                raise
            print(f"Left out: {name.replace('_', ' ')}, since {error}")
    return written


def _class_id(name: str | None, class_names: Sequence[str]) -> int | None:
    if name is None:
        return None
    if name not in class_names:
        near = difflib.get_close_matches(name, class_names, cutoff=0.5) or list(class_names[:8])
        raise UserError(f"no class {name!r} among the {len(class_names)} of the run. Near: {', '.join(near)}")
    return list(class_names).index(name)


def _check_layer(network: keras.Model, name: str | None):
    """A wrong name is told before anything is computed."""
    from tfdlcv.visualization import network_graph

    if name is not None:
        network_graph.map_layer(network_graph.flat_copy(network), name)


def _shown(source: Datasets | None, facts, request: Request, decoding) -> _Images:
    import numpy as np

    from tfdlcv.systems.image_predictions import find_images, read_images

    if source is not None:
        return _examples(_split(source, request.split), request.examples)
    shape = facts["image_shape"]
    files, images = read_images(find_images(request.paths), shape, dict(decoding), request.on_error)
    return _Images(np.stack(images), [file.name for file in files], None)


def _few(shown: _Images) -> _Images:
    if len(shown.images) <= _MOST_EXPLAINED:
        return shown
    print(f"Maps are drawn of the first {_MOST_EXPLAINED} of {len(shown.images)} images")
    labels = None if shown.labels is None else shown.labels[:_MOST_EXPLAINED]
    return _Images(shown.images[:_MOST_EXPLAINED], shown.names[:_MOST_EXPLAINED], labels)


def _split(source: Datasets, name: str) -> Split:
    split = {"train": source.train, "validation": source.validation, "test": source.test}[name]
    if split is None:
        raise UserError("the data set has no test split: choose train or validation")
    return split


def _examples(split: Split, count: int) -> _Images:
    """`count` examples, evenly spread over the split."""
    import numpy as np
    import tensorflow as tf

    spread = np.unique(np.linspace(0, split.num_examples - 1, count).astype(np.int64))
    if split.fetch_per_example:
        fetched = [split.fetch(tf.constant(index)) for index in spread]
        batch = {name: np.stack([one[name].numpy() for one in fetched]) for name in ("image", "label")}
    else:
        batch = {name: value.numpy() for name, value in split.fetch(tf.constant(spread)).items()}
    names = [Path(split.describe(int(index))).name for index in spread]
    return _Images(batch["image"], names, batch.get("label"))


def _write_maps(network, few: _Images, given, facts, request: Request, confidence: str) -> dict[str, Path]:
    """explanations.png, a row for each image, and explanations.npz with the maps as numbers."""
    import numpy as np

    from tfdlcv.visualization import network_graph
    from tfdlcv.visualization.explanation_sheet import draw_explanations
    from tfdlcv.visualization.gradients import scores
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.relu_rule import relu_rule

    copy = relu_rule(network, "plain")
    all_scores = scores(copy, few.images)  # (N, K)
    class_ids = np.asarray(all_scores.argmax(axis=-1) if given is None else given)
    methods = [name for name in MAPS if name in (request.methods or MAPS)]
    if not request.methods and not network_graph.has_switches(copy):
        methods.remove("deconvnet")
        print("Left out: deconvnet, since it draws the same for every image where a network has no max pool")
    maps = {}
    for name in methods:
        try:
            maps[name] = _map_of(network, few.images, class_ids, name, request.layer)
        except (UserError, ValueError) as error:
            if request.methods:
                raise UserError(str(error)) from None
            print(f"Left out: {name.replace('_', ' ')}, since {error}")
    captions = _captions(all_scores, class_ids, few, facts["class_names"], confidence)
    sheet = draw_explanations(few.images, maps, captions)
    written = {"explanations": save_png(sheet, request.directory / "explanations.png")}
    arrays = {"image": few.images, "name": np.array(few.names), "class_id": class_ids, **maps}
    written["numbers"] = request.directory / "explanations.npz"
    np.savez_compressed(written["numbers"], **arrays)
    return written


def _map_of(network, images, class_ids, name: str, layer: str | None) -> np.ndarray:
    """(N, H, W), or (N, H, W, C) of the methods that make images."""
    from tfdlcv.visualization import grad_cam, occlusion, saliency

    match name:
        case "saliency":
            return saliency.saliency(network, images, class_ids)
        case "guided_backpropagation":
            return saliency.guided_backpropagation(network, images, class_ids)
        case "deconvnet":
            return saliency.deconvnet(network, images, class_ids)
        case "grad_cam":
            return grad_cam.enlarged(grad_cam.grad_cam(network, images, class_ids, layer=layer), images.shape[1:3])
        case "guided_grad_cam":
            maps = grad_cam.grad_cam(network, images, class_ids, layer=layer)
            return grad_cam.guided_grad_cam(maps, saliency.guided_backpropagation(network, images, class_ids))
        case "occlusion":
            patch = max(1, min(images.shape[1:3]) // _OCCLUDING_SHARE)
            stride = max(1, patch // _STRIDES_OF_PATCH)
            return occlusion.occlusion(network, images, class_ids, patch=patch, stride=stride)
    raise ValueError(f"no map is called {name!r}")


def _captions(scores, class_ids, few: _Images, class_names: Sequence[str], confidence: str) -> list[str]:
    import numpy as np

    captions = []
    for index, (row, class_id) in enumerate(zip(scores, class_ids, strict=True)):
        shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        sure = f"{shares[class_id]:.1%}" if confidence == "probability" else f"cos {row[class_id]:.2f}"
        lines = [f"{class_names[class_id]} ({sure})"]
        if row.argmax() != class_id:
            lines.append(f"predicted: {class_names[row.argmax()]}")
        if few.labels is not None and few.labels[index] != row.argmax():
            lines.append(f"true: {class_names[few.labels[index]]}")
        captions.append("\n".join([*lines, few.names[index][:28]]))
    return captions


def _write_filters(network, request: Request) -> dict[str, Path]:
    from tfdlcv.visualization.filters import draw_filters, first_layer_filters
    from tfdlcv.visualization.pictures import save_png

    return {
        "filters": save_png(draw_filters(first_layer_filters(network)), request.directory / "filters.png"),
    }


def _write_feature_maps(network, few: _Images, request: Request) -> dict[str, Path]:
    """feature_maps/<number>_<image>.png."""
    from tfdlcv.visualization.feature_maps import draw_feature_maps, feature_maps
    from tfdlcv.visualization.pictures import save_png

    folder = request.directory / "feature_maps"
    for index, maps in enumerate(feature_maps(network, few.images, request.layer)):
        save_png(draw_feature_maps(maps), folder / f"{index:02d}_{Path(few.names[index]).stem}.png")
    return {"feature maps": folder}


def _write_responses(network, shown: _Images, source: Datasets | None, request: Request) -> dict[str, Path]:
    """Of the images that are given or, where these are the run's own, of many of them: strong ones must be found.

    By the deconvnet, or by guided backpropagation where no max pool tells it of the image, as Springenberg et al. do.
    """
    from tfdlcv.visualization import network_graph
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.strongest_responses import draw_responses, strongest_responses

    seen = shown if source is None else _examples(_split(source, request.split), _MOST_EMBEDDED)
    rule = "deconvnet" if network_graph.has_switches(network_graph.flat_copy(network)) else "guided"
    try:
        found = strongest_responses(network, seen.images, layer=request.layer, rule=rule)
        picture = draw_responses(found, seen.images)
    except ValueError as error:
        raise UserError(str(error)) from None
    return {"strongest responses": save_png(picture, request.directory / "strongest_responses.png")}


def _write_embeddings(network, shown: _Images, source: Datasets | None, facts, request: Request) -> dict[str, Path]:
    """embeddings.png by t-SNE, and the files of TensorBoard's projector, of what the last layer of weights sees."""
    from tfdlcv.visualization import embedding_map, network_graph
    from tfdlcv.visualization.gradients import scores
    from tfdlcv.visualization.pictures import save_png
    from tfdlcv.visualization.projector import write_projector

    seen = shown if source is None else _examples(_split(source, request.split), _MOST_EMBEDDED)
    if len(seen.images) < embedding_map.FEWEST:
        raise UserError(f"{len(seen.images)} images make no map: {embedding_map.FEWEST} or more do")
    flat = network_graph.flat_copy(network)
    embeddings = network_graph.last_features(flat, seen.images)
    predicted = scores(flat, seen.images).argmax(axis=-1)
    class_names = facts["class_names"]
    known = seen.labels is not None
    picture = embedding_map.draw_embedding_map(
        embedding_map.tsne(embeddings),
        seen.labels if known else predicted,
        class_names,
        wrong=seen.labels != predicted if known else None,
        title=f"t-SNE of {len(embeddings)} images" + ("; rings: classified wrong" if known else "; colour: prediction"),
    )
    columns = {"image": seen.names, "predicted": [class_names[i] for i in predicted]}
    if known:
        columns["class"] = [class_names[i] for i in seen.labels]
    folder = request.directory / "projector"
    write_projector(folder, embeddings.reshape(len(embeddings), -1), columns, seen.images)
    return {"embeddings": save_png(picture, request.directory / "embeddings.png"), "projector": folder}
