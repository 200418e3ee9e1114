"""YAML text to plain values that JSON can hold, with the line of each, and plain values to YAML text.

YAML 1.2 by ruamel.yaml: `1e-3` is a number, `on`, `off`, `yes` and `no` are text. The text is read as a tree of nodes
and not straight into values, because only the nodes tell where a key stands and which keys are repeated.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

KeyPath = tuple[str | int, ...]

_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
# Dates and `<<` have no meaning of their own here: a run folder may be called 2024-01-31.
_TEXTS = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp", "merge", "value")}


@dataclass
class Document:
    """What a YAML text holds.

    value: None, bool, int, float, str, and lists and dicts of them; keys of dicts are text.
    lines: path of each value -> its line, counted from 1.
    faults: (path, line, message) of what JSON cannot hold and of repeated keys, whose last value stands.
    unreadable: paths of the values that JSON cannot hold; null stands in their place.
    """

    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[tuple[KeyPath, int, str]] = field(default_factory=list)
    unreadable: list[KeyPath] = field(default_factory=list)


class YAMLSyntaxError(ValueError):
    """Text that is not one YAML document. `line` and `column` count from 1, and are None where they are unknown."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None):
        super().__init__(message)
        self.line = line
        self.column = column


def read(text: str) -> Document:
    """Reads one YAML document.

    Raises:
        YAMLSyntaxError: the text is not YAML, or holds several documents.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = "; ".join(part for part in (error.context, error.problem) if part)
        raise YAMLSyntaxError(what, mark and mark.line + 1, mark and mark.column + 1) from None
    except YAMLError as error:
        raise YAMLSyntaxError(" ".join(str(error).split())) from None
    document = Document()
    if root is not None:
        document.value = _plain(root, (), document, yaml.constructor, ())
    return document


def _plain(
    node: Node, path: KeyPath, document: Document, constructor: SafeConstructor, parents: tuple[Node, ...]
) -> Any:
    line = node.start_mark.line + 1
    document.lines.setdefault(path, line)
    if any(node is parent for parent in parents):
        return _unreadable(path, line, "an alias that stands for a section around it", document)
    parents = (*parents, node)
    tag = str(node.tag)
    if isinstance(node, MappingNode) and tag == "tag:yaml.org,2002:map":
        mapping: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                document.faults.append((path, key_line, "a key must be a single word, not a list or a section"))
                continue
            key = key_node.value
            key_path = (*path, key)
            if key in mapping:
                message = f"repeated key; it already stands on line {first_lines[key]}"
                document.faults.append((key_path, key_line, message))
            first_lines.setdefault(key, key_line)
            document.lines[key_path] = key_line
            mapping[key] = _plain(value_node, key_path, document, constructor, parents)
        return mapping
    if isinstance(node, SequenceNode) and tag == "tag:yaml.org,2002:seq":
        return [_plain(item, (*path, i), document, constructor, parents) for i, item in enumerate(node.value)]
    if isinstance(node, ScalarNode) and tag in _TEXTS:
        return node.value
    if isinstance(node, ScalarNode) and tag in _SCALARS:
        try:
            return constructor.construct_object(node)
        except (ConstructorError, ValueError):
            message = f"cannot be read as {tag.rpartition(':')[2]}. Received: {node.value}"
            return _unreadable(path, line, message, document)
    return _unreadable(path, line, f"the YAML tag {tag} has no meaning in a config", document)


def _unreadable(path: KeyPath, line: int, message: str, document: Document) -> None:
    document.faults.append((path, line, message))
    document.unreadable.append(path)


def write(value: Mapping[str, Any]) -> str:
    """YAML text of nested plain values; `read` gives the same values back. Lists without sections take one line."""
    yaml = YAML()
    yaml.width = 100_000  # A value stays on its line.
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_with_flow_lists(value, yaml), stream)
    return stream.getvalue()


def _with_flow_lists(value: Any, yaml: YAML) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_flow_lists(item, yaml) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = yaml.seq([_with_flow_lists(item, yaml) for item in value])
        if not any(isinstance(item, Mapping) for item in value):
            items.fa.set_flow_style()
        return items
    return value
