"""Keys of several columns, to delete or change rows by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


def not_alone(keys: Sequence[Key]) -> Sequence[Key]:
    """Duplicate a single key, to work around a MariaDB plan.

    For a DELETE or UPDATE of the rows whose ``(a, b)`` are in ``((1, 2))`` MariaDB (10.11) scans the whole table; for
    two or more keys it uses the index: with 20,000,000 rows 0.2 ms instead of 4.8 s.

    >>> not_alone([("ivi", "1.0.0")])
    [('ivi', '1.0.0'), ('ivi', '1.0.0')]
    """
    return [*keys, *keys] if len(keys) == 1 else keys
