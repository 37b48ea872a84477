"""Many small SQLite files that share a few threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from sota.kit.database_threads import OneFile, SharedThreads
from sota.kit.local_database import LocalDatabase
from sota.kit.local_file import Connection

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
    threads = SharedThreads(threads=3, open_files=OPEN)
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
    threads.close()

    assert found == [[f"{number}-{count}" for count in range(3)] for number in range(FILES)]
    assert most <= OPEN
    assert open_in(tmp_path) == 0


async def test_files_for_which_many_wait_at_once_are_closed_and_opened_again(tmp_path: Path) -> None:
    threads = SharedThreads(threads=3, open_files=2)
    databases = [LocalDatabase(tmp_path / f"{number}.db", SCHEMA, threads) for number in range(8)]
    for database in databases:
        await database.open()

    async def work(number: int) -> None:
        for database in databases[number % 8 :] + databases[: number % 8]:
            await database.transact(inserting(str(number)))

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number) for number in range(40)))
    found = [sorted(await database.read(names), key=int) for database in databases]
    for database in databases:
        await database.close()
    threads.close()

    assert found == [[str(number) for number in range(40)]] * 8


async def test_programs_that_share_a_file_keep_their_own_tables_in_it(tmp_path: Path) -> None:
    threads = SharedThreads(threads=2, open_files=1)
    shared = OneFile(threads, tmp_path / "vehicle.db")
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
    threads.close()


async def test_a_file_that_is_open_and_idle_is_read_without_a_thread(tmp_path: Path) -> None:
    threads = SharedThreads(threads=1, open_files=1)
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
    threads.close()


async def test_the_work_of_one_file_keeps_its_order(tmp_path: Path) -> None:
    threads = SharedThreads(threads=4, open_files=1)
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
    threads.close()
