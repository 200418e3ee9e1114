"""Requests to TensorFlow Serving as bytes, without the package `tensorflow-serving-api`.

Warm-up requests belong into every exported model, whichever packages are installed where it is written. The few
messages that they take hold nothing but submessages and strings, so the wire format is written here directly:
https://protobuf.dev/programming-guides/encoding. Field numbers are those of tensorflow_serving/apis/: predict.proto,
model.proto and prediction_log.proto; published numbers never change.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

_LENGTH_DELIMITED = 2  # Wire type of strings, bytes and submessages.


def encode_predict_request(inputs: Mapping[str, np.ndarray], *, signature: str, model_name: str = "") -> bytes:
    """A serialized `PredictRequest`.

    Args:
        inputs: arrays by the names of the signature's inputs; bytes and texts as object arrays.
        model_name: empty in warm-up requests, which the server gives to the model that they come with.
    """
    model_spec = _field(1, model_name.encode()) + _field(3, signature.encode())  # name, signature_name
    encoded = _field(1, model_spec)
    for name, value in sorted(inputs.items()):
        tensor = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
        # An entry of a map is a message of its key and its value.
        encoded += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return encoded


def encode_prediction_log(predict_request: bytes) -> bytes:
    """A serialized `PredictionLog` of one `PredictRequest`, as a record of warm-up requests holds it."""
    predict_log = _field(1, predict_request)
    return _field(6, predict_log)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field; an empty string is left out, as every writer of proto3 does."""
    if not content:
        return b""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the eighth bit says that more bytes follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
