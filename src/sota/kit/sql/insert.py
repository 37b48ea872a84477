"""Inserting names that several transactions may insert at the same time: existing rows stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from sota.kit.sql.database import Tx


async def insert_new(tx: Tx, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    """Insert the rows that do not exist yet; existing ones stay as they are."""
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        await tx.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        return
    # IGNORE would also skip values that do not fit; this only skips existing rows.
    key = next(iter(table.primary_key.columns))
    statement = mysql.insert(table)
    await tx.execute(statement.on_duplicate_key_update({key.name: key}), rows)
