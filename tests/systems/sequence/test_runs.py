"""Every system of the area: one history on one device and two replicas, with and without XLA; bfloat16; checkpoints;
the SavedModel in a process without this package; predictions; errors."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.config import load_text, system_module
from tfdlcv.errors import UserError
from tfdlcv.training import resuming, run, strategies

TRAINER = """
optimizer: {name: adam, learning_rate: 0.003}
trainer:
  {epochs: 2, steps_per_epoch: 3, run_dir: RUN_DIR, batch_size: 8, tensorboard: {pictures_every_epochs: PICTURES}}
"""
TCN = "model: {name: tcn, filters: 6, kernel_size: 3, levels: 3}"
LANGUAGE = "model: {name: tcn, filters: 6, kernel_size: 3, levels: 3, embedding_size: 6, tied: true}"
SYSTEMS = {
    "adding": ("adding", TCN, "{name: adding, steps: 20, validation_examples: 20, test_examples: 20}"),
    "copy_memory": ("copy_memory", TCN, "{name: copy, blanks: 9, validation_examples: 20, test_examples: 20}"),
    "classifier": ("classifier", TCN, "{name: digits8x8, train_limit: 100}"),
    "music": (
        "music",
        TCN,
        "{name: generated, steps: 16, train_examples: 24, validation_examples: 5, test_examples: 5}",
    ),
    "language_model": (
        "language_model",
        LANGUAGE,
        "{name: files, folder: FOLDER, unit: word, steps: 12, scored: 8, vocabulary_size: 9}",
    ),
    "word2vec": ("word2vec", "model: {name: skip_gram, dimensions: 8}", "{name: files, folder: FOLDER, min_count: 2}"),
}
SERVED = dict.fromkeys(SYSTEMS, "serving_default") | {"classifier": "sequences"}
CELLS = {
    "rnn": "model: {name: rnn, units: 5}",
    "lstm": "model: {name: lstm, parameters: 400}",
    "gru": "model: {name: gru, units: 4, layers: 2, dropout: 0.1}",
}
CLIENT = """
import json, sys
import numpy as np, tensorflow as tf
path, signature = sys.argv[1:3]
inputs = {name: tf.constant(value) for name, value in np.load(sys.argv[3]).items()}
outputs = tf.saved_model.load(path).signatures[signature](**inputs)
assert not any(name.startswith("tfdlcv") for name in sys.modules), "the client imported the package"
np.savez(sys.argv[4], **{name: value.numpy() for name, value in outputs.items() if value.dtype != tf.string})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(" the cat sat on the mat \n the dog did not sit \n" * 40)
    return folder


def config_of(name, run_dir, folder, *overrides, model=None, pictures=0):
    system, own_model, data = SYSTEMS[name]
    text = f"system: sequence/{system}\n{model or own_model}\ndata: {data}\n{TRAINER}"
    return load_text(
        text.replace("RUN_DIR", str(run_dir)).replace("FOLDER", str(folder)).replace("PICTURES", str(pictures)),
        overrides,
    )


def numbers(results):
    return {**results["validation"], **{f"test_{name}": value for name, value in results["test"].items()}}


def assert_near(actual, expected, tolerance):
    for name, value in expected.items():
        if not name.endswith(("seconds", "per_second", "epoch", "step")) and "accuracy" not in name:
            assert actual[name] == pytest.approx(value, rel=tolerance, abs=1e-5), name


@pytest.fixture(scope="module")
def references(tmp_path_factory, folder):
    """A finished run of each system, made when it is first asked for."""
    made = {}

    def get(name):
        if name not in made:
            run_dir = tmp_path_factory.mktemp(name) / "run"
            made[name] = run_dir, run.train(config_of(name, run_dir, folder, pictures=1))
        return made[name]

    return get


