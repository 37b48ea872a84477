"""Types of bodies in words: what ``sota whitelist`` prints of a row's messages.

>>> from sota.boundaries.b7_core_rvi.messages import FinishDownload
>>> describe(FinishDownload).name, [(f.name, f.type) for f in describe(FinishDownload).fields]
('FinishDownload', [('download_index', 'integer 1…9223372036854775807')])
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import get_args

from msgspec import inspect

from sota.boundaries.interaction import Interaction, Lines


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a body."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Described:
    """A body: the name of its type, and its members where it is an object (or the items of the array are)."""

    name: str
    fields: tuple[Field, ...]


def messages_of(row: Interaction) -> Iterator[tuple[str, Described]]:
    """Yield the row's bodies, each with its kind: ``request``, ``request start`` or ``answer``."""
    requests = row.request if isinstance(row.request, dict) else {"": row.request}
    for service, kind in requests.items():
        if kind is not None:
            yield from ((f"request {service}".strip(), body) for body in _bodies(kind))
    if row.response is not None:
        yield from (("answer", body) for body in _bodies(row.response))


def describe(kind: object) -> Described:
    """Describe the type of a body."""
    if isinstance(kind, Lines):
        inner = describe(kind.item)
        return Described(f"NDJSON of {inner.name}", inner.fields)
    info = bare(inspect.type_info(kind))
    item = bare(info.item_type) if isinstance(info, inspect.ListType) else info
    return Described(_name(info), tuple(_fields(item)) if isinstance(item, inspect.StructType) else ())


def _bodies(kind: object) -> Iterator[Described]:
    choices = get_args(kind.item) if isinstance(kind, Lines) and isinstance(kind.item, UnionType) else ()
    yield from (describe(Lines(choice)) for choice in choices) if choices else (describe(kind),)


def _fields(struct: inspect.StructType) -> Iterator[Field]:
    if struct.tag_field is not None:
        yield Field(struct.tag_field, repr(struct.tag), required=True)
    for field in struct.fields:
        yield Field(field.encode_name, _name(field.type), field.required)


def bare(info: inspect.Type) -> inspect.Type:
    """Return a type without its limits and descriptions."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _name(info: inspect.Type) -> str:
    info = bare(info)
    match info:
        case inspect.StructType(cls=cls):
            return cls.__name__
        case inspect.EnumType(cls=choice):
            return f"{choice.__name__} ({' | '.join(str(member.value) for member in choice)})"
        case inspect.ListType(item_type=item):
            return f"array of {_name(item)}"
        case inspect.UnionType(types=types):
            return " | ".join(_name(inner) for inner in types if not isinstance(inner, inspect.NoneType))
        case inspect.StrType() | inspect.IntType():
            return _limited(info)
    return {inspect.BoolType: "boolean", inspect.DateTimeType: "time (RFC 3339)", inspect.AnyType: "anything"}.get(
        type(info), type(info).__name__.removesuffix("Type").lower()
    )


def _limited(info: inspect.StrType | inspect.IntType) -> str:
    if isinstance(info, inspect.IntType):
        return f"integer {info.ge}…{info.le}" if info.ge is not None and info.le is not None else "integer"
    pattern = (info.pattern or "").removesuffix(r"(?!\n)")
    if pattern and len(pattern) < 60:
        return f"string {pattern}"
    return f"string of at most {info.max_length}" if info.max_length is not None else "string"
