"""Signatures of networks for images: encoded files or pixels in, named outputs out.

Shape legend: B images, H x W x C pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.data import images
from tfdlcv.training.export import Serving, WarmupRequest

# How files of the formats that `tfdlcv.data.images` reads begin: JPEG, PNG, GIF, BMP, WebP.
_FILE_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")


def image_classification_serving(
    network: Callable,
    *,
    image_shape: tuple[int, int, int],
    resize: images.Resize = "crop",
    padding: int = 0,
    class_names: Sequence[str] = (),
) -> Serving:
    """Serves `network`, which takes images (B, H, W, C) uint8 and gives logits (B, K).

    `serving_default` takes `image_bytes` (B,) string, whole image files; `tensors` takes `image` (B, H, W, C) uint8,
    already of the network's size. Both return `probabilities` (B, K) float32, `class_id` (B,) int64 and, where
    classes have names, `label` (B,) string. Anything that is no image, or not of that shape, is an
    InvalidArgumentError that says so.

    Args:
        image_shape, resize, padding: as `tfdlcv.data.images.decode_image` takes them; use those of training.
        class_names: K names.
    """
    names = tf.constant([str(name) for name in class_names]) if class_names else None

    def classify(image):  # (B, H, W, C) uint8
        logits = keras.ops.cast(network(image, training=False), "float32")  # (B, K)
        if class_names and logits.shape[-1] != len(class_names):
            raise ValueError(
                f"class_names ({len(class_names)}) must be as many as the network's outputs ({logits.shape[-1]})"
            )
        class_id = tf.argmax(logits, axis=-1)
        outputs = {"probabilities": tf.nn.softmax(logits), "class_id": class_id}
        if names is not None:
            outputs["label"] = tf.gather(names, class_id)
        return outputs

    return image_serving(
        classify, image_shape=image_shape, resize=resize, padding=padding, labels=tuple(str(n) for n in class_names)
    )


def image_serving(
    describe: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    *,
    image_shape: tuple[int, int, int],
    resize: images.Resize = "crop",
    padding: int = 0,
    labels: tuple[str, ...] = (),
) -> Serving:
    """Serves `describe`, which takes images (B, H, W, C) uint8 and gives named tensors for the client.

    The signatures and their errors are those of `image_classification_serving`.

    Args:
        image_shape, resize, padding: as `tfdlcv.data.images.decode_image` takes them; use those of training.
        labels: class names in the order of class ids, for the file beside the model.
    """
    image_shape = tuple(image_shape)
    decode = images.decoder(image_shape, resize, padding)
    # One trace serves both signatures.
    describe = tf.function(
        describe, input_signature=[tf.TensorSpec((None, *image_shape), tf.uint8, name="image")], autograph=False
    )

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")], autograph=False)
    def serve_files(image_bytes):
        # Nothing else compares a request's shape with the signature, and the wrong rank kills a server's process:
        # convolutions of TensorFlow 2.21 end in a failed C++ assertion on CPU.
        image_bytes = checked(tf.ensure_shape(image_bytes, (None,)), check_files)
        return describe(tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec(image_shape, tf.uint8)))

    @tf.function(input_signature=[tf.TensorSpec((None, *image_shape), tf.uint8, name="image")], autograph=False)
    def serve_tensors(image):
        return describe(checked(tf.ensure_shape(image, (None, *image_shape))))

    blank = np.zeros(image_shape, np.uint8)
    return Serving(
        signatures={"serving_default": serve_files, "tensors": serve_tensors},
        labels=labels,
        warmup_requests=(
            WarmupRequest(
                "serving_default", {"image_bytes": np.array([tf.io.encode_png(blank).numpy()], dtype=object)}
            ),
            WarmupRequest("tensors", {"image": blank[None]}),
        ),
    )


def checked(batch, *checks):
    """`batch`, once it is known to pass the checks and to hold something: convolutions fail on nothing, obscurely."""
    some = tf.debugging.Assert(tf.shape(batch)[0] > 0, ["the request holds no image"])
    with tf.control_dependencies([some, *(check(batch) for check in checks)]):
        return tf.identity(batch)


def check_files(image_bytes):
    """Fails for the first of the files (B,) that is of no known format: TensorFlow's own message has no index."""
    known = tf.reduce_any([tf.strings.substr(image_bytes, 0, len(s)) == s for s in _FILE_STARTS], axis=0)  # (B,)
    first_unknown = tf.argmin(tf.cast(tf.concat([known, [False]], axis=0), tf.int32))
    length = tf.strings.length(tf.concat([image_bytes, [""]], axis=0)[first_unknown])
    message = tf.strings.format(
        "image_bytes[{}], of {} bytes, is not a JPEG, PNG, GIF, BMP or WebP file", (first_unknown, length)
    )
    return tf.debugging.Assert(tf.reduce_all(known), [message])
