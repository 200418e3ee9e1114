"""Generated shapes as files: PNG images and masks, COCO's JSON and TFRecords.

    python -m tfdlcv.data.shapes_files FOLDER --images 3000 --validation-images 300

writes for each part (train, validation, test):

    <part>/images/000000.png         the image
    <part>/masks/000000.png          palette PNG, 0 for the background, 1..5 for the shapes
    <part>/instances/000000.png      grey PNG, 0 for the background, k + 1 for object k
    annotations/instances_<part>.json
    <part>-00000-of-00004.tfrecord   ...

The first two are the layout of the data set image_mask_folder, images and annotations that of coco; records have the
keys of TensorFlow Model Garden's readers. The folder is written under another name and renamed when it is whole.

Shape legend: images H x W, M objects at most.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from tfdlcv.data import run_lengths
from tfdlcv.data.renamed_files import folder_then_renamed
from tfdlcv.data.shapes import CLASS_NAMES, PALETTE, Shapes, ShapesConfig, ShapesExample
from tfdlcv.data.shapes_drawing import SHAPE_NAMES
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

EXAMPLES_PER_RECORD_FILE = 1000  # About 30 MB at 128 x 128.


def write_shapes(folder: str | Path, config: ShapesConfig, *, records: bool = True) -> Path:
    """Writes the examples of `config`, the very same as a run on it sees.

    Args:
        records: also TFRecords.

    Returns:
        The folder.

    Raises:
        UserError: the folder exists and is not empty, or cannot be written.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: choose another folder, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_then_renamed(folder) as unfinished:
            (unfinished / "annotations").mkdir()
            for part in ("train", "validation", "test"):
                _write_part(unfinished, part, config.generator(part), getattr(config, f"{part}_examples"), records)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def coco_annotations(generator: Shapes, examples: int, *, file_name: str = "{:06d}.png") -> dict[str, Any]:
    """The first examples of `generator` as the content of a COCO file of instances.

    Category ids are 1..5, in the order of `SHAPE_NAMES`. All ids begin with 1, since pycocotools takes an annotation of
    id 0 for none.
    """
    content = _empty_coco()
    for index in range(examples):
        _add_to_coco(content, generator[index], index, file_name.format(index))
    return content


def record(example: ShapesExample, index: int) -> bytes:
    """An example as a serialized `tf.train.Example` with the keys of TensorFlow Model Garden's readers.

    Boxes are fractions of the image's height and width, `image/object/class/label` is 1..5, and
    `image/segmentation/class/encoded` is the semantic mask as a grey PNG.
    """
    import tensorflow as tf

    height, width = example.mask.shape
    count = example.num_objects
    boxes, labels = example.boxes[:count] / [width, height, width, height], example.labels[:count]
    masks = example.instance_masks[:count]
    sides = ("xmin", "ymin", "xmax", "ymax")
    numbers = {f"image/object/bbox/{side}": boxes[:, place] for place, side in enumerate(sides)}
    numbers["image/object/area"] = masks.sum(axis=(1, 2))
    integers = {
        "image/height": [height],
        "image/width": [width],
        "image/object/class/label": labels + 1,
        "image/object/is_crowd": [0] * count,
    }
    texts = {
        "image/encoded": [_png(example.image)],
        "image/source_id": [str(index).encode()],
        "image/object/class/text": [SHAPE_NAMES[label].encode() for label in labels],
        "image/object/mask": [_png(mask.astype(np.uint8)) for mask in masks],
        "image/segmentation/class/encoded": [_png(example.mask)],
    }
    # Each with the list of its type even where it is empty: readers refuse another type's.
    train = tf.train
    features = {key: train.Feature(float_list=train.FloatList(value=values)) for key, values in numbers.items()}
    features |= {key: train.Feature(int64_list=train.Int64List(value=values)) for key, values in integers.items()}
    features |= {key: train.Feature(bytes_list=train.BytesList(value=values)) for key, values in texts.items()}
    return train.Example(features=train.Features(feature=features)).SerializeToString()


