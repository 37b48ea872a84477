"""Transactions and the outbox on a real SQLite file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sota.kit.errors import Refused, StartError, Unavailable
from sota.kit.runtime import clock as module
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Database, Id, Tx, Utc
from sota.kit.sql.outbox import BATCH_BYTES, Delivery, OutboxEntry, Relay, outbox_table, put
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
OUTBOX = outbox_table(METADATA)
THING = sa.Table("thing", METADATA, sa.Column("id", Id, primary_key=True), sa.Column("at", Utc, nullable=False))


class Time:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
    yield database
    await database.close()


async def test_ids_and_times_come_back_as_they_went(database: Database) -> None:
    identity, moment = new_id(), datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
    await database.transact(lambda tx: tx.execute(THING.insert().values(id=identity, at=moment)))
    async with database.read() as connection:
        assert tuple((await connection.execute(sa.select(THING))).one()) == (identity, moment)


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def work(tx: Tx) -> None:
        await tx.execute(THING.insert().values(id=new_id(), at=datetime.now(UTC)))
        raise Refused("vin_exists")

    with pytest.raises(Refused):
        await database.transact(work)
    async with database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(THING))).scalar() == 0


async def test_many_writers_at_once_all_commit(database: Database) -> None:
    async def write() -> None:
        await database.transact(lambda tx: tx.execute(THING.insert().values(id=new_id(), at=datetime.now(UTC))))

    await asyncio.gather(*(write() for _ in range(40)))
    async with database.read() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(THING))).scalar() == 40


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(3)]
    assert {identity.version for identity in ids} == {7}
    assert sorted(identity.int >> 80 for identity in ids) == [identity.int >> 80 for identity in ids]


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(StartError, match="postgresql is not supported"):
        Database("postgresql://localhost/x")


class Receiver:
    def __init__(self) -> None:
        self.got: list[str] = []
        self.away = False

    async def receive(self, entries: list[OutboxEntry]) -> None:
        if self.away:
            raise Unavailable("away")
        if any(entry.payload == "bad" for entry in entries):
            raise Refused("invalid", status=400)
        self.got += [str(entry.payload) for entry in entries]


async def fill(database: Database, clock: Time, *payloads: tuple[str, str]) -> None:
    for topic, payload in payloads:
        await database.transact(lambda tx, t=topic, p=payload: put(tx, OUTBOX, "fact", t, p, clock))  # type: ignore[misc]


async def test_the_outbox_waits_for_a_receiver_that_is_away_and_keeps_the_order(database: Database) -> None:
    clock, receiver = Time(), Receiver()
    relay = Relay(database, OUTBOX, {"fact": receiver.receive}, clock)
    receiver.away = True
    await fill(database, clock, ("A", "1"), ("A", "2"))
    await relay.relay_due()
    receiver.away = False
    await fill(database, clock, ("A", "3"), ("B", "4"))
    await relay.relay_due()
    assert receiver.got == ["4"]
    clock.moment += timedelta(minutes=2)
    await relay.relay_due()
    assert receiver.got == ["4", "1", "2", "3"]


async def test_entries_that_wait_together_each_count_their_own_attempts(database: Database) -> None:
    clock, receiver = Time(), Receiver()
    relay = Relay(database, OUTBOX, {"fact": receiver.receive}, clock)
    receiver.away = True
    await fill(database, clock, ("A", "1"))
    await relay.relay_due()
    clock.moment += timedelta(minutes=2)
    await fill(database, clock, ("B", "2"), ("C", "3"))
    await relay.relay_due()
    async with database.read() as tx:
        found = (await tx.execute(sa.select(OUTBOX.c.attempts, OUTBOX.c.due_at).order_by(OUTBOX.c.id))).all()
    assert [row.attempts for row in found] == [2, 1, 1]
    waits = [(row.due_at - clock.moment).total_seconds() for row in found]
    assert 0.7 <= waits[0] <= 1.3
    assert all(0.35 <= wait <= 0.65 for wait in waits[1:])


async def test_an_entry_refused_for_good_does_not_block_the_others(database: Database) -> None:
    clock, receiver = Time(), Receiver()
    relay = Relay(database, OUTBOX, {"fact": receiver.receive}, clock)
    await fill(database, clock, ("A", "1"), ("A", "bad"), ("A", "2"))
    await relay.relay_due()
    assert receiver.got == ["1", "2"]
    async with database.read() as connection:
        refused = (await connection.execute(sa.select(OUTBOX.c.refused))).scalars().all()
    assert [reason.partition(":")[0] for reason in refused] == ["invalid"]


def test_ids_sort_behind_earlier_ones_although_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.time_ns()
    monkeypatch.setattr("sota.kit.runtime.clock.time.time_ns", lambda: moment)
    ids = [new_id() for _ in range(5_000)]  # more than are counted within a millisecond
    moment -= 3_600_000_000_000
    ids += [new_id() for _ in range(5_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


async def test_what_was_put_off_by_a_later_clock_is_sent_soon_and_in_its_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, receiver = Time(), Receiver()
    year = 365 * 86_400 * 1_000_000_000
    ahead = time.time_ns() + year
    with monkeypatch.context() as later:
        later.setattr("sota.kit.runtime.clock.time.time_ns", lambda: ahead)
        later.setattr("sota.kit.runtime.clock._ids", type(module._ids)())  # as in another process
        clock.moment += timedelta(days=365)
        await fill(database, clock, ("A", "installed"))
        clock.moment -= timedelta(days=365)
    monkeypatch.setattr("sota.kit.runtime.clock._ids", type(module._ids)())
    relay = Relay(database, OUTBOX, {"fact": receiver.receive}, clock)
    receiver.away = True
    running = asyncio.create_task(relay.run())
    await until(lambda: is_due(database, clock.moment + timedelta(minutes=2)), "the clock is followed")
    await fill(database, clock, ("A", "removed"))
    receiver.away = False

    async def are_sent() -> bool:
        clock.moment += timedelta(minutes=2)  # what was put off a moment ago is due
        relay.wake()
        return len(receiver.got) == 2

    await until(are_sent, "both are sent")
    running.cancel()
    assert receiver.got == ["installed", "removed"]


async def is_due(database: Database, latest: datetime) -> bool:
    async with database.read() as connection:
        return bool((await connection.execute(sa.select(OUTBOX.c.due_at))).scalar_one() <= latest)


async def test_a_receiver_that_hangs_holds_up_no_other(database: Database) -> None:
    clock, receiver, hanging = Time(), Receiver(), asyncio.Event()

    async def hang(_entries: list[OutboxEntry]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    relay = Relay(database, OUTBOX, {"slow": hang, "fact": receiver.receive}, clock)
    running = asyncio.create_task(relay.run())
    await database.transact(lambda tx: put(tx, OUTBOX, "slow", "S", "never", clock))
    relay.wake()
    await hanging.wait()
    await fill(database, clock, ("A", "1"))

    assert await relay.wait_until_sent("fact", 30)

    assert receiver.got == ["1"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_waiting_ends_when_what_stands_in_the_outbox_is_told_and_not_what_comes_later(
    database: Database,
) -> None:
    clock, receiver = Time(), Receiver()
    relay = Relay(database, OUTBOX, {"fact": receiver.receive}, clock)
    assert await relay.wait_until_sent("fact", 30)
    receiver.away = True
    await fill(database, clock, ("A", "1"), ("B", "2"))
    assert not await relay.wait_until_sent("fact", 0.05)

    receiver.away = False
    looked = asyncio.Event()
    sa.event.listen(database.reading_engine.sync_engine, "after_cursor_execute", lambda *_: looked.set())
    waiting = asyncio.create_task(relay.wait_until_sent("fact", 30))
    await looked.wait()
    await relay.relay_due()
    await fill(database, clock, ("C", "3"))

    assert await waiting
    assert "3" not in receiver.got


async def test_long_outbox_is_sent_in_batches_of_limited_size_and_in_order(database: Database) -> None:
    clock, receiver, sizes = Time(), Receiver(), list[int]()

    async def receive(entries: list[OutboxEntry]) -> None:
        sizes.append(len(entries))
        await receiver.receive(entries)

    relay = Relay(database, OUTBOX, {"fact": Delivery(receive, batch=600)}, clock)
    rows = [
        {"id": new_id(), "kind": "fact", "topic": f"T{number}", "payload": f'"{number:04}"', "due_at": clock.now()}
        for number in range(1500)
    ]
    rows[700]["payload"] = '"' + "x" * BATCH_BYTES + '"'
    await database.transact(lambda tx: tx.execute(OUTBOX.insert(), rows))

    while await relay.relay_due():
        pass

    assert sorted(sizes)[-1] <= 600
    assert sum(sizes) == 1500
    assert receiver.got == [payload.strip('"') for payload in _by_id(rows)]


def _by_id(rows: list[dict[str, Any]]) -> list[str]:
    return [row["payload"] for row in sorted(rows, key=lambda row: row["id"].bytes)]
