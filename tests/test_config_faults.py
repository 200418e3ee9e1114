"""Each kind of fault gives one line with its path, what is taken there, what was received, and the likely remedy."""

import pytest

from tests.toy_config import VALID, faults

NON_SPACES = "text of at least 1 character that matches ^\\S*$"
SECTION = "a section (lines of `key: value`)"

CASES = {
    "near key": ("optimizer", "learning_rat: 1", "unknown key; did you mean `learning_rate`? Received: 1"),
    "abbreviated key": ("optimizer", "lr: 0.1", "unknown key; did you mean `learning_rate`? Received: 0.1"),
    "near section": ("", "optimiser: {}", "unknown key; did you mean `optimizer`? Received: {}"),
    "near key of a choice": ("teacher: resnet", "filter: 1", "unknown key; did you mean `filters`? Received: 1"),
    "key of another choice": (
        "teacher: mlp",
        "depth: 20",
        "unknown key for mlp, which takes name, hidden_units, dropout, scales; it is a key of resnet. Received: 20",
    ),
    "key of another section": ("data", "epochs: 3", "unknown key; did you mean `trainer.epochs`? Received: 3"),
    "unlike any key": ("trainer", "zzz: 3", "unknown key; the keys here are epochs, warmup_epochs. Received: 3"),
    "text for bool": ("data", "shuffle: yes", 'must be true or false. Received: "yes"'),
    "integer for bool": ("data", "shuffle: 1", "must be true or false. Received: 1"),
    "text for number": ("optimizer", 'clip_norm: "1"', 'must be a number > 0 or null. Received: "1"'),
    "number for integer": ("trainer", "epochs: 2.0", "must be an integer >= 1. Received: 2.0"),
    "bool for integer": ("trainer", "epochs: true", "must be an integer >= 1. Received: true"),
    "null for integer": ("trainer", "epochs:", "must be an integer >= 1. Received: null"),
    "number for text": ("data", "title: 3", f"must be {NON_SPACES}. Received: 3"),
    "pattern": ("data", "title: a b", f'must be {NON_SPACES}. Received: "a b"'),
    "empty text": ("data", "title: ''", f'must be {NON_SPACES}. Received: ""'),
    "scalar for list": ("data", "size: 3", "must be a list of 2 integers. Received: 3"),
    "short list": ("data", "size: [3]", "must be a list of 2 integers. Received: [3]"),
    "long list": ("data", "size: [1, 2, 3]", "must be a list of 2 integers. Received: [1, 2, 3]"),
    "item of a plain union": ("data", "crop: [1, a]", 'must be a number or a list of 2 numbers. Received: [1, "a"]'),
    "infinity in a plain union": ("data", "crop: .inf", "must be a number or a list of 2 numbers. Received: Infinity"),
    "below range": ("trainer", "epochs: 0", "must be an integer >= 1. Received: 0"),
    "outside interval": ("teacher: mlp", "dropout: 1", "must be a number >= 0 and < 1. Received: 1"),
    "not a number": ("optimizer", "clip_norm: .nan", "must be a finite number > 0 or null. Received: NaN"),
    "near literal": ("data", "order: offf", 'must be one of on, off, yes, no; did you mean `off`? Received: "offf"'),
    "integer literal": ("teacher: resnet", "depth: 21", "must be one of 20, 32, 56. Received: 21"),
    "single literal": ("optimizer", "name: adam", 'must be sgd. Received: "adam"'),
    "scalar for section": ("", "trainer: 3", f"must be {SECTION}. Received: 3"),
    "null for section": ("", "trainer:", f"must be {SECTION}. Received: null"),
    "scalar for choice": (
        "",
        "teacher: mlp",
        'must be a section with a `name` of mlp, resnet or null. Received: "mlp"',
    ),
    "relation": ("", "trainer: {warmup_epochs: 5}", "warmup_epochs (5) must be at most epochs (1)"),
    "repeated key": ("trainer", "epochs: 1\n  epochs: 2", "repeated key; it already stands on line 8"),
    "unknown tag": ("data", "title: !path x", "the YAML tag !path has no meaning in a config"),
}

