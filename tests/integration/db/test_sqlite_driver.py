"""SQLite's driver: a transaction begins with its first statement, and ends as any other does."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sota.kit.sql.database import Database
from sota.kit.sql.sqlite_driver import Connection, connect

pytestmark = pytest.mark.anyio
LINE = sa.Table("line", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String(20)))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/a.db")
    async with made.engine.begin() as tx:
        await tx.run_sync(LINE.metadata.create_all)
    yield made
    await made.close()


async def lines(database: Database) -> list[Any]:
    async with database.read() as tx:
        return list((await tx.execute(sa.select(LINE.c.id).order_by(LINE.c.id))).scalars())


async def test_statement_gives_its_rows_its_count_and_its_number(database: Database) -> None:
    async with database.engine.begin() as tx:
        assert (await tx.execute(LINE.insert().values(text="a"))).inserted_primary_key == (1,)
        await tx.execute(LINE.insert(), [{"id": number, "text": "b"} for number in (2, 3, 4)])
        assert (await tx.execute(LINE.update().where(LINE.c.id > 2).values(text="c"))).rowcount == 2
        assert (await tx.execute(LINE.delete().where(LINE.c.id == 4).returning(LINE.c.text))).all() == [("c",)]
    assert await lines(database) == [1, 2, 3]


async def test_what_is_rolled_back_is_gone_and_the_next_transaction_begins_empty(database: Database) -> None:
    async def insert(tx: Any, number: int) -> None:
        await tx.execute(LINE.insert().values(id=number))
        if number == 1:
            raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        await database.transact(lambda tx: insert(tx, 1))
    await database.transact(lambda tx: insert(tx, 2))
    assert await lines(database) == [2]


async def test_transaction_without_statements_leaves_nothing_open(database: Database, tmp_path: Path) -> None:
    async def nothing(_tx: Any) -> None: ...

    await database.transact(nothing)
    other = sqlite3.connect(tmp_path / "a.db", timeout=0.1, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # no other connection writes
    other.execute("INSERT INTO line (id) VALUES (7)")
    other.execute("COMMIT")
    other.close()
    assert await lines(database) == [7]


async def test_statement_that_fails_leaves_the_transaction_to_its_owner(database: Database) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(LINE.insert().values(id=1))
        with pytest.raises(sa.exc.IntegrityError):
            await tx.execute(LINE.insert().values(id=1))
        await tx.execute(LINE.insert().values(id=2))

    await database.transact(work)
    assert await lines(database) == [1, 2]


async def test_transaction_that_is_cancelled_in_a_statement_changes_nothing(database: Database) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(LINE.insert().values(id=1))
        await asyncio.sleep(60)

    task = asyncio.create_task(database.transact(work))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await database.transact(lambda tx: tx.execute(LINE.insert().values(id=2)))
    assert await lines(database) == [2]


async def test_connection_stopped_while_it_closes_is_closed(tmp_path: Path) -> None:
    connection = await connect(str(tmp_path / "b.db"))
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)  # it has begun
    connection.stop()
    async with asyncio.timeout(10):
        await closing
    with pytest.raises(ValueError, match="no active connection"):
        await connection.run(lambda cursor: cursor.execute("SELECT 1"))


def test_thread_ends_with_its_event_loop(tmp_path: Path) -> None:
    async def leave_open() -> tuple[Connection, set[threading.Thread]]:
        before = set(threading.enumerate())
        connection = await connect(str(tmp_path / "b.db"))
        return connection, set(threading.enumerate()) - before

    connection, threads = asyncio.run(leave_open())
    assert len(threads) == 1
    connection.stop()
    connection.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


async def test_file_that_opens_for_a_cancelled_caller_is_closed(tmp_path: Path) -> None:
    entered, go, closed = threading.Event(), threading.Event(), threading.Event()

    class Noted(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            closed.set()

    def opener() -> sqlite3.Connection:
        entered.set()
        go.wait(30)
        return sqlite3.connect(tmp_path / "a.db", factory=Noted)

    opening = asyncio.create_task(Connection(opener).open())
    await asyncio.to_thread(entered.wait, 30)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go.set()

    assert await asyncio.to_thread(closed.wait, 30)


async def test_dropped_connection_ends_its_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    connection = await connect(str(tmp_path / "b.db"))
    (thread,) = set(threading.enumerate()) - before
    del connection
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_thread_ends_where_the_loop_closed_while_a_statement_ran(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(cursor: sqlite3.Cursor) -> None:
        started.set()
        go_on.wait(10)
        cursor.execute("SELECT 1")

    async def leave_running() -> threading.Thread:
        before = set(threading.enumerate())
        connection = await connect(str(tmp_path / "b.db"))
        (thread,) = set(threading.enumerate()) - before
        running = asyncio.create_task(connection.run(work))
        assert await asyncio.to_thread(started.wait, 10)
        running.cancel()
        kept.append(connection)
        return thread

    kept: list[Connection] = []
    thread = asyncio.run(leave_running())
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
