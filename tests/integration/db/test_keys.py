"""Rows that are named by a key of two columns are found by the index on MariaDB, one of them as well as several."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from sota.kit.sql.database import Database, Tx
from sota.kit.sql.keys import not_alone

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
LINK = sa.Table(
    "link",
    METADATA,
    sa.Column("vehicle", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("package", sa.Integer, primary_key=True, autoincrement=False),
)
ROWS = 1_000


async def rows_read(tx: Tx) -> int:
    return sum(int(row.Value) for row in await tx.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read_%'")))


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_rows_are_deleted_by_their_keys_without_a_look_at_the_others(mariadb_url: str, count: int) -> None:
    database = Database(mariadb_url)
    await database.transact(lambda tx: tx.run_sync(METADATA.drop_all))
    await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
    rows = [{"vehicle": number // 10, "package": number % 10} for number in range(ROWS)]
    await database.transact(lambda tx: tx.execute(LINK.insert(), rows))

    async def delete(tx: Tx) -> tuple[int, int]:
        before = await rows_read(tx)
        keys = not_alone([(50 + number, 3) for number in range(count)])
        found = await tx.execute(LINK.delete().where(sa.tuple_(LINK.c.vehicle, LINK.c.package).in_(keys)))
        return found.rowcount, await rows_read(tx) - before

    deleted, read = await database.transact(delete)
    await database.close()
    assert deleted == count
    # To ask for the status reads its own rows, some dozens.
    assert read < ROWS / 2
