"""The migrations make the tables that the code speaks of, and take them away again."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sota.kit.db import Database
from sota.kit.migrations import downgrade, upgrade
from sota.resolver.program import MIGRATIONS
from sota.resolver.tables import METADATA

pytestmark = pytest.mark.anyio


def differences(connection: sa.Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), METADATA))


async def test_migrations_make_the_tables_of_the_code(fresh_database_url: str) -> None:
    database = Database(fresh_database_url)
    await upgrade(database, MIGRATIONS)
    async with database.read() as tx:
        assert await tx.run_sync(differences) == []
    await downgrade(database, MIGRATIONS, "base")
    async with database.read() as tx:
        assert await tx.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == ["alembic_version"]
    await upgrade(database, MIGRATIONS)
    await database.close()
