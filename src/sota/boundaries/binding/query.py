"""Queries and headers as text, read into what a row declares.

Rules kept here:

* a query has only parameters that the row declares, each once: an ignored one would mislead its caller;
* numbers are decimal digits, flags ``true`` or ``false``: nothing else is guessed.
"""

from __future__ import annotations

import difflib
import functools
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from sota.boundaries.parameters import Parameters
from sota.boundaries.wording import in_words
from sota.kit.errors import Invalid

MAX_PARAMETERS = 64
MAX_KEY = 200


def split_query(raw: bytes) -> dict[str, str]:
    """Split a query into its parameters.

    Raises:
        Invalid: it is malformed, or has a parameter more than once.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise Invalid("The query is malformed.") from None
    query = dict(pairs)
    if len(query) < len(pairs):  # one of the two would be ignored
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Invalid(f"The query has {twice[:40]!r} more than once.")
    return query


def decode_query(kind: type[Parameters] | None, given: Mapping[str, str]) -> Parameters | None:
    """Decode a query into the type that its row declares.

    Raises:
        Invalid: a parameter is unknown (the message names the nearest one that exists), or has a wrong value.
    """
    members = _members(kind) if kind is not None else {}
    for name in given:
        if name not in members:
            raise Invalid(f"There is no query parameter {name[:40]!r}: {_hint(name, list(members))}")
    if kind is None:
        return None
    try:
        return msgspec.convert({name: _read(name, text, members[name]) for name, text in given.items()}, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{in_words(error)}.") from None


def read_key(headers: Mapping[str, str]) -> str | None:
    """Read the ``Idempotency-Key``.

    Raises:
        Invalid: it is empty, too long, or has other characters.
    """
    key = headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise Invalid(f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters.")
    return key


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:40], known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"this call takes {', '.join(known)}." if known else "this call takes none."


@functools.cache
def _members(kind: type[Parameters]) -> dict[str, inspect.Type]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - Parameters is a struct
    return {field.encode_name: _bare(field.type) for field in info.fields}


def _bare(info: inspect.Type) -> inspect.Type:
    if isinstance(info, inspect.UnionType):
        return _bare(next(choice for choice in info.types if not isinstance(choice, inspect.NoneType)))
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info


def _read(name: str, text: str, info: inspect.Type) -> object:
    match info:
        case inspect.IntType(ge=least, le=most):
            if text.isascii() and text.isdigit() and len(text) < 10 and (least or 0) <= int(text) <= (most or 0):
                return int(text)
            wanted = f"a number from {least} to {most}"
        case inspect.BoolType():
            if text in ("true", "false"):
                return text == "true"
            wanted = "true or false"
        case inspect.EnumType(cls=choice):
            values = [str(member.value) for member in choice]
            if text in values:
                return text
            wanted = f"one of {', '.join(values)}"
        case inspect.LiteralType(values=literals):
            if text in literals:
                return text
            wanted = " or ".join(map(str, literals))
        case _:
            return text
    raise Invalid(f"{name} must be {wanted}, not {text[:40]!r}.")
