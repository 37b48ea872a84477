"""The audit trail: chained, and a change, a removal or another order is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sota.kit.audit.model import (
    FIRST_HASH,
    AuditedAction,
    Break,
    Checker,
    Record,
    RecordFilter,
    chain,
    hash_of,
)
from sota.kit.audit.tables import HEAD, OPEN, RECORD
from sota.kit.audit.trail import AuditTrail
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.migrations import upgrade

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def action(number: int) -> AuditedAction:
    at = NOW + timedelta(microseconds=number)
    return AuditedAction(at, f"user{number}", "192.0.2.1", "WL-B1-4", f"vehicle {number}", "inserted", 200)


@pytest.fixture
async def trail(fresh_database_url: str) -> AsyncIterator[tuple[AuditTrail, Database]]:
    database = Database(fresh_database_url)
    await upgrade(database, "sota.web.migrations")
    yield AuditTrail(database), database
    await database.close()


async def test_records_of_many_at_once_make_one_chain(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    another = AuditTrail(database)
    await asyncio.gather(*((audit, another)[number % 2].record(action(number)) for number in range(300)))
    verdict = await audit.verify()
    assert (verdict.number, verdict.broken) == (300, None)


async def test_what_is_begun_gets_its_record_whatever_happens(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    until = NOW + timedelta(minutes=3)
    ended, killed, later = await asyncio.gather(
        audit.begin(action(1), until),
        audit.begin(action(2), until),
        audit.begin(action(3), until + timedelta(seconds=1)),
    )
    await audit.record(action(1), ended)
    await AuditTrail(database).take_up(until - timedelta(seconds=1))
    assert [record.action.actor for record in await audit.latest(RecordFilter(), 10, None)] == ["user1"]
    await asyncio.gather(*(AuditTrail(database).take_up(until) for _ in range(3)))
    records = await audit.latest(RecordFilter(), 10, None)
    told = [(one.action.actor, one.action.object, one.action.outcome, one.action.status) for one in records]
    assert told == [("user2", "vehicle 2", "interrupted", 0), ("user1", "vehicle 1", "inserted", 200)]
    assert records[0].action.at == action(2).at
    async with database.read() as tx:
        assert (await tx.execute(sa.select(OPEN.c.id))).scalars().all() == [later]
    await audit.record(action(2), killed)  # it lived after all: both are kept, nothing is lost
    assert (await audit.verify()).broken is None


async def test_more_than_a_batch_of_what_was_interrupted_is_taken_up(trail: tuple[AuditTrail, Database]) -> None:
    audit, _ = trail
    await asyncio.gather(*(audit.begin(action(number), NOW) for number in range(450)))
    await audit.take_up(NOW)
    verdict = await audit.verify()
    assert (verdict.number, verdict.broken) == (450, None)


HARM = {
    "change": (5, "record 5 was changed"),
    "change the last": (10, "record 10 was changed"),
    "change the hash too": (6, "record 6 does not follow the one before it"),
    "remove": (5, "record 5 is missing: 6 follows 4"),
    "remove the first": (1, "record 1 is missing: 2 follows 0"),
    "remove the last": (10, "record 10 is missing: the chain ends at 9, its head says 10"),
    "swap": (5, "record 5 does not follow the one before it"),
    "add": (11, "record 11 is after the head of the chain, which says 10"),
}


async def do_harm(database: Database, harm: str) -> None:
    columns = RECORD.c

    async def do(tx: Tx) -> None:
        change = RECORD.update()
        if harm in ("change", "change the last"):
            number = 5 if harm == "change" else 10
            await tx.execute(change.where(columns.number == number).values(actor="another user"))
        elif harm == "change the hash too":
            row = (await tx.execute(sa.select(RECORD).where(columns.number == 5))).one()
            forged = replace(action(5), at=row.at, actor="another user")
            values = {
                "at": forged.at,
                "actor": forged.actor,
                "address": forged.address,
                "interaction": forged.interaction,
                "object": forged.object,
                "outcome": forged.outcome,
                "status": forged.status,
                "hash": hash_of(5, forged, row.previous_hash),
            }
            await tx.execute(change.where(columns.number == 5).values(**values))
        elif harm.startswith("remove"):
            number = {"remove": 5, "remove the first": 1, "remove the last": 10}[harm]
            await tx.execute(RECORD.delete().where(columns.number == number))
        elif harm == "swap":
            for before, after in ((5, 100), (6, 5), (100, 6)):
                await tx.execute(change.where(columns.number == before).values(number=after))
        else:
            row = (await tx.execute(sa.select(RECORD).where(columns.number == 10))).one()
            await tx.execute(RECORD.insert().values(**{**row._mapping, "number": 11}))

    await database.transact(do)


@pytest.mark.parametrize("harm", HARM)
async def test_harm_is_found_and_its_place_is_told(trail: tuple[AuditTrail, Database], harm: str) -> None:
    audit, database = trail
    for number in range(10):
        await audit.record(action(number))
    await do_harm(database, harm)
    assert (await audit.verify()).broken == Break(*HARM[harm])


async def test_chain_that_was_rewritten_does_not_have_the_noted_record(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    await asyncio.gather(*(audit.record(action(number)) for number in range(3)))
    noted = await audit.verify()
    await audit.record(action(4))
    assert (await audit.verify(anchor=(noted.number, noted.hash))).broken is None

    async def forget(tx: Tx) -> None:
        await tx.execute(RECORD.delete())
        await tx.execute(HEAD.update().values(number=0, hash=FIRST_HASH))

    await database.transact(forget)
    await asyncio.gather(*(audit.record(action(number)) for number in range(20, 25)))
    assert (await audit.verify()).broken is None
    assert (await audit.verify(anchor=(noted.number, noted.hash))).broken == Break(
        3, "record 3 is not the one that was noted"
    )


async def test_records_are_found_by_what_they_say(trail: tuple[AuditTrail, Database]) -> None:
    audit, _ = trail
    for number in range(10):
        await audit.record(action(number))

    async def numbers(**wanted: Any) -> list[int]:
        return [record.number for record in await audit.latest(RecordFilter(**wanted), 100, None)]

    assert await numbers() == list(range(10, 0, -1))
    assert await numbers(actor="user4") == [5]
    assert await numbers(actor="USER4") == []
    assert await numbers(interaction="WL-B1-5") == []
    assert await numbers(object="cle 7") == [8]
    assert await numbers(object="%") == []
    assert await numbers(since=action(8).at) == [10, 9]
    assert await numbers(until=action(2).at) == [2, 1]
    assert [record.number for record in await audit.latest(RecordFilter(), 3, 6)] == [5, 4, 3]


async def test_texts_cannot_forge_a_line(trail: tuple[AuditTrail, Database]) -> None:
    audit, database = trail
    await audit.record(AuditedAction(NOW, "x\n2026 admin did it", "a" * 500, "WL-B1-4", "v\x1b[2J", "inserted", 200))
    async with database.read() as tx:
        row = (await tx.execute(sa.select(RECORD))).one()
    assert "\n" not in row.actor
    assert "\x1b" not in row.object
    assert len(row.address) == 64
    verdict = await audit.verify()
    assert (verdict.number, verdict.broken) == (1, None)


def find_break(records: list[Record], head: Record) -> Break | None:
    checker = Checker()
    for record in records:
        checker.add(record)
    return checker.end(head.number, head.hash)


@given(st.integers(1, 20), st.data())
def test_any_chain_holds_and_no_chain_survives_a_removal(size: int, data: st.DataObject) -> None:
    records = chain([action(number) for number in range(size)], 0, FIRST_HASH)
    head = records[-1]
    assert find_break(records, head) is None
    gone = data.draw(st.integers(0, size - 1))
    assert find_break(records[:gone] + records[gone + 1 :], head) is not None
