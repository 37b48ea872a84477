"""SQLite under fifty readers and writers at once: nobody is told that it is locked, and nobody waits for ever.

SQLite has one writer; whoever writes waits in a queue of ours. Bounds are counts: how far the quickest may be ahead of
the slowest, and how many may be in the database at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.kit import db
from sota.kit.db import Database, Tx
from sota.kit.errors import Unavailable

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


async def write(database: Database, worker: int, number: int) -> None:
    await database.transact(lambda tx: tx.execute(LINE.insert().values(worker=worker, number=number)))


async def read(database: Database, worker: int, number: int) -> None:
    async with database.read() as tx:
        counts = sa.select(LINE.c.worker, sa.func.count()).group_by(LINE.c.worker)
        first = (await tx.execute(counts)).all()
        assert (await tx.execute(counts)).all() == first, "a read saw two states"


async def work_in_turn(
    database: Database, act: Callable[[Database, int, int], Awaitable[None]], worker: int, ended: list[int]
) -> None:
    for number in range(ROUNDS):
        await act(database, worker, number)
        ended.append(worker)


def lead(ended: list[int]) -> int:
    """Give how many rounds somebody was ahead of somebody else, at the worst moment."""
    done, worst = dict.fromkeys(range(WORKERS), 0), 0
    for worker in ended:
        done[worker] += 1
        worst = max(worst, max(done.values()) - min(done.values()))
    return worst


async def test_fifty_readers_and_writers_all_get_their_turn(database: Database) -> None:
    writes: list[int] = []
    reads: list[int] = []
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(work_in_turn(database, write, worker, writes))
            group.create_task(work_in_turn(database, read, worker, reads))
    async with database.read() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(LINE))).scalar() == WORKERS * ROUNDS
    assert (len(writes), len(reads)) == (WORKERS * ROUNDS, WORKERS * ROUNDS)
    # Turns are strict; what is measured is when a worker hears of its own end, which may be one round later.
    assert lead(writes) <= 2
    assert lead(reads) <= 3


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    reads: list[int] = []

    async def look_meanwhile(tx: Tx) -> None:
        await tx.execute(LINE.insert().values(worker=0, number=0))
        await work_in_turn(database, read, 1, reads)

    await database.transact(look_meanwhile)
    assert len(reads) == ROUNDS


async def test_whoever_waits_too_long_for_a_turn_is_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "TURN_TIMEOUT_S", 0.05)

    async def hold(_tx: Tx) -> None:
        with pytest.raises(Unavailable, match="too much to do"):
            await write(database, 0, 0)

    await database.transact(hold)
    await write(database, 0, 1)


async def test_what_takes_too_long_is_ended_and_undone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LIMIT_S", 0.2)

    async def dawdle(tx: Tx) -> None:
        await tx.execute(LINE.insert().values(worker=0, number=0))
        await asyncio.sleep(60)

    with pytest.raises(Unavailable, match="took too long"):
        await database.transact(dawdle)
    await write(database, 0, 0)
