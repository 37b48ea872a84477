"""Rows that cannot be decoded: logged once by their id, set aside, and skipped.

One damaged row must not end a task, block the rows behind it, or fail a list. Where nothing can be done without the
row, :class:`~sota.kit.errors.Damaged` is raised: a request gets 503.

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

# What decoders raise: msgspec's errors, UnicodeDecodeError and JSON's errors are ValueErrors, too.
UNREADABLE = (ValueError, TypeError, KeyError, struct.error, zlib.error)
REMEMBERED = 10_000

_logged: OrderedDict[tuple[str, str], None] = OrderedDict()


def read(table: str, id: object, decode: Callable[[], Result]) -> Result:
    """Decode a row's value.

    Raises:
        Damaged: it cannot be decoded; this is logged once.
    """
    try:
        return decode()
    except UNREADABLE as error:
        note(table, id, error)
        raise Damaged(f"A row of {table} cannot be read: {id}. Restore it from a backup, or remove it.") from error


def readable(table: str, id: object, decode: Callable[[], Result], otherwise: Result) -> Result:
    """Decode a row's value; return ``otherwise`` if that fails and the rest of the row is enough."""
    try:
        return read(table, id, decode)
    except Damaged:
        return otherwise


def note(table: str, id: object, error: Exception) -> None:
    """Log a damaged row, but only the first time it is read."""
    key = (table, str(id))
    if key in _logged:
        return
    _logged[key] = None
    if len(_logged) > REMEMBERED:
        _logged.popitem(last=False)
    get_logger().error("row_damaged", table=table, row=str(id), reason=f"{type(error).__name__}: {error}"[:200])
