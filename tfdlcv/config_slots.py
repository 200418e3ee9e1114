"""What a field of a config takes, in a person's words: the types and constraints of pydantic fields.

`Slot` is a place for a value; `must_be` says what may stand there: `must be an integer >= 1 or null`.
"""

import types
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_NUMBERS = {int: "an integer", float: "a number"}
_NUMBERS_PLURAL = {int: "integers", float: "numbers", bool: "true or false values", str: "texts"}


@dataclass(frozen=True)
class Slot:
    """A place for a value: its type without `Annotated`, its constraints, and the key that tells a union's members."""

    annotation: Any
    constraints: tuple[Any, ...] = ()
    discriminator: str | None = None

    @classmethod
    def of(cls, annotation: Any, constraints: Iterable[Any] = (), discriminator: str | None = None) -> "Slot":
        slot = cls(annotation, tuple(constraints), discriminator)
        while get_origin(slot.annotation) is Annotated:
            inner, *extras = get_args(slot.annotation)
            for extra in extras:
                if isinstance(extra, FieldInfo):
                    slot = replace(slot, constraints=(*slot.constraints, *extra.metadata))
                    slot = replace(slot, discriminator=extra.discriminator or slot.discriminator)
                else:
                    slot = replace(slot, constraints=(*slot.constraints, extra))
            slot = replace(slot, annotation=inner)
        members = get_args(slot.annotation) if _is_union(slot.annotation) else ()
        if sum(member is not types.NoneType for member in members) == 1 and slot.discriminator is None:
            # `Annotated[A | B, Field(discriminator="name")] | None` keeps its discriminator inside.
            inner = cls.of(next(member for member in members if member is not types.NoneType))
            if inner.discriminator:
                members = (*get_args(inner.annotation), types.NoneType)
                return cls(Union[members], slot.constraints, inner.discriminator)  # noqa: UP007 (built at run time)
        return slot

    @classmethod
    def of_field(cls, field: FieldInfo) -> "Slot":
        discriminator = field.discriminator if isinstance(field.discriminator, str) else None
        return cls.of(field.annotation, field.metadata, discriminator)

    def members(self) -> list["Slot"]:
        """The types that the value may have, but for None."""
        if not _is_union(self.annotation):
            return [self]
        found = [arg for arg in get_args(self.annotation) if arg is not types.NoneType]
        return [Slot.of(member, self.constraints) for member in found]

    def takes_null(self) -> bool:
        return _is_union(self.annotation) and types.NoneType in get_args(self.annotation)


def must_be(slot: Slot) -> str:
    """`must be …`, with all that `slot` takes; nothing where a type has no words here."""
    phrase = _phrase(slot)
    return f"must be {phrase}" if phrase else ""


def _phrase(slot: Slot) -> str:
    described = [_phrase(member) if _is_union(member.annotation) else _describe(member) for member in slot.members()]
    if slot.discriminator and len(described) > 1:
        described = [f"a section with a `{slot.discriminator}` of {', '.join(tags(slot, slot.discriminator))}"]
    if slot.takes_null():
        described.append("null")
    return " or ".join(dict.fromkeys(described)) if all(described) else ""


def _describe(slot: Slot) -> str:
    """Noun phrase for the values that `slot`, which is no union, takes; nothing where they are not known."""
    kind, arguments = get_origin(slot.annotation) or slot.annotation, get_args(slot.annotation)
    if kind is Literal:
        one_of = "" if len(arguments) == 1 else "one of "
        return one_of + ", ".join(str(argument) for argument in arguments)
    if kind is bool:
        return "true or false"
    if kind in _NUMBERS:
        return " ".join(filter(None, [_NUMBERS[kind], _bounds(slot)]))
    if kind is str:
        return " ".join(filter(None, ["text", _length(slot, "character"), _pattern(slot)]))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a section (lines of `key: value`)"
    if kind is dict:
        return "a section (lines of `key: value`)"
    if kind in (tuple, list) and arguments:
        if kind is tuple and arguments[-1] is not Ellipsis:
            alike = arguments[0] if len(set(arguments)) == 1 else Any
            return f"a list of {len(arguments)} {_items(Slot.of(alike), len(arguments))}"
        return " ".join(filter(None, ["a list of", _items(Slot.of(arguments[0]), 2), _length(slot, "item")]))
    return ""


def _items(slot: Slot, count: int) -> str:
    if slot.annotation in _NUMBERS_PLURAL and count != 1:
        return " ".join(filter(None, [_NUMBERS_PLURAL[slot.annotation], _bounds(slot)]))
    if get_origin(slot.annotation) is Literal:
        return f"items out of {', '.join(str(choice) for choice in get_args(slot.annotation))}"
    return "items" if count != 1 else "item"


def _bounds(slot: Slot) -> str:
    bounds = []
    for constraint in _flat(slot.constraints):
        for sign, attribute in ((">=", "ge"), (">", "gt"), ("<=", "le"), ("<", "lt"), ("divisible by", "multiple_of")):
            if (limit := getattr(constraint, attribute, None)) is not None:
                bounds.append(f"{sign} {limit}")
    return " and ".join(bounds)


def _length(slot: Slot, unit: str) -> str:
    parts = []
    for constraint in _flat(slot.constraints):
        for words, attribute in (("at least", "min_length"), ("at most", "max_length")):
            if limit := getattr(constraint, attribute, None):
                parts.append(f"{words} {limit} {unit}{'s' if limit != 1 else ''}")
    return f"of {' and '.join(parts)}" if parts else ""


def _pattern(slot: Slot) -> str:
    patterns = [getattr(constraint, "pattern", None) for constraint in slot.constraints]
    return " and ".join(f"that matches {pattern}" for pattern in patterns if pattern)


def _flat(constraints: Iterable[Any]) -> Iterable[Any]:
    for constraint in constraints:
        if isinstance(constraint, annotated_types.GroupedMetadata):
            yield from constraint
        else:
            yield constraint


def tags(slot: Slot, discriminator: str) -> list[str]:
    """Values of the discriminator, of all members of the union that have it."""
    fields = [getattr(member.annotation, "model_fields", {}).get(discriminator) for member in slot.members()]
    return [str(tag) for field in fields if field for tag in literals(field.annotation)]


def literals(annotation: Any) -> tuple[Any, ...]:
    """Values of a `Literal`; none of any other type."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