def parse_record(serialized: tf.Tensor, *, max_objects: int = 6) -> dict[str, tf.Tensor]:
    """The tensors of `record`, for `tf.data`'s map.

    Returns:
        image (H, W, 3) uint8, mask (H, W) int32, instance_masks (M, H, W) bool, boxes (M, 4) float32 in pixels, and
        labels (M,) int32, places in `SHAPE_NAMES`; padded, as in `ShapesExample`, to M = `max_objects`.
    """
    import tensorflow as tf

    sides = [f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax")]
    parsed = tf.io.parse_single_example(
        serialized,
        {
            "image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/object/class/label": tf.io.RaggedFeature(tf.int64),
            "image/object/mask": tf.io.RaggedFeature(tf.string),
            **{side: tf.io.RaggedFeature(tf.float32) for side in sides},
        },
    )
    image = tf.io.decode_png(parsed["image/encoded"], channels=3)
    mask = tf.io.decode_png(parsed["image/segmentation/class/encoded"], channels=1)[..., 0]
    size = tf.cast(tf.reverse(tf.shape(mask), [0]), tf.float32)  # Width and height.
    boxes = tf.stack([parsed[side] for side in sides], axis=1) * tf.tile(size, [2])
    labels = tf.cast(parsed["image/object/class/label"], tf.int32) - 1
    missing = max_objects - tf.shape(labels)[0]
    blank = tf.io.encode_png(tf.zeros_like(mask)[..., tf.newaxis])
    masks = tf.map_fn(
        lambda encoded: tf.io.decode_png(encoded, channels=1)[..., 0],
        tf.concat([parsed["image/object/mask"], tf.repeat(blank, missing)], axis=0),
        fn_output_signature=tf.TensorSpec((None, None), tf.uint8),
    )
    return {
        "image": image,
        "mask": tf.cast(mask, tf.int32),
        "instance_masks": tf.cast(tf.ensure_shape(masks, (max_objects, None, None)), tf.bool),
        "boxes": tf.ensure_shape(tf.pad(boxes, [[0, missing], [0, 0]], constant_values=-1.0), (max_objects, 4)),
        "labels": tf.ensure_shape(tf.pad(labels, [[0, missing]], constant_values=-1), (max_objects,)),
    }


def _write_part(folder: Path, part: str, generator: Shapes, examples: int, records: bool) -> None:
    for kind in ("images", "masks", "instances"):
        (folder / part / kind).mkdir(parents=True)
    content = _empty_coco()
    writers = _record_writers(folder, part, examples) if records else None
    for index in range(examples):
        example, name = generator[index], f"{index:06d}.png"
        Image.fromarray(example.image).save(folder / part / "images" / name)
        Image.fromarray(example.instances).save(folder / part / "instances" / name)
        mask = Image.fromarray(example.mask)
        mask.putpalette([value for color in PALETTE for value in color])
        mask.save(folder / part / "masks" / name)
        _add_to_coco(content, example, index, name)
        if writers is not None:
            next(writers).write(record(example, index))
    if writers is not None:
        writers.close()
    (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content), encoding="utf-8")


def _record_writers(folder: Path, part: str, examples: int) -> Iterator[tf.io.TFRecordWriter]:
    """For each example the writer of its file."""
    import tensorflow as tf

    files = -(-examples // EXAMPLES_PER_RECORD_FILE)
    for number in range(files):
        with tf.io.TFRecordWriter(str(folder / f"{part}-{number:05d}-of-{files:05d}.tfrecord")) as writer:
            for _ in range(EXAMPLES_PER_RECORD_FILE):
                yield writer


def _empty_coco() -> dict[str, Any]:
    return {
        "info": {"description": "Generated shapes"},
        "licenses": [],
        "images": [],
        "annotations": [],
        "categories": [
            {"id": number, "name": name, "supercategory": "shape"} for number, name in enumerate(CLASS_NAMES) if number
        ],
    }


def _add_to_coco(content: dict[str, Any], example: ShapesExample, index: int, file_name: str) -> None:
    height, width = example.mask.shape
    content["images"].append({"id": index + 1, "file_name": file_name, "height": height, "width": width})
    masks = example.instance_masks
    for place in range(example.num_objects):
        x0, y0, x1, y1 = example.boxes[place].tolist()
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": index + 1,
                "category_id": int(example.labels[place]) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": int(masks[place].sum()),
                "iscrowd": 0,
                "segmentation": run_lengths.encode(masks[place]),
            }
        )


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tfdlcv.data.shapes_files", description="Write generated shapes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=3000, help="of training; default: %(default)s")
    parser.add_argument("--validation-images", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--test-images", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=128, help="height and width; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="as data_seed of a config; default: %(default)s")
    parser.add_argument("--no-records", action="store_true", help="no TFRecords")
    options = parser.parse_args(arguments)
    try:
        config = ShapesConfig(
            name="shapes",
            image_size=(options.size, options.size),
            train_examples=options.images,
            validation_examples=options.validation_images,
            test_examples=options.test_images,
            data_seed=options.seed,
        )
    except ValidationError as error:
        parser.error("; ".join(fault["msg"] for fault in error.errors()))
    if not options.no_records:
        from tfdlcv.quiet_import import import_tensorflow

        import_tensorflow()
    try:
        print(write_shapes(options.folder, config, records=not options.no_records))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
