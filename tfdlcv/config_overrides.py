"""`section.key=value` of the command line, set into the values of a config file."""

from dataclasses import dataclass, field
from typing import Any

from tfdlcv import config_yaml
from tfdlcv.config_faults import received


@dataclass
class Applied:
    """What one override did: the paths whose values are now its own or unreadable; its faults as (path, message)."""

    replaced: list[config_yaml.KeyPath] = field(default_factory=list)
    unreadable: list[config_yaml.KeyPath] = field(default_factory=list)
    faults: list[tuple[config_yaml.KeyPath, str]] = field(default_factory=list)


def apply(override: str, values: dict[str, Any]) -> Applied:
    """Sets one override into `values`, in place.

    `a.b=1` sets key b of section a, `a.list.0=1` an item of a list, `a={name: x, size: 3}` a whole section. The value
    is YAML, and an empty one is null. A section that the file leaves out is begun; whether the key exists at all is
    left to the check of the whole config.
    """
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        return Applied(faults=[((), f"`{override}` is not an override; write section.key=value")])
    try:
        document = config_yaml.read(text)
    except config_yaml.YAMLSyntaxError as error:
        return Applied(faults=[(tuple(keys), f"the value is not valid YAML: {error}. {received(text)}")])

    applied = Applied(
        unreadable=[(*keys, *path) for path in document.unreadable],
        faults=[((*keys, *path), message) for path, _, message in document.faults],
    )
    container: Any = values
    path: config_yaml.KeyPath = ()
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(container, list):
            if not key.isdecimal() or int(key) >= len(container):
                problem = f"`{key}` is no item of a list of {len(container)}; items count from 0"
                return Applied(faults=[(path, f"{problem}. {received(container)}")])
            key = int(key)
        elif not isinstance(container, dict):
            return Applied(
                faults=[(path, f"is no section, so `{'.'.join(keys)}` cannot be set. {received(container)}")]
            )
        path = (*path, key)
        if last:
            container[key] = document.value
            applied.replaced.append(path)
        elif isinstance(container, dict) and container.get(key) is None:
            container[key] = {}
            applied.replaced.append(path)
        container = container[key]
    return applied
