"""The changes that `tfdlcv.data.mask_augmentation` describes, composed into one function of (batch, seed).

Of Keras 3.15's layers RandomFlip serves, for images and masks. Are not used

* RandomFlip for boxes: it takes them to fractions of the image and back, which moves them by rounding, and moves the
  padding too;
* RandomCrop: it crops a whole batch at one place, and where the image is smaller enlarges its mask bilinearly, which
  makes class numbers that lie between two classes;
* RandomZoom: it zooms about the middle alone, and fills images and masks with one value, so that what is outside
  becomes background and not void; by default it fills both with mirror images, which clones objects without boxes.

Colour is that of the image classifier.

Shape legend: B images (B, H, W, C), cropped to h x w; M boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdlcv.data import affine
from tfdlcv.data.augmentation import Augmentation, AugmentationConfig, ColorJitterConfig, build_augmentation
from tfdlcv.data.augmentation_layers import StatelessSeeds
from tfdlcv.data.dense_examples import VOID, TargetFacts
from tfdlcv.data.mask_augmentation import MaskAugmentation, ScaleCropConfig

Batch = dict[str, tf.Tensor]
Change = Callable[[Batch, tf.Tensor], Batch]

_OUTSIDE = {"mask": VOID, "instances": 0, "target": float("nan")}
_MIN_VISIBLE = 0.35  # Of a box's area, as the generated shapes have it of an object's.


def compose(config: MaskAugmentation, *, image_shape: tuple[int, int, int], target: TargetFacts | None) -> Augmentation:
    """See `tfdlcv.data.mask_augmentation.build_mask_augmentation`."""
    mirror = upend = scale_crop = None
    if config.flip in ("horizontal", "both"):
        mirror = _flip("horizontal", target)
    if config.flip in ("vertical", "both"):
        upend = _flip("vertical", target)
    if config.scale_crop is not None:
        scale_crop = _scale_crop(config.scale_crop, image_shape, target)
    jitter = None
    if config.color_jitter != ColorJitterConfig():
        # num_classes matters to mixup and cutmix alone.
        jitter = build_augmentation(AugmentationConfig(color_jitter=config.color_jitter), 0, image_shape)
    changes = [mirror, upend, scale_crop, jitter]

    def augment(batch: Batch, seed: tf.Tensor) -> Batch:
        # Every change has its own seed, wanted or not, so that one choice does not alter the draws of another.
        for change, change_seed in zip(changes, tf.unstack(tf.random.split(seed, len(changes))), strict=True):
            if change is not None:
                batch = change(batch, change_seed)
        return {**batch, "image": tf.cast(batch["image"], tf.float32)}

    return augment


def _flip(mode: str, target: TargetFacts | None) -> Change:
    layer = keras.layers.RandomFlip(mode, dtype="float32", seed=0)
    axis = 0 if mode == "horizontal" else 1  # Of normals, and of a box's corner.

    def change(batch: Batch, seed: tf.Tensor) -> Batch:
        images = batch["image"]
        transformation = layer.get_random_transformation(images, training=True, seed=StatelessSeeds(seed))
        changed = {"image": layer.transform_images(images, transformation)}
        for key in _OUTSIDE.keys() & batch.keys():
            values = batch[key] if key == "target" else batch[key][..., tf.newaxis]
            flipped = layer.transform_segmentation_masks(values, transformation)
            # All class numbers are whole numbers that float32 holds.
            changed[key] = tf.cast(tf.reshape(flipped, tf.shape(batch[key])), batch[key].dtype)
        is_flipped = tf.reshape(transformation["flips"], (-1, 1, 1))
        if target is not None and target.name == "normals":
            signs = tf.where(is_flipped[..., tf.newaxis], -tf.one_hot(axis, 3) * 2 + 1, tf.ones(3))
            changed["target"] *= signs
        if "boxes" in batch:
            boxes, size = batch["boxes"], tf.cast(tf.shape(images)[2 - axis], tf.float32)
            low, high = boxes[..., axis], boxes[..., axis + 2]
            columns = list(tf.unstack(boxes, axis=-1))
            columns[axis], columns[axis + 2] = size - high, size - low
            is_box = batch["labels"][..., tf.newaxis] >= 0
            changed["boxes"] = tf.where(is_flipped & is_box, tf.stack(columns, axis=-1), boxes)
        return {**batch, **_with_static_shapes(changed, batch)}

    return change


def _scale_crop(config: ScaleCropConfig, image_shape: tuple[int, int, int], target: TargetFacts | None) -> Change:
    height, width, channels = image_shape
    new_height, new_width = config.size or (height, width)

    def change(batch: Batch, seed: tf.Tensor) -> Batch:
        draws = tf.random.stateless_uniform((3, tf.shape(batch["image"])[0]), seed)
        scale = config.scale[0] + (config.scale[1] - config.scale[0]) * draws[0]
        # Where the part begins in the scaled image; negative where the image is smaller, and lies inside the part.
        top = tf.round(draws[1] * (scale * height - new_height))
        left = tf.round(draws[2] * (scale * width - new_width))
        rows, columns = _sources(top, scale, new_height), _sources(left, scale, new_width)
        is_inside = _inside(rows, height)[:, :, tf.newaxis] & _inside(columns, width)[:, tf.newaxis, :]  # (B, h, w)

        zero = tf.zeros_like(scale)
        maps = tf.stack([1 / scale, zero, columns[:, 0], zero, 1 / scale, rows[:, 0]], axis=1)
        images = affine.resample(
            tf.cast(batch["image"], tf.float32), maps, "nearest", output_size=(new_height, new_width)
        )
        changed = {"image": tf.where(is_inside[..., tf.newaxis], images, 0.0)}
        for key in _OUTSIDE.keys() & batch.keys():
            values = tf.gather(batch[key], _nearest(rows, height), axis=1, batch_dims=1)
            values = tf.gather(values, _nearest(columns, width), axis=2, batch_dims=1)
            where = is_inside[..., tf.newaxis] if key == "target" else is_inside
            changed[key] = tf.where(where, values, tf.cast(_OUTSIDE[key], values.dtype))
        if target is not None and target.name == "depth":
            changed["target"] /= scale[:, tf.newaxis, tf.newaxis, tf.newaxis]
        if "boxes" in batch and "instances" in batch:
            changed |= _boxes_of_instances(batch, changed["instances"], scale)
        elif "boxes" in batch:
            offsets = tf.stack([left, top, left, top], axis=1)[:, tf.newaxis]  # (B, 1, 4)
            boxes = batch["boxes"] * scale[:, tf.newaxis, tf.newaxis] - offsets
            changed |= _cut_boxes(boxes, batch["labels"], new_height, new_width)
        changed["image"] = tf.ensure_shape(changed["image"], (None, new_height, new_width, channels))
        return {**batch, **changed}

    return change


def _sources(start: tf.Tensor, scale: tf.Tensor, size: int) -> tf.Tensor:
    """Where the pixels (B, size) of the part lie in the image, the centre of whose first pixel is 0."""
    return (tf.range(size, dtype=tf.float32) + 0.5 + start[:, tf.newaxis]) / scale[:, tf.newaxis] - 0.5


def _inside(places: tf.Tensor, size: int) -> tf.Tensor:
    return (places >= -0.5) & (places < size - 0.5)


def _nearest(places: tf.Tensor, size: int) -> tf.Tensor:
    return tf.clip_by_value(tf.cast(tf.floor(places + 0.5), tf.int32), 0, size - 1)


def _cut_boxes(boxes: tf.Tensor, labels: tf.Tensor, height: int, width: int) -> Batch:
    """Boxes cut to the image; those of which too little is left become padding."""
    cut = tf.clip_by_value(boxes, 0.0, tf.constant([width, height, width, height], tf.float32))
    return _kept(cut, labels, (_area(cut) >= _MIN_VISIBLE * _area(boxes)) & (_area(cut) > 0))


def _boxes_of_instances(batch: Batch, instances: tf.Tensor, scale: tf.Tensor) -> Batch:
    """Boxes of what is seen of each object, which is less than a cut box where the rest of the object is aslant."""
    height, width = instances.shape[1:]
    numbers = tf.range(1, tf.shape(batch["labels"])[1] + 1)[:, tf.newaxis, tf.newaxis]  # (M, 1, 1)
    masks = tf.cast(instances, tf.int32)[:, tf.newaxis] == numbers  # (B, M, h, w)
    old_masks = tf.cast(batch["instances"], tf.int32)[:, tf.newaxis] == numbers
    pixels = tf.reduce_sum(tf.cast(masks, tf.float32), axis=(2, 3))  # (B, M)
    old_pixels = tf.reduce_sum(tf.cast(old_masks, tf.float32), axis=(2, 3)) * scale[:, tf.newaxis] ** 2
    columns, rows = tf.reduce_any(masks, axis=2), tf.reduce_any(masks, axis=3)  # (B, M, w), (B, M, h)
    first = [tf.argmax(seen, axis=2) for seen in (columns, rows)]
    behind = [size - tf.argmax(seen[..., ::-1], axis=2) for seen, size in ((columns, width), (rows, height))]
    boxes = tf.cast(tf.stack([*first, *behind], axis=-1), tf.float32)
    return _kept(boxes, batch["labels"], (pixels >= _MIN_VISIBLE * old_pixels) & (pixels > 0))


def _kept(boxes: tf.Tensor, labels: tf.Tensor, stays: tf.Tensor) -> Batch:
    stays &= labels >= 0
    return {"boxes": tf.where(stays[..., tf.newaxis], boxes, -1.0), "labels": tf.where(stays, labels, -1)}


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _with_static_shapes(changed: Batch, batch: Batch) -> Batch:
    return {key: tf.ensure_shape(value, batch[key].shape) for key, value in changed.items()}
