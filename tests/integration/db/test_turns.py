"""SQLite under fifty readers and writers at once: none gets "database is locked", and none waits indefinitely.

SQLite has one writer; other writers wait in a queue of ours. The bound is a count: how many may be served between
a writer's request and its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.kit.errors import Unavailable
from sota.kit.sql import database as db
from sota.kit.sql.database import Database, Tx

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
LINE = sa.Table(
    "line",
    METADATA,
    sa.Column("worker", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
)
WORKERS, ROUNDS = 25, 8


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
    yield database
    await database.close()


class Turns:
    """Counts who came in between asking for the database and having it."""

    def __init__(self) -> None:
        self.given, self.longest = 0, 0

    def ask(self) -> int:
        return self.given

    def take(self, asked: int) -> None:
        self.longest = max(self.longest, self.given - asked)
        self.given += 1


async def write(database: Database, turns: Turns, worker: int, number: int) -> None:
    asked = turns.ask()

    async def work(tx: Tx) -> None:
        turns.take(asked)
        await tx.execute(LINE.insert().values(worker=worker, number=number))

    await database.transact(work)


async def read(database: Database, turns: Turns, _worker: int = 0, _number: int = 0) -> None:
    asked = turns.ask()
    async with database.read() as tx:
        turns.take(asked)
        counts = sa.select(LINE.c.worker, sa.func.count()).group_by(LINE.c.worker)
        first = (await tx.execute(counts)).all()
        assert (await tx.execute(counts)).all() == first, "a read saw two states"


async def work_in_turn(
    database: Database, act: Callable[[Database, Turns, int, int], Awaitable[None]], turns: Turns, worker: int
) -> None:
    for number in range(ROUNDS):
        await act(database, turns, worker, number)


async def test_fifty_readers_and_writers_all_get_their_turn(database: Database) -> None:
    writes, reads = Turns(), Turns()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(work_in_turn(database, write, writes, worker))
            group.create_task(work_in_turn(database, read, reads, worker))
    async with database.read() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(LINE))).scalar() == WORKERS * ROUNDS
    assert (writes.given, reads.given) == (WORKERS * ROUNDS, WORKERS * ROUNDS)
    # In order: before me come those who asked before me, and no one of them twice.
    assert writes.longest <= WORKERS
    assert reads.longest <= WORKERS + db.SQLITE_READERS


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    reads = Turns()

    async def look_meanwhile(tx: Tx) -> None:
        await tx.execute(LINE.insert().values(worker=0, number=0))
        await read(database, reads)

    await database.transact(look_meanwhile)
    assert reads.given == 1


async def test_writer_that_waits_too_long_for_its_turn_gets_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "TURN_TIMEOUT_S", 0.05)

    async def hold(_tx: Tx) -> None:
        with pytest.raises(Unavailable, match="too much to do"):
            await write(database, Turns(), 0, 0)

    await database.transact(hold)
    await write(database, Turns(), 0, 1)


async def test_what_takes_too_long_is_ended_and_undone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LIMIT_S", 0.2)

    async def dawdle(tx: Tx) -> None:
        await tx.execute(LINE.insert().values(worker=0, number=0))
        await asyncio.sleep(60)

    with pytest.raises(Unavailable, match="took too long"):
        await database.transact(dawdle)
    await write(database, Turns(), 0, 0)


async def test_who_writes_much_lets_others_finish_first(database: Database) -> None:
    order: list[str] = []
    begun = asyncio.Event()

    async def write_much() -> None:
        async def work(_tx: Tx) -> None:
            order.append("much")
            begun.set()
            await asyncio.sleep(0.05)

        for _ in range(2):
            await database.transact(work)
            await database.give_way(10.0)

    async def write_twice() -> None:
        async def work(_tx: Tx) -> None:
            order.append("little")

        await begun.wait()
        for _ in range(2):
            await database.transact(work)

    await asyncio.gather(write_much(), write_twice())
    assert order == ["much", "little", "little", "much"]


async def test_giving_way_ends(database: Database) -> None:
    held, done = asyncio.Event(), asyncio.Event()

    async def work(_tx: Tx) -> None:
        held.set()
        await done.wait()

    other = asyncio.create_task(database.transact(work))
    await held.wait()
    await database.give_way(0.01)
    assert not other.done()
    done.set()
    await other
    async with asyncio.timeout(5):
        await database.transact(lambda tx: tx.execute(sa.select(LINE)))
