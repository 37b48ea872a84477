"""The audit trail: chained, and a change, a removal or another order is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.db import Database, Tx
from sota.kit.migrations import upgrade
from sota.web.audit.model import FIRST_HASH, Deed, chain, find_break
from sota.web.audit.service import AuditTrail
from sota.web.tables import AUDIT_RECORD

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def deed(number: int) -> Deed:
    at = NOW + timedelta(microseconds=number)
    return Deed(at, f"user{number}", "192.0.2.1", "WL-B1-4", f"vehicle {number}", "inserted", 200)


@pytest.fixture
async def trail(fresh_database_url: str) -> AsyncIterator[tuple[AuditTrail, Database]]:
    database = Database(fresh_database_url)
    await upgrade(database, "sota.web.migrations")
    yield AuditTrail(database), database
    await database.close()


async def test_records_of_many_at_once_make_one_chain(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    another = AuditTrail(database)
    await asyncio.gather(*((audit, another)[number % 2].record(deed(number)) for number in range(300)))
    assert await audit.verify() == (300, None)


@pytest.mark.parametrize("harm", ["change", "remove", "remove the last", "swap"])
async def test_harm_is_found(trail: tuple[AuditTrail, Database], harm: str) -> None:
    audit, database = trail
    for number in range(10):
        await audit.record(deed(number))
    table = AUDIT_RECORD

    async def do(tx: Tx) -> None:
        if harm == "change":
            await tx.execute(table.update().where(table.c.number == 5).values(actor="somebody else"))
        elif harm == "remove":
            await tx.execute(table.delete().where(table.c.number == 5))
        elif harm == "remove the last":
            await tx.execute(table.delete().where(table.c.number == 10))
        else:
            for before, after in ((5, 100), (6, 5), (100, 6)):
                await tx.execute(table.update().where(table.c.number == before).values(number=after))

    await database.transact(do)
    _, broken = await audit.verify()
    assert broken is not None


async def test_texts_cannot_forge_a_line(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    await audit.record(Deed(NOW, "x\n2026 admin did it", "a" * 500, "WL-B1-4", "v\x1b[2J", "inserted", 200))
    async with database.read() as tx:
        row = (await tx.execute(sa.select(AUDIT_RECORD))).one()
    assert "\n" not in row.actor
    assert "\x1b" not in row.object
    assert len(row.address) == 64
    assert await audit.verify() == (1, None)


@given(st.integers(1, 20), st.data())
def test_any_chain_holds_and_no_chain_survives_a_removal(size: int, data: st.DataObject) -> None:
    records = chain([deed(number) for number in range(size)], 0, FIRST_HASH)
    head = records[-1]
    assert find_break(records, head.number, head.hash) is None
    gone = data.draw(st.integers(0, size - 1))
    assert find_break(records[:gone] + records[gone + 1 :], head.number, head.hash) is not None
