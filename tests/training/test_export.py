import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdlcv.data import images
from tfdlcv.errors import UserError
from tfdlcv.training.export import Serving, WarmupRequest, export_saved_model, versions
from tfdlcv.training.image_serving import image_classification_serving

SHAPE = (12, 10, 3)
NAMES = ("cat", "dog", "Müsli bar")


def build_network(dtype=None):
    """Every kind of variable: trained, statistics, and a seed."""
    image = keras.Input(SHAPE, name="image")
    x = keras.layers.Rescaling(1 / 255, dtype=dtype)(image)
    x = keras.layers.Conv2D(8, 3, dtype=dtype)(x)
    x = keras.layers.BatchNormalization(dtype=dtype)(x)
    x = keras.layers.Flatten(dtype=dtype)(x)
    x = keras.layers.Dropout(0.5, dtype=dtype)(x)
    network = keras.Model(image, keras.layers.Dense(len(NAMES), dtype=dtype)(x))
    rng = np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 0.5, w.shape) if w.size > 2 else w for w in network.get_weights()])
    kernel = network.layers[-1].kernel
    noise = rng.normal(size=(kernel.shape[0] // 8, 8, len(NAMES))) / 4  # (positions, channels, classes)
    noise -= noise.mean(axis=0)  # Otherwise one class would win whatever the image.
    kernel.assign(noise.reshape(kernel.shape))
    return network


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def network():
    return build_network()


@pytest.fixture(scope="module")
def serving(network):
    return image_classification_serving(network, image_shape=SHAPE, class_names=NAMES)


@pytest.fixture(scope="module")
def exported(serving, tmp_path_factory):
    return export_saved_model(tmp_path_factory.mktemp("export"), serving)


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported))
    # The signatures do not keep the model alive.
    return {"loaded": loaded, **loaded.signatures}


@pytest.fixture(scope="module")
def png_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("png")
    rng = np.random.default_rng(1)
    for i in range(8):
        size = (SHAPE[0] + 3 * i, SHAPE[1] + (7 * i) % 5, 3 if i % 2 else 1)
        encoded = tf.io.encode_png(rng.integers(0, 256, size, dtype=np.uint8))
        (folder / f"{i}.png").write_bytes(encoded.numpy())
    return sorted(folder.iterdir())


def test_a_process_with_tensorflow_alone_serves_files(exported, network, png_files, tmp_path):
    script = """
import sys
sys.modules["tfdlcv"] = sys.modules["keras"] = None  # Importing them is an error from here on.
import numpy as np
import tensorflow as tf
directory, result, *files = sys.argv[1:]
serve = tf.saved_model.load(directory).signatures["serving_default"]
outputs = serve(image_bytes=tf.constant([open(file, "rb").read() for file in files]))
np.savez(result, **{name: value.numpy() for name, value in outputs.items()})
"""
    result = tmp_path / "outputs.npz"
    command = [sys.executable, "-c", script, str(exported), str(result), *map(str, png_files)]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    served = np.load(result, allow_pickle=True)

    pixels = np.stack([images.read_image_file(file, SHAPE) for file in png_files])
    expected = softmax(network.predict(pixels, verbose=0))
    assert len(set(expected.argmax(axis=1))) > 1  # The files must tell the classes apart, or the test shows nothing.
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(served["class_id"], expected.argmax(axis=1))
    labels = [label.decode() for label in served["label"]]
    assert labels == [NAMES[i] for i in expected.argmax(axis=1)]


def test_the_functions_give_the_same_in_this_process(serving, signatures, png_files):
    contents = tf.constant([file.read_bytes() for file in png_files])
    here = serving.signatures["serving_default"](image_bytes=contents)
    there = signatures["serving_default"](image_bytes=contents)
    assert here.keys() == there.keys() == {"probabilities", "class_id", "label"}
    np.testing.assert_allclose(here["probabilities"], there["probabilities"], atol=1e-6)


