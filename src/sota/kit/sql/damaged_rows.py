"""Rows that cannot be read: told once by their id, set aside, and passed by.

One damaged row must not end a task, hold up the rows behind it, or fail a list that it stands in. What cannot be done
without it raises :class:`~sota.kit.errors.Damaged`, which is 503 to a request.

>>> received = readable("download", key, lambda: Ranges.parse(row.received), Ranges())        # doctest: +SKIP
"""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from sota.kit.errors import Damaged
from sota.kit.runtime.logging import get_logger

Result = TypeVar("Result")

# What decoders raise: msgspec's errors, UnicodeDecodeError and those of JSON are ValueErrors, too.
UNREADABLE = (ValueError, TypeError, KeyError, struct.error, zlib.error)
REMEMBERED = 10_000

_told: OrderedDict[tuple[str, str], None] = OrderedDict()


def read(table: str, id: object, decode: Callable[[], Result]) -> Result:
    """Decode what a row holds.

    Raises:
        Damaged: it cannot be decoded; the log says so once.
    """
    try:
        return decode()
    except UNREADABLE as error:
        note(table, id, error)
        raise Damaged(f"A row of {table} cannot be read: {id}. Restore it from a backup, or remove it.") from error


def readable(table: str, id: object, decode: Callable[[], Result], otherwise: Result) -> Result:
    """Decode what a row holds; return ``otherwise`` where it cannot be decoded and the rest of the row is enough."""
    try:
        return decode()
    except UNREADABLE as error:
        note(table, id, error)
        return otherwise


def note(table: str, id: object, error: Exception) -> None:
    """Log a damaged row, once: it is met again and again."""
    key = (table, str(id))
    if key in _told:
        return
    _told[key] = None
    if len(_told) > REMEMBERED:
        _told.popitem(last=False)
    get_logger().error("row_damaged", table=table, row=str(id), reason=f"{type(error).__name__}: {error}"[:200])
