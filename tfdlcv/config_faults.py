"""What is wrong with a config, in a person's words: pydantic's errors to (path, message) pairs.

pydantic reports a location that also holds the tags of unions, and states a violated bound without the other one. Here
the location is walked through the types, which gives the path as the file has it, all that the type allows at its end,
and the keys that a wrong one may have meant.
"""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tfdlcv import config_slots
from tfdlcv.config_slots import Slot
from tfdlcv.config_yaml import KeyPath

_RECEIVED_WIDTH = 80


@dataclass(frozen=True)
class _Place:
    """Where an error's location leads: path as in the file; the slot there; the section that holds it; its siblings."""

    path: KeyPath
    slot: Slot
    owner: type[BaseModel]
    alternatives: tuple[type[BaseModel], ...]
    is_key: bool = False


def explain(error: ValidationError, config_class: type[BaseModel], values: Any) -> list[tuple[KeyPath, str]]:
    """(path, message) of every fault that pydantic found in `values`, each once."""
    faults = [_explain_one(item, config_class, values) for item in error.errors(include_url=False)]
    return list(dict.fromkeys(faults))


def did_you_mean(word: Any, options: Iterable[str]) -> str:
    """`; did you mean `x`?` for the option nearest to `word`, or nothing."""
    if not isinstance(word, str):
        return ""
    options = list(options)
    near = difflib.get_close_matches(word, options, n=1)
    # `lr` is the commonest wrong key of the field.
    near = near or [option for option in options if len(word) > 1 and word == "".join(p[:1] for p in option.split("_"))]
    return f"; did you mean `{near[0]}`?" if near else ""


def received(value: Any) -> str:
    """`Received: value`, in JSON so that text and numbers differ, cut to one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > _RECEIVED_WIDTH:
        text = text[: _RECEIVED_WIDTH - 1] + "…"
    return f"Received: {text}"


def sentence(*parts: str) -> str:
    """Joins sentences, with a full stop after each but the last unless it ends in a question mark."""
    *firsts, last = [part for part in parts if part]
    return " ".join([first if first.endswith("?") else f"{first}." for first in firsts] + [last])


def _explain_one(item: dict[str, Any], config_class: type[BaseModel], values: Any) -> tuple[KeyPath, str]:
    kind, value = item["type"], item["input"]
    place = _walk(config_class, item["loc"])
    if kind == "extra_forbidden":
        return place.path, sentence(_unknown_key(place, config_class), received(value))
    if kind == "missing" and isinstance(item["loc"][-1], int):
        kind, place = "too_short", _walk(config_class, item["loc"][:-1])  # A list of fixed length that lacks an item.
    if kind == "missing":
        return place.path, "; it ".join(filter(None, ["required key is missing", config_slots.must_be(place.slot)]))
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        discriminator = place.slot.discriminator or "name"
        path, tags = (*place.path, discriminator), config_slots.tags(place.slot, discriminator)
        problem = f"must be one of {', '.join(tags)}"
        if kind == "union_tag_not_found":
            return path, f"required key is missing; it {problem}"
        tag = value.get(discriminator) if isinstance(value, dict) else None
        return path, sentence(problem + did_you_mean(tag, tags), received(tag))
    if kind in ("value_error", "assertion_error"):
        return place.path, " ".join(str(item["ctx"]["error"]).split())
    if place.is_key:
        return place.path, sentence(f"the key {config_slots.must_be(place.slot)}", received(value))
    expectation = config_slots.must_be(place.slot)
    if kind == "finite_number" and len(place.slot.members()) == 1:
        expectation = expectation.replace("a number", "a finite number")
    if not expectation:
        return place.path, sentence(item["msg"], received(value))
    if len(place.slot.members()) > 1:
        # pydantic reports every member of the union, each with the part that it did not like.
        value = _at(values, place.path, default=value)
    choices = [str(c) for member in place.slot.members() for c in config_slots.literals(member.annotation)]
    hint = did_you_mean(value, choices) if len(choices) > 1 else ""
    return place.path, sentence(expectation + hint, received(value))


def _walk(config_class: type[BaseModel], location: tuple[str | int, ...]) -> _Place:
    slot, path, owner, alternatives = Slot.of(config_class), [], config_class, ()
    for depth, element in enumerate(location):
        members = slot.members()
        if slot.discriminator and len(members) > 1:
            chosen = [member for member in members if element in config_slots.tags(member, slot.discriminator)]
            if not chosen:
                break
            alternatives = tuple(member.annotation for member in members)
            slot = chosen[0]
            continue
        if len(members) > 1:
            break  # The error of one member; the message tells what all of them take.
        inner = members[0].annotation
        origin, arguments = get_origin(inner) or inner, get_args(inner)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            path.append(element)
            owner, siblings = inner, alternatives if inner in alternatives else ()
            if element not in inner.model_fields:
                return _Place(tuple(path), Slot.of(Any), owner, siblings)
            slot, alternatives = Slot.of_field(inner.model_fields[element]), ()
        elif origin in (tuple, list) and arguments:
            path.append(element)
            fixed = origin is tuple and arguments[-1] is not Ellipsis
            if fixed and not element < len(arguments):
                return _Place(tuple(path), Slot.of(Any), owner, ())
            slot = Slot.of(arguments[element if fixed else 0])
        elif origin is dict and arguments:
            path.append(element)
            if location[depth + 1 :] == ("[key]",):
                return _Place(tuple(path), Slot.of(arguments[0]), owner, (), is_key=True)
            slot = Slot.of(arguments[1])
        else:
            break
    return _Place(tuple(path), slot, owner, alternatives)


def _unknown_key(place: _Place, config_class: type[BaseModel]) -> str:
    key, keys = str(place.path[-1]), list(place.owner.model_fields)
    hint = did_you_mean(key, keys)
    if hint:
        return f"unknown key{hint}"
    others = [other for other in place.alternatives if other is not place.owner and key in other.model_fields]
    if others:
        names = ", ".join(_name_of(other) for other in others)
        return f"unknown key for {_name_of(place.owner)}, which takes {', '.join(keys)}; it is a key of {names}"
    elsewhere = list(_paths_of(key, config_class))
    if elsewhere:
        return f"unknown key; did you mean `{elsewhere[0]}`?"
    return f"unknown key; the keys here are {', '.join(keys)}"


def _name_of(section: type[BaseModel]) -> str:
    return str(config_slots.literals(section.model_fields["name"].annotation)[0])


def _paths_of(key: str, section: type[BaseModel], prefix: str = "") -> Iterable[str]:
    if key in section.model_fields and key != "name":
        yield prefix + key
    for name, field in section.model_fields.items():
        for member in Slot.of_field(field).members():
            if isinstance(member.annotation, type) and issubclass(member.annotation, BaseModel):
                yield from _paths_of(key, member.annotation, f"{prefix}{name}.")


def _at(values: Any, path: KeyPath, *, default: Any) -> Any:
    """The value at `path`; `default` where a validator has put a section in the place of a shorter form."""
    for key in path:
        if (isinstance(values, dict) and key in values) or (isinstance(values, list) and key in range(len(values))):
            values = values[key]
        else:
            return default
    return values