def test_signatures_have_names_types_and_shapes(signatures):
    (_, files), (_, tensors) = (signatures[n].structured_input_signature for n in ("serving_default", "tensors"))
    assert files == {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")}
    assert tensors == {"image": tf.TensorSpec((None, *SHAPE), tf.uint8, "image")}
    for name in ("serving_default", "tensors"):
        outputs = signatures[name].structured_outputs
        assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in outputs.items()} == {
            "probabilities": (tf.float32, [None, 3]),
            "class_id": (tf.int64, [None]),
            "label": (tf.string, [None]),
        }


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_images_is_served(signatures, png_files, count):
    contents = [file.read_bytes() for file in png_files[:count]]
    outputs = signatures["serving_default"](image_bytes=tf.constant(contents, tf.string))
    assert outputs["probabilities"].shape == (count, 3)


@pytest.mark.parametrize("name", ["serving_default", "tensors"])
def test_a_request_without_images_is_refused(signatures, name):
    (_, specs) = signatures[name].structured_input_signature
    empty = {key: tf.zeros((0, *spec.shape[1:]), spec.dtype) for key, spec in specs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match="the request holds no image"):
        signatures[name](**empty)


def test_files_that_are_no_images_are_named(signatures, png_files):
    good = png_files[0].read_bytes()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[2\], of 5 bytes, is not a JPEG, PNG, GIF"):
        signatures["serving_default"](image_bytes=tf.constant([good, good, b"hello", b""]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[0\], of 0 bytes, is not a JPEG"):
        signatures["serving_default"](image_bytes=tf.constant([b""]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid PNG"):
        signatures["serving_default"](image_bytes=tf.constant([good, good[: len(good) // 2]]))


def test_every_format_that_is_read_is_also_served(signatures):
    pixels = np.full(SHAPE, 128, np.uint8)
    formats = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
    encoded = [encoded_by_pillow(pixels, name) for name in formats]
    outputs = signatures["serving_default"](image_bytes=tf.constant(encoded))
    np.testing.assert_allclose(outputs["probabilities"], np.tile(outputs["probabilities"][:1], (5, 1)), atol=0.05)


def encoded_by_pillow(pixels, form):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def test_wrong_shapes_and_types_are_refused_with_what_was_expected(signatures):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"image \[2,12,10\] is not .* expected shape \[\?,12,10,3\]"
    ):
        signatures["tensors"](image=tf.zeros((2, 12, 10), tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image \[2,12,11,3\] is not .* \[\?,12,10,3\]"):
        signatures["tensors"](image=tf.zeros((2, 12, 11, 3), tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes \[1,1\] is not .* expected shape \[\?\]"):
        signatures["serving_default"](image_bytes=tf.constant([[b"x"]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a uint8 tensor but is a float tensor"):
        signatures["tensors"](image=tf.zeros((2, *SHAPE)))


def test_saved_model_cli_runs(exported, network, tmp_path):
    program = Path(sys.executable).with_name("saved_model_cli")
    pixels = np.random.default_rng(2).integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    np.save(tmp_path / "image.npy", pixels)
    command = [program, "run", "--dir", exported, "--tag_set", "serve", "--signature_def", "tensors"]
    command += ["--inputs", f"image={tmp_path / 'image.npy'}", "--outdir", tmp_path]
    subprocess.run(list(map(str, command)), check=True, timeout=120, capture_output=True)
    expected = softmax(network.predict(pixels, verbose=0))
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-5)


def test_labels_are_an_asset(exported):
    text = (exported / "assets" / "labels.txt").read_text(encoding="utf-8")
    assert text == "cat\ndog\nMüsli bar\n"


def test_labels_are_left_out_where_there_are_none(network, tmp_path):
    serving = image_classification_serving(network, image_shape=SHAPE)
    path = export_saved_model(tmp_path, serving)
    assert not (path / "assets" / "labels.txt").exists()
    outputs = serving.signatures["tensors"](image=tf.zeros((1, *SHAPE), tf.uint8))
    assert outputs.keys() == {"probabilities", "class_id"}


# --- Versions and what may go wrong ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    """Not of images: a system offers what it likes."""
    offset = tf.Variable([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec((None, 2), name="points"), tf.TensorSpec((), name="scale")])
    def move(points, scale):
        return {"points": points * scale + offset}

    inputs = {"points": np.ones((3, 2), "float32"), "scale": np.float32(2)}
    return Serving({"serving_default": move}, warmup_requests=(WarmupRequest("serving_default", inputs),))


def test_other_tensors_than_images_are_served(tiny, tmp_path):
    loaded = tf.saved_model.load(str(export_saved_model(tmp_path, tiny)))
    outputs = loaded.signatures["serving_default"](points=tf.ones((1, 2)), scale=tf.constant(3.0))
    np.testing.assert_array_equal(outputs["points"], [[4, 5]])


def test_versions_count_up_and_are_never_overwritten(tiny, tmp_path):
    directory = tmp_path / "new" / "export"
    assert versions(directory) == []
    assert export_saved_model(directory, tiny) == directory / "1"
    assert export_saved_model(directory, tiny, version=9) == directory / "9"
    (directory / "notes").mkdir()
    (directory / "77").write_text("a file, not a version")
    assert export_saved_model(directory, tiny) == directory / "10"
    assert versions(directory) == [1, 9, 10]
    with pytest.raises(UserError, match="9 exists: choose another version"):
        export_saved_model(directory, tiny, version=9)
    with pytest.raises(ValueError, match="Received: version=0"):
        export_saved_model(directory, tiny, version=0)
    assert sorted(entry.name for entry in directory.iterdir()) == ["1", "10", "77", "9", "notes"]


def test_a_server_of_another_user_may_read_it(tiny, tmp_path):
    umask = os.umask(0o022)
    try:
        path = export_saved_model(tmp_path, tiny)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_failed_export_leaves_nothing_behind(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((2,), name="x")])
    def double(x):
        return {"y": 2 * x}

    request = WarmupRequest("serving_default", {"x": np.ones(3, "float32")})
    with pytest.raises(ValueError, match="a warm-up request does not fit signature serving_default"):
        export_saved_model(tmp_path, Serving({"serving_default": double}, warmup_requests=(request,)))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_under_a_number_until_it_is_whole(tiny, tmp_path, monkeypatch):
    seen = []
    save = tf.saved_model.save

    def watch(*arguments, **options):
        save(*arguments, **options)
        seen.append(versions(tmp_path))

    monkeypatch.setattr(tf.saved_model, "save", watch)
    path = export_saved_model(tmp_path, tiny)
    assert seen == [[]]
    assert (path / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_wrong_servings_are_refused(tiny):
    function = tiny.signatures["serving_default"]
    with pytest.raises(ValueError, match=r"must have serving_default. Received: \['other'\]"):
        Serving({"other": function})
    with pytest.raises(ValueError, match="signature serving_default must be a tf[.]function with an input_signature"):
        Serving({"serving_default": tf.function(lambda x: {"y": x})})
    unnamed = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec(())])
    with pytest.raises(ValueError, match="of named tensors"):
        Serving({"serving_default": unnamed})
    with pytest.raises(ValueError, match=r"of one line. Received: 'a\\nb'"):
        Serving(tiny.signatures, labels=("a\nb",))
    with pytest.raises(ValueError, match=r"signature 'other', which is none of \['serving_default'\]"):
        Serving(tiny.signatures, warmup_requests=(WarmupRequest("other", {}),))
    with pytest.raises(ValueError, match=r"warmup_requests \(1001\) must be at most 1000"):
        Serving(tiny.signatures, warmup_requests=tiny.warmup_requests * 1001)


def test_class_names_must_fit_the_network(network):
    serving = image_classification_serving(network, image_shape=SHAPE, class_names=("a", "b"))
    with pytest.raises(ValueError, match=r"class_names \(2\) must be as many as the network's outputs \(3\)"):
        serving.signatures["tensors"].get_concrete_function()


# --- Precision and strategies ----------------------------------------------------------------------------------------


def test_mixed_precision_networks_answer_in_float32(tmp_path):
    network = build_network(dtype="mixed_bfloat16")
    serving = image_classification_serving(network, image_shape=SHAPE)
    loaded = tf.saved_model.load(str(export_saved_model(tmp_path, serving)))
    pixels = np.random.default_rng(3).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    logits = network(pixels, training=False)
    assert logits.dtype == tf.bfloat16
    outputs = loaded.signatures["tensors"](image=tf.constant(pixels))["probabilities"]
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(outputs, serving.signatures["tensors"](image=pixels)["probabilities"], atol=1e-6)
    # Graphs fuse operations, and so round less often than single bfloat16 operations do.
    np.testing.assert_allclose(outputs, softmax(np.asarray(tf.cast(logits, tf.float32))), atol=0.02)
    np.testing.assert_allclose(np.sum(outputs, axis=1), 1, atol=1e-6)


def test_a_network_of_two_replicas_is_exported_whole(tmp_path):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        network = build_network()

    @tf.function
    def train():  # Moves the statistics of each replica to other values, of which the mean counts.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        network(tf.random.stateless_uniform((4, *SHAPE), (replica, 0), maxval=255), training=True)

    strategy.run(train)
    with strategy.scope():  # Where a system may well make it.
        serving = image_classification_serving(network, image_shape=SHAPE)
    path = export_saved_model(tmp_path, serving)
    loaded = tf.saved_model.load(str(path))
    pixels = np.random.default_rng(1).integers(0, 256, (5, *SHAPE), dtype=np.uint8)
    outputs = loaded.signatures["tensors"](image=tf.constant(pixels))
    np.testing.assert_allclose(outputs["probabilities"], softmax(np.asarray(network(pixels))), atol=1e-6)
    content = (path / "saved_model.pb").read_bytes()
    assert b"CPU:1" not in content
    assert b"replica_1" not in content


# --- TensorFlow Serving's messages -----------------------------------------------------------------------------------


@pytest.fixture
def serving_api():
    reason = "tensorflow-serving-api is not installed: pip install 'tfdlcv[serving]'"
    pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=reason)
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    return predict_pb2.PredictRequest, predict_pb2.PredictResponse, prediction_log_pb2.PredictionLog


def test_warm_up_requests_parse_and_run(serving_api, exported, signatures):
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    answered = []
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = serving_api[2].FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        answered.append(request.model_spec.signature_name)
        assert signatures[answered[-1]](**inputs)["probabilities"].shape == (1, 3)
    assert answered == ["serving_default", "tensors"]


def test_a_predict_request_of_the_api_makes_the_round_trip(serving_api, signatures, network, png_files):
    request = serving_api[0]()
    request.model_spec.name = "digits"
    request.model_spec.signature_name = "serving_default"
    contents = [file.read_bytes() for file in png_files]
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents))
    received = serving_api[0].FromString(request.SerializeToString())
    inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in received.inputs.items()}

    response = serving_api[1]()
    for name, value in signatures[received.model_spec.signature_name](**inputs).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
    outputs = serving_api[1].FromString(response.SerializeToString()).outputs
    pixels = np.stack([images.read_image_file(file, SHAPE) for file in png_files])
    expected = softmax(network.predict(pixels, verbose=0))
    np.testing.assert_allclose(tf.make_ndarray(outputs["probabilities"]), expected, atol=1e-5)
    assert [label.decode() for label in tf.make_ndarray(outputs["label"])] == [NAMES[i] for i in expected.argmax(1)]


def test_an_export_is_complete_in_itself(exported, tmp_path, signatures):
    copy = shutil.copytree(exported, tmp_path / "7")
    loaded = tf.saved_model.load(str(copy))
    pixels = tf.ones((1, *SHAPE), tf.uint8)
    np.testing.assert_array_equal(
        loaded.signatures["tensors"](image=pixels)["probabilities"],
        signatures["tensors"](image=pixels)["probabilities"],
    )
