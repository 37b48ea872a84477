"""Faults of stores: full and read-only file systems, servers that take no writes or hang, tables that are away."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa

from sota.kit.db import Database, Tx


@contextlib.asynccontextmanager
async def table_away(database: Database, table: str) -> AsyncIterator[None]:
    """Let a table be away, as after a restore that failed."""

    async def rename(tx: Tx, before: str, after: str) -> None:
        await tx.execute(sa.text(f"ALTER TABLE `{before}` RENAME TO `{after}`"))

    await database.transact(lambda tx: rename(tx, table, f"{table}_away"))
    try:
        yield
    finally:
        await database.transact(lambda tx: rename(tx, f"{table}_away", table))
