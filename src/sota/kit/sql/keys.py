"""Keys of several columns, by which rows are deleted or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


def not_alone(keys: Sequence[Key]) -> Sequence[Key]:
    """Give the keys, and one that is alone twice.

    For a DELETE or UPDATE of the rows whose ``(a, b)`` are in ``((1, 2))`` MariaDB (10.11) reads the whole table; of
    two or more it goes by the index: with 20,000,000 rows 0.2 ms instead of 4.8 s.

    >>> not_alone([("ivi", "1.0.0")])
    [('ivi', '1.0.0'), ('ivi', '1.0.0')]
    """
    return [*keys, *keys] if len(keys) == 1 else keys
