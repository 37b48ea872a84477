"""The few statements that the two engines spell differently, and what is too long for one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from sota.kit.db import Tx

Item = TypeVar("Item")
BATCH = 500


async def insert_new(tx: Tx, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert what is not there yet; rows that are there stay as they are."""
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        await tx.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        return
    # IGNORE would also pass over values that do not fit; this only passes over rows that are there.
    key = next(iter(table.primary_key.columns))
    statement = mysql.insert(table)
    await tx.execute(statement.on_duplicate_key_update({key.name: key}), rows)


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces that fit into one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
