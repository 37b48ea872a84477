"""The vehicle's own SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from sota.kit.errors import StartError, Unavailable
from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection, LocalFile
from sota.kit.sql.local_threads import OwnThread

FIRST = "CREATE TABLE thing (name TEXT PRIMARY KEY)"
SECOND = "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 1"


def names(tx: Connection) -> list[str]:
    return [row["name"] for row in tx.execute("SELECT name FROM thing ORDER BY name")]


def insert(tx: Connection) -> None:
    tx.execute("INSERT INTO thing(name) VALUES ('one')")


async def test_what_is_written_is_there_after_opening_again(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()
    await database.transact(insert)
    await database.close()

    newer = LocalDatabase(tmp_path / "x.db", (FIRST, SECOND))
    await newer.open()

    assert await newer.read(names) == ["one"]
    assert await newer.read(lambda tx: tx.execute("SELECT size FROM thing").fetchone()["size"]) == 1
    await newer.close()


async def test_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()

    def fail(tx: Connection) -> None:
        insert(tx)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await database.transact(fail)

    assert await database.read(names) == []
    await database.close()


async def test_cancelled_caller_leaves_a_whole_transaction(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()
    task = asyncio.create_task(database.transact(insert))
    await asyncio.sleep(0)
    task.cancel()

    assert await database.read(names) == ["one"]
    await database.close()


async def test_disk_that_cannot_sync_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()

    def fail(_file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("sota.kit.sql.local_file.sync_content", fail)

    with pytest.raises(Unavailable, match="Input/output"):
        await database.transact(insert)
    await database.close()


async def test_what_was_read_is_recalled_until_something_is_written(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()
    reads: list[list[str]] = []

    def look(tx: Connection) -> list[str]:
        reads.append(names(tx))
        return reads[-1]

    assert await database.recall("names", look) == await database.recall("names", look) == []
    writing = asyncio.create_task(database.transact(insert))
    await asyncio.sleep(0)  # it is under way: what is read now, and what was known before, counts no more after it
    during = await database.recall("names", look)
    await writing

    assert await database.recall("names", look) == ["one"]
    assert during == ["one"]
    assert len(reads) == 3
    await database.close()


async def test_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    newer = LocalDatabase(tmp_path / "x.db", (FIRST, SECOND))
    await newer.open()
    await newer.close()

    with pytest.raises(StartError, match="newer version"):
        await LocalDatabase(tmp_path / "x.db", (FIRST,)).open()


async def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such table: nowhere"):
        await LocalDatabase(tmp_path / "x.db", (FIRST, f"{SECOND}; INSERT INTO nowhere VALUES (1)")).open()

    mended = LocalDatabase(tmp_path / "x.db", (FIRST, SECOND))
    await mended.open()
    await mended.transact(insert)
    assert await mended.read(names) == ["one"]
    await mended.close()


async def test_every_commit_that_counts_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "sota.kit.sql.local_file.sync_content",
        lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().name),
    )
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()

    await database.transact(insert)
    assert synced == ["x.db-wal"]
    await database.transact(lambda tx: tx.execute("DELETE FROM thing"), durable=False)
    assert synced == ["x.db-wal"]

    def look(tx: Connection) -> tuple[str, int]:
        (mode,), (synchronous,) = (tx.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous"))
        return mode, synchronous

    assert await database.read(look) == ("wal", 1)
    await database.close()
    with pytest.raises(Unavailable):
        await LocalDatabase(tmp_path / "x.db", (FIRST,)).read(names)


async def test_locked_file_is_unavailable_for_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sota.kit.sql.local_file.BUSY_TIMEOUT_S", 0.05)
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable):
        await database.transact(insert)

    other.execute("ROLLBACK")
    other.close()
    await database.transact(insert)
    await database.close()


async def test_file_that_opens_for_a_cancelled_caller_is_closed(tmp_path: Path) -> None:
    file, threads, go = tmp_path / "x.db", OwnThread("x"), threading.Event()
    holding = asyncio.create_task(threads.run(LocalFile(file), lambda: go.wait(30)))
    await asyncio.sleep(0)
    opening = asyncio.create_task(LocalDatabase(file, (FIRST,), threads).open())
    await asyncio.sleep(0)  # its work waits for the thread
    opening.cancel()
    go.set()

    with pytest.raises(asyncio.CancelledError):
        await opening

    assert await holding
    assert file.exists()
    descriptors = list(Path("/proc/self/fd").iterdir())  # noqa: ASYNC240 - a folder in memory
    assert file not in [each.readlink() for each in descriptors if each.is_symlink()]


async def test_closed_file_can_be_opened_again(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "x.db", (FIRST,))
    await database.open()
    await database.transact(insert)
    before = await database.read(names)
    await database.close()
    await database.open()
    assert await database.read(names) == before
    await database.close()