@pytest.mark.parametrize(
    "name, replicas, xla",
    [*((name, 2, "on") for name in SYSTEMS), ("copy_memory", 2, "off"), ("copy_memory", 1, "on")],
)
def test_one_history_on_replicas_and_with_xla(name, replicas, xla, references, tmp_path, folder, monkeypatch):
    _, expected = references(name)
    if replicas == 2:
        strategy = strategies._mirrored(("CPU:0", "CPU:1"))
        monkeypatch.setattr(strategies, "build_strategy", lambda trainer: strategy)
    config = config_of(name, tmp_path / "run", folder, f"trainer.xla={xla}")
    assert_near(numbers(run.train(config)), numbers(expected), 5e-3)


@pytest.mark.parametrize("name", SYSTEMS)
def test_bfloat16_stays_near(name, references, tmp_path, folder):
    _, expected = references(name)
    results = run.train(config_of(name, tmp_path / "run", folder, "trainer.precision=mixed_bfloat16"))
    assert results["test"]["loss"] == pytest.approx(expected["test"]["loss"], rel=0.15)


@pytest.mark.parametrize("name", SYSTEMS)
def test_evaluation_of_the_checkpoint_repeats_the_result(name, references):
    run_dir, expected = references(name)
    assert run.evaluate(run_dir).scores["loss"] == pytest.approx(expected["test"]["loss"], rel=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_process_without_the_package_gets_the_same_outputs(name, references, tmp_path, folder):
    if name == "word2vec":
        pytest.skip("its inputs are words; test_word2vec.py")
    run_dir, results = references(name)
    config = config_of(name, run_dir, folder)
    system = system_module(config.system)
    example = system.build_datasets(config).validation.fetch(tf.range(3, dtype=tf.int64))
    key = "tokens" if "tokens" in example else "sequence"
    np.savez(tmp_path / "in.npz", **{key: example[key].numpy()})
    command = [results["export"], SERVED[name], str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run([sys.executable, "-c", CLIENT, *command], check=True, cwd=tmp_path)
    task = resuming.load_run(run_dir)[3]
    served = system.serving(config, json.loads((run_dir / "dataset.json").read_text()), task)
    expected = served.signatures[SERVED[name]](**{key: example[key]})
    with np.load(tmp_path / "out.npz") as outputs:
        for output in outputs:
            np.testing.assert_allclose(outputs[output], expected[output], rtol=1e-5, atol=1e-6)
    assert {"step", "initial_state"} <= {*served.signatures}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["classifier", "copy_memory"])
def test_recurrent_networks_train_with_and_without_xla(cell, name, tmp_path, folder):
    losses = []
    for xla in ("off", "on"):
        options = f"trainer.xla={xla}", "trainer.epochs=1"
        results = run.train(config_of(name, tmp_path / xla, folder, *options, model=CELLS[cell]))
        losses.append(results["test"]["loss"])
    if cell != "gru":  # XLA draws other dropout masks.
        assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    if cell == "lstm":
        assert 300 < results["parameters"] < 500


def test_initializers_of_embeddings(tmp_path, folder):
    drawn = {}
    for name in ("words", "characters"):
        config = config_of("language_model", tmp_path / "run", folder, f"model.embedding_initializer={name}")
        network = system_module(config.system).build_network(config.model, vocabulary_size=500, xla=False)
        drawn[name] = network.get_layer("embedding").get_weights()[0]
    assert drawn["words"].std() == pytest.approx(0.01, rel=0.1)
    assert np.abs(drawn["characters"]).max() <= 0.1 and drawn["characters"].std() == pytest.approx(0.0577, rel=0.1)


def test_tokens_of_a_language_model_with_lstm(tmp_path, folder):
    model = "model: {name: lstm, units: 5, embedding_size: 5, embedding_dropout: 0.1, tied: true}"
    run.train(config_of("language_model", tmp_path / "run", folder, model=model))
    (tmp_path / "prompt.txt").write_text("the cat")
    written = run.predict(tmp_path / "run", [tmp_path / "prompt.txt"], tmp_path / "out")
    assert written["prompt"].read_text().startswith("the cat ")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("adding", ["model.kernel_size=0"], "model.kernel_size: must be an integer >= 1. Received: 0"),
        ("adding", ["model.levels=0"], "model.levels: .*Received: 0"),
        ("adding", ["data.steps=1"], "data.steps: must be an integer >= 2. Received: 1"),
        ("copy_memory", ["model={name: lstm}"], "exactly one of units \\(None\\) and parameters \\(None\\)"),
        ("language_model", ["model.filters=7"], "tied needs filters \\(7\\) to equal embedding_size \\(6\\)"),
        ("language_model", ["model.last_filters=4"], "tied needs last_filters \\(4\\) to equal embedding_size \\(6\\)"),
        (
            "language_model",
            ["model={name: gru, parameters: 900, embedding_size: 6, tied: true}"],
            "tied needs units, not parameters",
        ),
        ("language_model", ["data.scored=13"], "scored \\(13\\) must be at most steps \\(12\\)"),
    ],
)
def test_bad_configs(name, overrides, message, tmp_path, folder):
    with pytest.raises(UserError, match=message):
        config_of(name, tmp_path / "run", folder, *overrides)