# Faults that lie deeper than the line's own key.
DEEPER_CASES = {
    "item": ("data", "size: [1, a]", "data.size.1", 'must be an integer. Received: "a"'),
    "item below range": (
        "",
        "teacher: {name: mlp, hidden_units: [3, 0]}",
        "teacher.hidden_units.1",
        "must be an integer",
    ),
    "key of a mapping": (
        "data",
        "class_weights: {a: 1}",
        "data.class_weights.a",
        "the key must be an integer. Received",
    ),
    "value of a mapping": ("data", "class_weights: {1: a}", "data.class_weights.1", "must be a number. Received"),
    "key of a mapping in a choice": (
        "",
        "teacher: {name: mlp, scales: {a: 1}}",
        "teacher.scales.a",
        "the key must be an integer",
    ),
    "unlike items": ("data", "span: [1]", "data.span", "must be a list of 2 items. Received: [1]"),
    "near choice": ("", "teacher: {name: resnt}", "teacher.name", "must be one of mlp, resnet; did you mean `resnet`?"),
    "choice of wrong type": ("", "teacher: {name: 3}", "teacher.name", "must be one of mlp, resnet. Received: 3"),
    "choice in a list": (
        "data",
        "steps: [{name: mlp}, {name: mpl}]",
        "data.steps.1.name",
        "must be one of mlp, resnet;",
    ),
    "no choice": ("", "teacher: {depth: 20}", "teacher.name", "required key is missing; it must be one of mlp, resnet"),
    "short form of a section": ("optimizer", "warmup: -1", "optimizer.warmup.warmup_steps", "must be an integer >= 0"),
    "missing key": (
        "",
        "teacher: {name: resnet}",
        "teacher.depth",
        "required key is missing; it must be one of 20, 32",
    ),
}


def insert(section: str, line: str) -> tuple[str, str, int]:
    """VALID with `line` at the end of `section`; the section's name; the number of the line's last line."""
    name, _, choice = section.partition(": ")
    head = {"": "", "data": "", "optimizer": ""}.get(name, f"{name}:\n")
    if choice:
        head += f"  name: {choice}\n" + ("  depth: 20\n" if choice == "resnet" and "depth" not in line else "")
    text = VALID if name not in ("data", "optimizer") else VALID.replace(f"{name}:\n", f"{name}:\n  {line}\n")
    if name not in ("data", "optimizer"):
        text += head + ("  " if name else "") + line + "\n"
    last = line.split("\n")[-1].strip()
    return text, name, [row.strip() for row in text.split("\n")].index(last) + 1


@pytest.mark.parametrize("section, line, message", CASES.values(), ids=CASES)
def test_one_line_with_place_path_and_remedy(section, line, message):
    text, name, number = insert(section, line)
    path = ".".join(filter(None, [name, line.partition(":")[0]]))
    assert faults(text) == (f"run.yaml:{number}: {path}: {message}",)


@pytest.mark.parametrize("section, line, path, message", DEEPER_CASES.values(), ids=DEEPER_CASES)
def test_paths_go_through_lists_mappings_and_choices(section, line, path, message):
    text, _, number = insert(section, line)
    (fault,) = faults(text)
    assert fault.startswith(f"run.yaml:{number}: {path}: {message}")


def test_missing_sections_have_no_line_and_missing_keys_their_sections():
    assert faults("system: toy/toy\nmodel: {name: mlp}\noptimizer: {}\n") == (
        f"run.yaml: data: required key is missing; it must be {SECTION}",
        "run.yaml:3: optimizer.learning_rate: required key is missing; it must be a number > 0",
    )


def test_a_relation_between_sections_has_no_path():
    assert faults(VALID + "teacher: {name: resnet, depth: 56}\n") == (
        "run.yaml: teacher.depth (56) must be at most 32 for model.name resnet",
    )


def test_all_faults_of_a_file_and_the_command_line_come_at_once_in_order():
    text = "sytem: toy/toy\nsystem: toy/toy\nmodel: {name: resnet, depth: 21}\nmodel: {name: resnet, depth: 22}\n"
    text += "data: {batch_size: 0, size: !x 3}\noptimizer: {learning_rate: -1}\n"
    assert [fault.split(": ")[:2] for fault in faults(text, "trainer.epochs=0", "oops", "data.title=[")] == [
        ["run.yaml:1", "sytem"],
        ["run.yaml:4", "model"],
        ["run.yaml:4", "model.depth"],
        ["run.yaml:5", "data.size"],
        ["run.yaml:5", "data.batch_size"],
        ["run.yaml:6", "optimizer.learning_rate"],
        ["command line", "`oops` is not an override; write section.key=value"],
        ["command line", "data.title"],
        ["command line", "trainer.epochs"],
    ]


def test_long_values_are_cut():
    text, _, _ = insert("data", f"shuffle: {'x' * 200}")
    (fault,) = faults(text)
    assert fault.endswith("xxx…")
    assert len(fault) < 160
