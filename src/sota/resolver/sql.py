"""Sequences that are too long for one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
BATCH = 500


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Split a sequence into pieces that fit into one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
