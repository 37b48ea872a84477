"""Many small SQLite files that share a few threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sota.fleet.database_threads import FleetThreads, VehicleThreads
from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection, LocalFile

SCHEMA = ("CREATE TABLE thing (name TEXT)",)
FILES, OPEN = 40, 5


def names(tx: Connection) -> list[str]:
    return [row["name"] for row in tx.execute("SELECT name FROM thing ORDER BY rowid")]


def inserting(name: str) -> Callable[[Connection], None]:
    def insert(tx: Connection) -> None:
        tx.execute("INSERT INTO thing VALUES (?)", (name,))

    return insert


def open_in(folder: Path) -> int:
    """Count the databases of a folder that this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own is closed meanwhile
            found.add(str(link.readlink()))
    return len([name for name in found if name.startswith(str(folder)) and name.endswith(".db")])


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_only_so_many_files_are_open_and_none_loses_anything(tmp_path: Path) -> None:
    threads = FleetThreads(threads=3, open_files=OPEN)
    databases = [LocalDatabase(tmp_path / f"{number}.db", SCHEMA, threads) for number in range(FILES)]
    most = 0

    async def work(database: LocalDatabase, number: int) -> None:
        nonlocal most
        await database.open()
        for count in range(3):
            await database.transact(inserting(f"{number}-{count}"))
            most = max(most, open_in(tmp_path))

    await asyncio.gather(*(work(database, number) for number, database in enumerate(databases)))
    found = [await database.read(names) for database in databases]
    for database in databases:
        await database.close()
    threads.disk.close()

    assert found == [[f"{number}-{count}" for count in range(3)] for number in range(FILES)]
    assert most <= OPEN
    assert open_in(tmp_path) == 0


class SlowlyClosed(LocalFile):
    """A file that closes slowly."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_closing, self.may_close = threading.Event(), threading.Event()

    def release(self) -> None:
        self.is_closing.set()
        assert self.may_close.wait(10)
        super().release()


class WithSlowFiles(FleetThreads):
    def file(self, path: Path) -> LocalFile:
        return SlowlyClosed(path)


async def test_where_every_open_file_is_busy_one_that_closes_is_waited_for(tmp_path: Path) -> None:
    threads = WithSlowFiles(threads=2, open_files=1)
    files = [threads.file(tmp_path / name) for name in ("one.db", "other.db")]
    one, other = cast(list[SlowlyClosed], files)
    await threads.run(one, one.opened)

    leaving = asyncio.create_task(threads.leave(one))
    await asyncio.to_thread(one.is_closing.wait, 10)
    opening = asyncio.create_task(threads.run(other, other.opened))
    await asyncio.sleep(0.05)
    assert not opening.done()
    assert open_in(tmp_path) == 1
    one.may_close.set()

    async with asyncio.timeout(10):
        await asyncio.gather(leaving, opening)
    assert other.is_loaded
    assert not one.is_loaded
    other.may_close.set()
    await threads.leave(other)
    threads.disk.close()


async def test_programs_that_share_a_file_keep_their_own_tables_in_it(tmp_path: Path) -> None:
    threads = FleetThreads(threads=2, open_files=1)
    shared = VehicleThreads(threads, tmp_path / "vehicle.db")
    other_schema = ("CREATE TABLE other (name TEXT)", "INSERT INTO other VALUES ('first')")

    def programs() -> tuple[LocalDatabase, LocalDatabase]:
        return (
            LocalDatabase(tmp_path / "one.db", SCHEMA, shared),
            LocalDatabase(tmp_path / "other.db", other_schema, shared),
        )

    one, other = programs()
    await one.open()
    await other.open()
    await asyncio.gather(*(one.transact(inserting(name)) for name in "abc"))
    await one.close()
    assert await other.read(lambda tx: tx.execute("SELECT name FROM other").fetchone()["name"]) == "first"
    await other.close()
    assert open_in(tmp_path) == 0

    one, other = programs()  # as after a restart: neither gets its schema twice
    await one.open()
    await other.open()
    assert await one.read(names) == ["a", "b", "c"]
    assert files_in(tmp_path) == {"vehicle.db", "vehicle.db-wal"}
    await one.close()
    await other.close()
    threads.disk.close()


async def test_a_file_that_is_open_and_idle_is_read_without_a_thread(tmp_path: Path) -> None:
    threads = FleetThreads(threads=1, open_files=1)
    one, other = (LocalDatabase(tmp_path / name, SCHEMA, threads) for name in ("one.db", "other.db"))
    seen: list[bool] = []

    def look(tx: Connection) -> list[str]:
        seen.append(threading.current_thread() is threading.main_thread())
        return names(tx)

    await one.open()
    await one.transact(inserting("x"))
    assert await one.read(look) == ["x"]
    await other.open()  # closes the first for now
    assert await one.read(look) == ["x"]

    assert seen == [True, False]
    await one.close()
    await other.close()
    threads.disk.close()


async def test_the_work_of_one_file_keeps_its_order(tmp_path: Path) -> None:
    threads = FleetThreads(threads=4, open_files=1)
    one, other = (LocalDatabase(tmp_path / name, SCHEMA, threads) for name in ("one.db", "other.db"))
    await one.open()
    await other.open()

    await asyncio.gather(
        *(database.transact(inserting(f"{count:02}")) for count in range(30) for database in (one, other))
    )

    expected = [f"{count:02}" for count in range(30)]
    assert await one.read(names) == expected
    assert await other.read(names) == expected
    await one.close()
    await other.close()
    threads.disk.close()
