import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import tfdlcv
from tests.toy_config import VALID, Config
from tfdlcv import cli, config
from tfdlcv.errors import UserError

REPOSITORY = Path(__file__).parent.parent

# The command line with the toy system in place of the real ones.
TOY_COMMAND = """
import sys
from tests import toy_config
from tfdlcv import cli, config
config.list_systems = lambda: [("toy/toy", "A toy.")]
sys.modules["tfdlcv.systems.toy.toy"] = toy_config
cli.main(sys.argv[1:])
"""


@pytest.fixture
def without_tensorflow(tmp_path):
    """Runs Python in a process where importing TensorFlow or Keras fails."""
    for name in ("tensorflow", "keras"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(f"raise SystemExit('{name} was imported')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "broken"), str(REPOSITORY)])}

    def python(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True)

    assert "tensorflow was imported" in python("-c", "import tensorflow").stderr
    return python


@pytest.fixture
def toy_run(tmp_path, monkeypatch):
    """Folder of a toy run, with the toy system in place of the real ones and no training behind the commands."""
    monkeypatch.setattr(config, "list_systems", lambda: [("toy/toy", "A toy.")])
    monkeypatch.setitem(sys.modules, "tfdlcv.systems.toy.toy", sys.modules[Config.__module__])
    from tfdlcv.training import run

    for name in ("train", "evaluate", "predict", "features", "export"):
        monkeypatch.setattr(run, name, mock.create_autospec(getattr(run, name)))
    monkeypatch.setattr("tfdlcv.quiet_import.import_tensorflow", lambda: None)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(VALID)
    (folder / "image.png").write_bytes(b"")
    return folder


@pytest.fixture
def command(capsys):
    """Runs the command line in this process; gives (exit status, output, error output)."""

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        return (caught.value.code or 0, *capsys.readouterr())

    return run


def test_help_lists_every_command(command):
    status, output, _ = command("--help")
    assert status == 0
    for name in ("train", "evaluate", "predict", "features", "export", "systems", "schema"):
        assert f"\n  {name} " in output


def test_version(command):
    assert command("--version") == (0, f"tfdlcv {tfdlcv.__version__}\n", "")


@pytest.mark.parametrize("arguments", [("--help",), ("systems",)])
def test_help_and_systems_answer_within_a_second_and_load_little(arguments, without_tensorflow):
    code = f"import sys; from tfdlcv.cli import app; app({arguments!r}, standalone_mode=False)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = without_tensorflow("-c", f"{code}; print(*sys.modules, file=sys.stderr)")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert not {"numpy", "rich", "matplotlib", "tensorflow", "keras"} & set(done.stderr.split())
    # Processor time: on a machine that does nothing else it is the time that the user waits.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_systems_prints_names_and_summaries(toy_run, command):
    assert command("systems") == (0, "toy/toy  A toy.\n", "")


def test_schema_prints_json(toy_run, command):
    status, output, _ = command("schema", "toy/toy")
    assert status == 0
    assert json.loads(output)["properties"]["system"]["const"] == "toy/toy"


def test_schema_of_an_unknown_system(toy_run, command):
    assert command("schema", "toy/tay") == (
        2,
        "",
        'SYSTEM: must be one of toy/toy; did you mean `toy/toy`? Received: "toy/tay"\n',
    )


def test_faults_of_a_config_are_told_one_a_line_before_tensorflow_is_imported(without_tensorflow, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(VALID.replace("depth: 20", "depth: 21"))
    done = without_tensorflow("-c", TOY_COMMAND, "train", str(path), "trainer.epoch=0")
    assert done.stderr.splitlines() == [
        f"{path}:2: model.depth: must be one of 20, 32, 56. Received: 21",
        "command line: trainer.epoch: unknown key; did you mean `epochs`? Received: 0",
    ]
    assert (done.returncode, done.stdout) == (2, "")


def test_the_script_is_the_train_command(without_tensorflow):
    done = without_tensorflow("train.py", "missing.yaml")
    assert (done.returncode, done.stderr) == (2, "missing.yaml: no such file\n")


@pytest.mark.parametrize("system", [name for name, _ in config.list_systems()])
def test_the_configs_of_systems_are_checked_and_described_without_tensorflow(system, without_tensorflow, tmp_path):
    (tmp_path / "bad.yaml").write_text(f"system: {system}\nzzz: 1\n")
    done = without_tensorflow("-m", "tfdlcv.cli", "train", str(tmp_path / "bad.yaml"))
    assert f"{tmp_path / 'bad.yaml'}:2: zzz: unknown key" in done.stderr
    assert done.returncode == 2
    done = without_tensorflow("-m", "tfdlcv.cli", "schema", system)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["title"] == system


def test_train_hands_over_the_checked_config(toy_run, command):
    from tfdlcv.training import run

    assert command("train", toy_run / "config.yaml", "trainer.epochs=3") == (0, "", "")
    (settings,) = run.train.call_args.args
    assert settings == config.load_config(toy_run / "config.yaml", ["trainer.epochs=3"])


def test_evaluate_prints_the_metrics(toy_run, command):
    from tfdlcv.training import run

    scores, shown = {"loss": 0.25, "accuracy": 0.98765432}, "loss      0.25\naccuracy  0.987654\n"
    run.evaluate.return_value = mock.Mock(scores=scores, class_table=None)
    assert command("evaluate", toy_run, "--split", "validation") == (0, shown, "")
    run.evaluate.assert_called_once_with(toy_run, split="validation", overrides=[])
    run.evaluate.return_value = mock.Mock(scores=scores, class_table="a table")
    assert command("evaluate", toy_run) == (0, f"{shown}\na table\n", "")


def test_evaluate_takes_overrides(toy_run, command):
    from tfdlcv.training import run

    run.evaluate.return_value = mock.Mock(scores={}, class_table=None)
    assert command("evaluate", toy_run, "data.batch_size=4")[0] == 0
    run.evaluate.assert_called_once_with(toy_run, split="test", overrides=["data.batch_size=4"])
    status, _, errors = command("evaluate", toy_run, "data.batch_sizes=4")
    assert status == 2
    assert errors == "command line: data.batch_sizes: unknown key; did you mean `batch_size`? Received: 4\n"


def test_predict_hands_over_files_folder_and_choice(toy_run, command):
    from tfdlcv.training import run

    status, output, _ = command("predict", toy_run, toy_run / "image.png", "--output", "out", "--on-error", "skip")
    assert (status, output) == (0, "Predictions are in out\n")
    run.predict.assert_called_once_with(toy_run, [toy_run / "image.png"], Path("out"), "skip", [])


def test_predict_hands_over_checked_values(toy_run, command):
    from tfdlcv.training import run

    assert command("predict", toy_run, toy_run, "--set", "data.batch_size=4", "--set", "data.title=x")[0] == 0
    run.predict.assert_called_once_with(toy_run, [toy_run], None, "stop", ["data.batch_size=4", "data.title=x"])
    status, _, errors = command("predict", toy_run, toy_run, "--set", "data.batch_sizes=4")
    assert status == 2 and errors.startswith("command line: data.batch_sizes: unknown key")


def test_predict_names_every_missing_file_unless_they_may_be_skipped(toy_run, command):
    from tfdlcv.training import run

    arguments = ("predict", toy_run, "a.png", toy_run / "image.png", "b.png")
    assert command(*arguments) == (2, "", "a.png: no such file\nb.png: no such file\n")
    run.predict.assert_not_called()
    assert command(*arguments, "--on-error", "skip")[0] == 0


def test_features_hands_over_files_layer_and_output(toy_run, command):
    from tfdlcv.training import run

    run.features.return_value = Path("out.npz")
    arguments = ("features", toy_run, toy_run / "image.png", "--layer", "pool")
    assert command(*arguments, "--output", "out.npz") == (0, "Features are in out.npz\n", "")
    run.features.assert_called_once_with(toy_run, [toy_run / "image.png"], "pool", Path("out.npz"), "stop")
    assert command("features", toy_run, "a.png", "--layer", "pool") == (2, "", "a.png: no such file\n")


def test_export_prints_where_the_model_is(toy_run, command):
    from tfdlcv.training import run

    run.export.return_value = toy_run / "export" / "1"
    assert command("export", toy_run) == (0, f"SavedModel: {toy_run / 'export' / '1'}\n", "")
    run.export.assert_called_once_with(toy_run, None)


@pytest.mark.parametrize("name", ["evaluate", "predict", "export"])
def test_folders_that_hold_no_run(name, toy_run, command, tmp_path, monkeypatch):
    more = [toy_run / "image.png"] if name == "predict" else []
    assert command(name, tmp_path / "zzz", *more) == (2, "", f"{tmp_path / 'zzz'}: no such run folder\n")
    status, _, errors = command(name, tmp_path, *more)
    assert (status, errors) == (2, f"{tmp_path}: not the folder of a run: it holds no config.yaml\n")
    shutil.copytree(toy_run, tmp_path / "saved_models" / "digits")
    monkeypatch.chdir(tmp_path)
    assert command(name, "digits", *more)[2] == "digits: no such run folder; did you mean `saved_models/digits`?\n"


def test_failures_during_a_run_are_a_message_and_status_1(toy_run, command):
    from tfdlcv.training import run

    run.train.side_effect = UserError("the loss is NaN at step 3")
    assert command("train", toy_run / "config.yaml") == (1, "", "the loss is NaN at step 3\n")


def test_ctrl_c_tells_how_to_resume(toy_run, command):
    from tfdlcv.training import run

    run.train.side_effect = KeyboardInterrupt
    status, _, errors = command("train", toy_run / "config.yaml", "data.title='a'")
    assert status == 130
    assert "Interrupted. To resume from the last checkpoint" in errors
    assert f"  tfdlcv train {toy_run / 'config.yaml'} 'data.title='\"'\"'a'\"'\"''\n" in errors


def test_usage_errors_have_status_2(command, toy_run):
    for arguments in [("train",), ("trian",), ("predict", toy_run), ("evaluate", toy_run, "--split", "all")]:
        status, _, errors = command(*arguments)
        assert status == 2
        assert "Error: " in errors


def test_another_keras_backend_is_refused(toy_run, command, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    status, _, errors = command("train", toy_run / "config.yaml")
    assert status == 2
    assert errors == "the environment variable KERAS_BACKEND is jax; this command needs tensorflow\n"
