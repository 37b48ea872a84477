"""Core's migrations make exactly the tables that its statements use, and can be taken back, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sota.core import tables
from sota.core.program import MIGRATIONS
from sota.kit import migrations
from sota.kit.db import Database

pytestmark = pytest.mark.anyio


def _differences(connection: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    return list(compare_metadata(context, tables.METADATA))


async def test_migrations_make_the_declared_tables(fresh_database_url: str) -> None:
    database = Database(fresh_database_url)
    try:
        await migrations.upgrade(database, MIGRATIONS)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
    finally:
        await database.close()


async def test_migrations_can_be_taken_back_and_done_again(fresh_database_url: str) -> None:
    database = Database(fresh_database_url)
    try:
        await migrations.upgrade(database, MIGRATIONS)
        await migrations.downgrade(database, MIGRATIONS, "base")
        async with database.engine.connect() as connection:
            left = await connection.run_sync(lambda sync: set(sa.inspect(sync).get_table_names()))
        assert left <= {"alembic_version"}
        await migrations.upgrade(database, MIGRATIONS)
    finally:
        await database.close()
