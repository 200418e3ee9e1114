import pytest

from tests.toy_config import VALID, Cosine, Mlp, Optimizer, faults, load


def test_values_items_sections_and_choices_are_set_in_turn():
    loaded = load(
        VALID,
        "model={name: mlp, hidden_units: [4, 5]}",
        "model.hidden_units.1=6",
        "optimizer.schedule.name=cosine",
        "optimizer.schedule.warmup_steps=7",
        "optimizer.learning_rate=1e-4",
        "data.title=a=b",
        "trainer.epochs=3",
        "trainer.epochs=4",
        "data.class_weights={1: 2}",
        "data.class_weights=",
    )
    assert loaded.model == Mlp(hidden_units=(4, 6))
    assert loaded.optimizer == Optimizer(learning_rate=1e-4, schedule=Cosine(warmup_steps=7))
    assert loaded.data.title == "a=b"
    assert loaded.trainer.epochs == 4
    assert loaded.data.class_weights is None


@pytest.mark.parametrize(
    "override, fault",
    [
        ("trainer.epoch=3", "trainer.epoch: unknown key; did you mean `epochs`? Received: 3"),
        ("trianer.epochs=3", 'trianer: unknown key; did you mean `trainer`? Received: {"epochs": 3}'),
        ("epochs=3", "epochs: unknown key; did you mean `trainer.epochs`? Received: 3"),
        ("model.name=resnett", 'model.name: must be one of mlp, resnet; did you mean `resnet`? Received: "resnett"'),
        ("data.batch_size.x=1", "data.batch_size: is no section, so `data.batch_size.x` cannot be set. Received: 8"),
        ("data.size=[1, x]", 'data.size.1: must be an integer. Received: "x"'),
        ("model={name: mlp, name: mlp}", "model.name: repeated key; it already stands on line 1"),
        ("data.title=!x 1", "data.title: the YAML tag !x has no meaning in a config"),
        ("--epochs", "`--epochs` is not an override; write section.key=value"),
        ("data..size=1", "`data..size=1` is not an override; write section.key=value"),
        ("=1", "`=1` is not an override; write section.key=value"),
    ],
)
def test_faults_say_that_they_are_the_command_lines(override, fault):
    assert faults(VALID, override) == (f"command line: {fault}",)


def test_a_value_that_is_not_yaml():
    (fault,) = faults(VALID, "data.crop=[1")
    assert fault.startswith("command line: data.crop: the value is not valid YAML: while parsing a flow sequence")
    assert fault.endswith('Received: "[1"')


def test_an_item_that_the_list_lacks():
    problem = "items count from 0. Received: [1]"
    text = VALID + "teacher: {name: mlp, hidden_units: [1]}\n"
    for item in ("1", "x"):
        assert faults(text, f"teacher.hidden_units.{item}=2") == (
            f"command line: teacher.hidden_units: `{item}` is no item of a list of 1; {problem}",
        )


def test_a_key_of_the_choice_that_an_override_replaced_is_told_with_the_line_of_the_file():
    assert faults(VALID, "model.name=mlp") == (
        "run.yaml:2: model.depth: unknown key for mlp, which takes name, hidden_units, dropout, scales; "
        "it is a key of resnet. Received: 20",
    )
