"""A run's config: one strict YAML file, checked in full before anything is built.

A system module holds a `Config`, a `Section` whose first key `system` names the module; the sections `model`, `data`,
`loss`, `optimizer` and `trainer` follow. A choice is a union of Sections that are told apart by `name: Literal[...]`.
Neither this module nor those that hold config classes import TensorFlow or Keras at the top, so that a fault is told
at once.
"""

import ast
import difflib
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tfdlcv import __version__, config_faults, config_overrides, config_yaml
from tfdlcv.errors import ConfigError

__all__ = [
    "ConfigError",
    "Section",
    "config_text",
    "json_schema",
    "list_systems",
    "load_config",
    "load_text",
    "save_config",
    "system_module",
]

_SYSTEMS_FOLDER = Path(__file__).parent / "systems"
_AFTER_THE_FILE = float("inf")  # Faults of overrides stand below those of the file, which are in the order of lines.


class Section(BaseModel):
    """Base of every config class: frozen, no unknown keys, no conversion between types, no NaN or infinity.

    Values are read as JSON would be: an integer may stand for a number, and a list becomes the tuple that a field asks
    for; nothing else is converted. The text below a field documents it, and becomes its description in the schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),  # Sections do have keys such as model_dir.
    )


def load_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, config_class: type[Section] | None = None
) -> Any:
    """Reads and checks the config file at `path`.

    Args:
        path: YAML file.
        overrides: `section.key=value` each, with the value in YAML; set in turn over the file's values.
        config_class: what the file is checked against; by default the `Config` of the system that it names.

    Returns:
        The system's frozen `Config`.

    Raises:
        ConfigError: with every fault that was found in the file and the overrides.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file{_near_file(path)}"]) from None
    except IsADirectoryError:
        inside = path / "config.yaml"
        raise ConfigError([f"{path}: is a folder{f'; did you mean `{inside}`?' * inside.is_file()}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return load_text(text, overrides, source=str(path), config_class=config_class)


def load_text(
    text: str, overrides: Sequence[str] = (), *, source: str = "<text>", config_class: type[Section] | None = None
) -> Any:
    """As `load_config`, of YAML text; `source` is what messages call it."""
    try:
        document = config_yaml.read(text)
    except config_yaml.YAMLSyntaxError as error:
        place = f"{source}:{error.line}:{error.column}" if error.line else source
        raise ConfigError([f"{place}: not valid YAML: {error}"]) from None
    if document.value is None:
        raise ConfigError([f"{source}: the file is empty; it must begin with a line `system: AREA/NAME`"])
    if not isinstance(document.value, dict):
        problem = "must be sections of `key: value` lines"
        raise ConfigError([f"{source}: {config_faults.sentence(problem, config_faults.received(document.value))}"])

    # (where it was written, sort key) of each value, for the messages.
    origins = {path: (f"{source}:{line}", line) for path, line in document.lines.items() if path}
    faults = [(path, message, (f"{source}:{line}", line)) for path, line, message in document.faults]
    unreadable = set(document.unreadable)
    for override in overrides:
        applied = config_overrides.apply(override, document.value)
        unreadable.update(applied.unreadable)
        for path, message in applied.faults:
            faults.append((path, message, ("command line", _AFTER_THE_FILE)))
        for path in applied.replaced:
            for old in [old for old in origins if old[: len(path)] == path]:
                del origins[old]
            origins[path] = ("command line", _AFTER_THE_FILE)

    config = None
    try:
        config_class = config_class or _config_class_of(document.value)
        config = config_class.model_validate_json(json.dumps(document.value))
    except ConfigError as error:
        faults += [(path, message, None) for path, message in _system_faults(document.value, error)]
    except ValidationError as error:
        explained = config_faults.explain(error, config_class, document.value)
        # That the null in an unreadable value's place does not fit would be noise.
        faults += [(path, message, None) for path, message in explained if path not in unreadable]
    if faults:
        raise ConfigError(_lines(faults, origins, source))
    return config


def save_config(config: Section, path: str | os.PathLike[str]) -> None:
    """Writes `config` with all its defaults to a YAML file that loads to an equal object."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(config_text(config), encoding="utf-8")
    os.replace(partial, path)


def config_text(config: Section) -> str:
    """YAML text of `config` with all its defaults."""
    values = config_yaml.write(config.model_dump(mode="json"))
    return f"# Every value of the run, defaults included. tfdlcv {__version__}\n{values}"


def json_schema(system: str) -> dict[str, Any]:
    """JSON Schema of the system's config, from which an editor completes and checks."""
    schema = system_module(system).Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": system}


def list_systems() -> list[tuple[str, str]]:
    """(`area/name`, first line of its docstring) of every module with a `Config`, sorted; imports none of them."""
    found = []
    for path in sorted(_SYSTEMS_FOLDER.glob("*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.ClassDef) and node.name == "Config" for node in tree.body):
            docstring = ast.get_docstring(tree) or ""
            found.append((f"{path.parent.name}/{path.stem}", docstring.partition("\n")[0]))
    return found


def system_module(name: str) -> ModuleType:
    """Imports `tfdlcv.systems.<area>.<name>` for `name` "area/name".

    Raises:
        ConfigError: there is no such system.
    """
    names = [system for system, _ in list_systems()]
    if name not in names:
        problem = (
            f"must be one of {', '.join(names)}{config_faults.did_you_mean(name, names) or _same_name(name, names)}"
        )
        raise ConfigError([config_faults.sentence(problem, config_faults.received(name))])
    return importlib.import_module(f"tfdlcv.systems.{name.replace('/', '.')}")


def _config_class_of(values: dict[str, Any]) -> type[Section]:
    if "system" not in values:
        raise ConfigError([f"required key is missing; it must be one of {_system_names()}"])
    return system_module(values["system"]).Config


def _system_faults(values: dict[str, Any], error: ConfigError) -> list[tuple[config_yaml.KeyPath, str]]:
    faults = [(("system",), message) for message in error.faults]
    if "system" not in values:
        near = difflib.get_close_matches("system", values, n=1)
        faults += [((key,), "unknown key; did you mean `system`?") for key in near]
    return faults


def _system_names() -> str:
    return ", ".join(system for system, _ in list_systems())


def _same_name(name: Any, names: Sequence[str]) -> str:
    matches = [known for known in names if known.partition("/")[2] == str(name).rpartition("/")[2]]
    return f"; did you mean `{matches[0]}`?" if matches else ""


def _near_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except OSError:
        return f"; nor is there a folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, n=1) or difflib.get_close_matches(
        f"{path.name}.yaml", names, n=1
    )
    return f"; did you mean `{path.parent / near[0]}`?" if near else ""


def _lines(faults: list[tuple], origins: dict[config_yaml.KeyPath, tuple[str, float]], source: str) -> list[str]:
    """One line a fault, in the order of the file."""
    located = []
    for path, message, origin in faults:
        if origin is None:
            # A missing key has no line; its section's is the nearest.
            ends = range(len(path), 0, -1)
            origin = next((origins[path[:end]] for end in ends if path[:end] in origins), (source, 0))
        dotted = ".".join(str(part) for part in path)
        located.append((origin[1], f"{origin[0]}: {dotted}: {message}" if dotted else f"{origin[0]}: {message}"))
    return [line for _, line in sorted(located, key=lambda item: item[0])]
