import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.training.serving_requests import encode_predict_request, encode_prediction_log


def test_requests_as_bytes_by_hand():
    tensor = tf.make_tensor_proto(np.float32(1)).SerializeToString(deterministic=True)
    spec = b"\x0a\x0f" + b"\x0a\x02ab" + b"\x1a\x09signature"
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(tensor)]) + tensor
    expected = spec + b"\x12" + bytes([len(entry)]) + entry
    assert encode_predict_request({"x": np.float32(1)}, signature="signature", model_name="ab") == expected
    assert encode_prediction_log(b"abc") == b"\x32\x05\x0a\x03abc"
    # Lengths from 128 on take several bytes: 300 = 0b10_0101100.
    assert encode_prediction_log(b"x" * 300)[3:6] == b"\x0a\xac\x02"


def test_requests_are_those_of_the_api_byte_for_byte():
    reason = "tensorflow-serving-api is not installed: pip install 'tfdlcv[serving]'"
    pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=reason)
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    inputs = {"points": np.random.rand(40, 3).astype("float32"), "name": np.array([b"x" * 200, b""], dtype=object)}
    for model_name in ("", "digits"):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model_name
        request.model_spec.signature_name = "serving_default"
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        ours = encode_predict_request(inputs, signature="serving_default", model_name=model_name)
        assert ours == request.SerializeToString(deterministic=True)
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        assert encode_prediction_log(ours) == log.SerializeToString(deterministic=True)
