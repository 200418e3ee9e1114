import pytest

from tfdlcv import config_yaml


def value(text: str):
    document = config_yaml.read(text)
    assert not document.faults
    return document.value


@pytest.mark.parametrize(
    "text, expected", [("1e-3", 0.001), ("-.5", -0.5), ("0x10", 16), ("0o17", 15), ("1_000", 1000)]
)
def test_numbers(text, expected):
    read = value(text)
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "2024-01-31", "1:30", "<<", "=", "1e", "True story"])
def test_text_that_yaml_1_1_or_ruamel_read_otherwise(text):
    assert value(text) == text


@pytest.mark.parametrize("text, expected", [("true", True), ("False", False), ("null", None), ("~", None), ("", None)])
def test_words_with_a_meaning(text, expected):
    assert value(f"a: {text}") == {"a": expected}


def test_keys_are_text():
    assert value("1: {true: a}\nnull: b\n2.50: c") == {"1": {"true": "a"}, "null": "b", "2.50": "c"}


def test_an_alias_repeats_a_value():
    assert value("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_lines_of_values():
    lines = config_yaml.read("a:\n  b: 1\n  c:\n    - 2\n    - d: 3\n").lines
    assert lines[("a",)] == 1
    assert lines[("a", "b")] == 2
    assert lines[("a", "c", 0)] == 4
    assert lines[("a", "c", 1, "d")] == 5


def test_repeated_keys_are_told_at_every_depth_and_the_last_stands():
    document = config_yaml.read("a: 1\nb:\n  - c: 1\n    c: 2\na: 3\na: 4\n")
    assert document.value == {"a": 4, "b": [{"c": 2}]}
    assert document.faults == [
        (("b", 0, "c"), 4, "repeated key; it already stands on line 3"),
        (("a",), 5, "repeated key; it already stands on line 1"),
        (("a",), 6, "repeated key; it already stands on line 1"),
    ]
    assert document.unreadable == []


@pytest.mark.parametrize(
    "text, path, message",
    [
        ("a: !path x", ("a",), "the YAML tag !path has no meaning in a config"),
        ("a: !!set {x}", ("a",), "the YAML tag tag:yaml.org,2002:set has no meaning in a config"),
        ("a: !!int x", ("a",), "cannot be read as int. Received: x"),
        ("a: &a [1, *a]", ("a", 1), "an alias that stands for a section around it"),
    ],
)
def test_values_that_json_cannot_hold(text, path, message):
    document = config_yaml.read(text)
    assert document.faults == [(path, 1, message)]
    assert document.unreadable == [path]


def test_keys_that_are_no_words():
    document = config_yaml.read("? [a]\n: 1\nb: 2")
    assert document.value == {"b": 2}
    assert document.faults == [((), 1, "a key must be a single word, not a list or a section")]


@pytest.mark.parametrize(
    "text, line, column, message",
    [
        ("a:\n  b: c: d\n", 2, 7, "mapping values are not allowed here"),
        ("a: 1\n\tb: 2\n", 2, 1, "found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, 1, "expected a single document in the stream"),
        ("a: *x", 1, 4, "found undefined alias"),
        ("a: \x01", None, None, "unacceptable character #x0001"),
    ],
)
def test_text_that_is_not_yaml(text, line, column, message):
    with pytest.raises(config_yaml.YAMLSyntaxError) as caught:
        config_yaml.read(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_reads_the_same():
    values = {
        "words": ["on", "yes", "true", "null", "~", "", " a ", "a: b", "# c", "0x1", "1_000", "two\nlines", "-", "<<"],
        "numbers": [0.001, 1e-05, 1e16, 0.1 + 0.2, -0.0, 2**70, True, None],
        "nested": [{"a": [[1], []]}, {}],
        "null": {"1": {"true": "x y" * 500}},
    }
    assert value(config_yaml.write(values)) == values


def test_lists_without_sections_are_written_on_one_line():
    assert config_yaml.write({"a": [1, [2, 3]], "b": [{"c": 1}]}) == "a: [1, [2, 3]]\nb:\n  - c: 1\n"