def test_too_few_parameters(tmp_path, folder):
    with pytest.raises(UserError, match="model.parameters \\(10\\) are too few for a lstm"):
        run.train(config_of("music", tmp_path / "run", folder, model="model: {name: lstm, parameters: 10}"))


def test_predictions_of_sequences(references, tmp_path):
    run_dir, _ = references("adding")
    np.save(tmp_path / "good.npy", np.random.RandomState(0).rand(20, 2))
    np.savetxt(tmp_path / "good.csv", np.load(tmp_path / "good.npy"), delimiter=",")
    np.save(tmp_path / "short.npy", np.zeros((19, 2)))
    written = run.predict(run_dir, [tmp_path / "good.npy", tmp_path / "good.csv"], tmp_path / "out")
    rows = json.loads(written["predictions"].read_text())
    assert rows[0]["sum"] == pytest.approx(rows[1]["sum"], rel=1e-5)
    with pytest.raises(UserError, match=r"short.npy must hold a sequence of \(20, 2\), but holds \(19, 2\)"):
        run.predict(run_dir, [tmp_path / "short.npy"], tmp_path / "out")
    np.save(tmp_path / "words.npy", np.full((20, 2), "a"))
    with pytest.raises(UserError, match="words.npy must hold numbers, but holds <U1"):
        run.predict(run_dir, [tmp_path / "words.npy"], tmp_path / "out")
    with pytest.raises(UserError, match="is a folder; name its .npy or .csv files"):
        run.predict(run_dir, [tmp_path], tmp_path / "out")
    with pytest.raises(UserError, match="no sequence to predict"):
        run.predict(run_dir, [tmp_path / "short.npy"], tmp_path / "out", on_error="skip")


def test_words(references, tmp_path):
    run_dir, results = references("word2vec")
    (tmp_path / "words.txt").write_text("cat\nthe cat dog\n")
    written = run.predict(run_dir, [tmp_path / "words.txt"], tmp_path / "out")
    first, second = json.loads(written["words"].read_text())
    assert "cat" not in [word for word, _ in first["nearest"]]
    assert not {"the", "cat", "dog"} & {word for word, _ in second["nearest"]}
    served = tf.saved_model.load(results["export"])
    answer = served.signatures["serving_default"](words=tf.constant(["cat"]))
    names = [name.decode() for name in answer["neighbours"].numpy()[0]]
    assert names[:3] == [word for word, _ in first["nearest"]][:3]
    answer = served.signatures["analogies"](a=tf.constant(["the"]), b=tf.constant(["cat"]), c=tf.constant(["dog"]))
    assert answer["neighbours"].numpy()[0, 0].decode() == second["nearest"][0][0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="bird"):
        served.signatures["serving_default"](words=tf.constant(["bird"]))
    (tmp_path / "bad.txt").write_text("bird\n")
    with pytest.raises(UserError, match="bad.txt:1: bird not among the"):
        run.predict(run_dir, [tmp_path / "bad.txt"], tmp_path / "out")
