"""A read as of one moment sees nothing of what is committed meanwhile; the connection sees it again afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from sota.kit.sql.database import Database

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
THING = sa.Table("thing", METADATA, sa.Column("number", sa.Integer, primary_key=True, autoincrement=False))


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url, pool_size=1)
    await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
    yield database
    await database.close()


async def add(database: Database, number: int) -> None:
    await database.transact(lambda tx: tx.execute(THING.insert().values(number=number)))


async def look_and_break_off(database: Database) -> None:
    async with database.read_one_moment() as tx:
        assert (await tx.execute(sa.select(THING.c.number))).all() == []
        raise LookupError


async def test_statements_see_one_moment_and_the_next_read_another(database: Database) -> None:
    async with database.read_one_moment() as tx:
        assert (await tx.execute(sa.select(THING.c.number))).all() == []
        await add(database, 1)
        assert (await tx.execute(sa.select(THING.c.number))).all() == []
    async with database.read() as tx:
        assert (await tx.execute(sa.select(THING.c.number))).scalars().all() == [1]


async def test_read_that_broke_off_leaves_no_reader_in_the_past(database: Database) -> None:
    with pytest.raises(LookupError):
        await look_and_break_off(database)
    await add(database, 2)
    async with database.read() as tx:
        assert (await tx.execute(sa.select(THING.c.number))).scalars().all() == [2]
