"""Loading, saving and listing of configs, on a small system of the tests' own."""

import json
import sys
import types

import pydantic
import pytest

from tests.toy_config import VALID, Config, Resnet, Trainer, faults, load
from tfdlcv import config, config_yaml
from tfdlcv.config import ConfigError, load_config, load_text, save_config


@pytest.fixture
def toy_systems(tmp_path, monkeypatch):
    """Two systems, `toy/toy` and `toy/other`, in place of the real ones."""
    folder = tmp_path / "systems" / "toy"
    folder.mkdir(parents=True)
    (folder / "toy.py").write_text(
        '"""A toy.\n\nMore of it.\n"""\nraise ImportError("listed, not imported")\nclass Config: 1'
    )
    (folder / "other.py").write_text("class Config: 1")
    (folder / "shared.py").write_text('"""No system: it has no Config."""')
    monkeypatch.setattr(config, "_SYSTEMS_FOLDER", tmp_path / "systems")
    monkeypatch.setitem(sys.modules, "tfdlcv.systems.toy.toy", types.SimpleNamespace(Config=Config))


def test_a_valid_text_becomes_a_frozen_config_with_the_defaults():
    loaded = load(VALID)
    assert loaded.model == Resnet(depth=20)
    assert loaded.optimizer.learning_rate == 0.001
    assert loaded.data.size == (32, 32)
    assert loaded.trainer == Trainer()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        loaded.trainer.epochs = 2


def test_lists_become_tuples_and_integers_stand_for_numbers():
    loaded = load(VALID, "data.size=[4, 5]", "data.crop=2", "data.class_weights={0: 1, 3: 0.5}")
    assert loaded.data.size == (4, 5)
    assert loaded.data.crop == 2.0 and isinstance(loaded.data.crop, float)
    assert loaded.data.class_weights == {0: 1.0, 3: 0.5}


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "run.yaml: the file is empty; it must begin with a line `system: AREA/NAME`"),
        ("# nothing\n", "run.yaml: the file is empty; it must begin with a line `system: AREA/NAME`"),
        ("- 1\n", "run.yaml: must be sections of `key: value` lines. Received: [1]"),
        ("a:\n  b: c: d\n", "run.yaml:2:7: not valid YAML: mapping values are not allowed here"),
    ],
)
def test_text_that_is_no_mapping(text, fault):
    assert faults(text) == (fault,)


EVERYTHING = VALID + "trainer: {epochs: 5, warmup_epochs: 5}\nteacher: {name: mlp, dropout: 1e-5, hidden_units: []}\n"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.order=yes", "data.title=null-ish", "data.crop=[0.1, 1e-7]"],
        ["data.title='null'"],
        ["data.title='1e-3'"],
        ["data.title='2024-01-31'"],
        ["data.title='no'"],
        ["data.title='a:#b'"],
        ["data.title=ünïcode"],
        ["data.class_weights={0: 1e-10, 17: 1e22}", "optimizer.clip_norm=0.30000000000000004"],
        ["data.steps=[{name: mlp, hidden_units: [1, 2]}, {name: resnet, depth: 56}]"],
        ["optimizer.learning_rate=1e-300", "optimizer.schedule={name: cosine, warmup_steps: 1180591620717411303424}"],
    ],
)
def test_a_saved_config_loads_to_an_equal_object(overrides, tmp_path):
    original = load(EVERYTHING, *overrides)
    save_config(original, tmp_path / "config.yaml")
    reloaded = load_config(tmp_path / "config.yaml", config_class=Config)
    assert reloaded == original
    assert reloaded != load(EVERYTHING, *overrides, "data.batch_size=9")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_saved_config_states_every_default(tmp_path):
    save_config(load(VALID), tmp_path / "config.yaml")
    values = config_yaml.read((tmp_path / "config.yaml").read_text()).value
    assert list(values) == ["system", "model", "data", "optimizer", "teacher", "trainer"]
    assert values["trainer"] == {"epochs": 1, "warmup_epochs": 0}
    assert values["teacher"] is None


def test_missing_files_name_a_near_one(tmp_path):
    (tmp_path / "resnet20_mnist5k.yaml").write_text(VALID)
    (tmp_path / "config.yaml").write_text(VALID)
    for path, hint in [
        (tmp_path / "resnet20_mnist.yaml", f": no such file; did you mean `{tmp_path / 'resnet20_mnist5k.yaml'}`?"),
        (tmp_path / "resnet20_mnist5k", f": no such file; did you mean `{tmp_path / 'resnet20_mnist5k.yaml'}`?"),
        (tmp_path / "zzz.yaml", ": no such file"),
        (tmp_path / "no" / "a.yaml", f": no such file; nor is there a folder {tmp_path / 'no'}"),
        (tmp_path, f": is a folder; did you mean `{tmp_path / 'config.yaml'}`?"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert caught.value.faults == (f"{path}{hint}",)


def test_files_that_are_not_utf8(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"system: \xe9")
    with pytest.raises(ConfigError, match=r"latin.yaml: is not UTF-8 text \(byte 8\)"):
        load_config(path)
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_config(path, config_class=Config) == load(VALID)


def test_the_system_key_names_the_module(toy_systems):
    assert load_text(VALID) == load(VALID)


@pytest.mark.parametrize(
    "line, expected",
    [
        (
            "system: toy/tay",
            ['run.yaml:1: system: must be one of toy/other, toy/toy; did you mean `toy/toy`? Received: "toy/tay"'],
        ),
        (
            "system: images/toy",
            ['run.yaml:1: system: must be one of toy/other, toy/toy; did you mean `toy/toy`? Received: "images/toy"'],
        ),
        ("system: zzz", ['run.yaml:1: system: must be one of toy/other, toy/toy. Received: "zzz"']),
        ("system: [toy]", ['run.yaml:1: system: must be one of toy/other, toy/toy. Received: ["toy"]']),
        ("model: {}", ["run.yaml: system: required key is missing; it must be one of toy/other, toy/toy"]),
        (
            "sistem: toy/toy",
            [
                "run.yaml: system: required key is missing; it must be one of toy/other, toy/toy",
                "run.yaml:1: sistem: unknown key; did you mean `system`?",
            ],
        ),
    ],
)
def test_unknown_and_missing_systems(toy_systems, line, expected):
    with pytest.raises(ConfigError) as caught:
        load_text(f"{line}\n", source="run.yaml")
    assert list(caught.value.faults) == expected


def test_repeated_keys_are_told_beside_an_unknown_system(toy_systems):
    with pytest.raises(ConfigError) as caught:
        load_text("system: zzz\ndata: 1\ndata: 2\n")
    assert len(caught.value.faults) == 2


def test_systems_are_listed_without_importing_them(toy_systems):
    assert config.list_systems() == [("toy/other", ""), ("toy/toy", "A toy.")]


def test_the_schema_describes_keys_ranges_and_choices(toy_systems):
    schema = config.json_schema("toy/toy")
    assert schema["title"] == "toy/toy"
    assert schema["$defs"]["Resnet"]["properties"]["depth"]["enum"] == [20, 32, 56]
    assert schema["$defs"]["Optimizer"]["properties"]["learning_rate"] == {
        "description": "Size of a step.",
        "exclusiveMinimum": 0,
        "title": "Learning Rate",
        "type": "number",
    }
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"system", "model", "data", "optimizer"}
    json.dumps(schema)
