"""Inserting names that several transactions may bring at the same time: what is there already stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from sota.kit.sql.database import Tx


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
