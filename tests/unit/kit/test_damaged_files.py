"""Local files that a bad disk has damaged are set aside, and programs begin again; passing errors change nothing."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sota.boundaries.binding.service_credentials import keep_secret
from sota.fleet.database_threads import FleetThreads, VehicleThreads
from sota.kit.errors import StartError, Unavailable
from sota.kit.files import set_aside as module
from sota.kit.files.set_aside import find_set_aside, is_damage, set_aside
from sota.kit.security.tls import ensure_certificate, serving
from sota.kit.sql.local_database import Damaged, LocalDatabase
from sota.kit.sql.local_file import Connection

SCHEMA = ("CREATE TABLE thing (name TEXT PRIMARY KEY, body BLOB)",)
PAGE = 4096


def names(tx: Connection) -> list[str]:
    return [row["name"] for row in tx.execute("SELECT name FROM thing ORDER BY name")]


def bodies(tx: Connection) -> list[list[int]]:
    return [msgspec.json.decode(row["body"], type=list[int]) for row in tx.execute("SELECT body FROM thing")]


def insert_many(tx: Connection) -> None:
    rows = [(f"name-{number:04}", b"[%d]" % number) for number in range(500)]
    tx.executemany("INSERT INTO thing VALUES (?, ?)", rows)


def random_bytes(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(8 * PAGE))


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2 + 100])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def one_page(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[3 * PAGE : 4 * PAGE] = random.Random(2).randbytes(PAGE)
    file.write_bytes(content)


async def filled(file: Path) -> LocalDatabase:
    database = LocalDatabase(file, SCHEMA)
    await database.open()
    await database.transact(insert_many)
    return database


@pytest.mark.parametrize("damage", [random_bytes, cut, emptied, one_page])
async def test_a_file_damaged_while_no_program_ran_is_set_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    await (await filled(tmp_path / "x.db")).close()
    damage(tmp_path / "x.db")
    content = (tmp_path / "x.db").read_bytes()

    database = LocalDatabase(tmp_path / "x.db", SCHEMA)
    await database.open()

    assert await database.read(names) == []
    assert await database.begun_again()
    await database.transact(insert_many)
    await database.close()
    [kept] = find_set_aside(tmp_path / "x.db")
    assert kept.read_bytes() == content
    assert kept.name.startswith("x.db.damaged-2")


async def test_that_it_was_lost_is_known_until_it_is_settled(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database")
    for settled in (False, True):
        database = LocalDatabase(tmp_path / "x.db", SCHEMA)
        await database.open()
        assert await database.begun_again()
        if settled:
            await database.settle()
        await database.close()

    again = LocalDatabase(tmp_path / "x.db", SCHEMA)
    await again.open()
    assert not await again.begun_again()
    await again.close()


async def test_a_new_file_was_not_lost_unless_one_was_set_aside_before_it(tmp_path: Path) -> None:
    new = LocalDatabase(tmp_path / "x.db", SCHEMA)
    await new.open()
    assert not await new.begun_again()
    await new.close()

    set_aside(tmp_path / "x.db")  # and here the power goes
    after = LocalDatabase(tmp_path / "x.db", SCHEMA)
    await after.open()
    assert await after.begun_again()
    await after.close()


async def test_a_page_damaged_while_the_program_runs_begins_the_file_again(tmp_path: Path) -> None:
    database = await filled(tmp_path / "x.db")
    await database.transact(lambda tx: tx.execute("CREATE TABLE other (name TEXT)"))
    told = asyncio.Event()
    database.on_begun_again = told.set
    assert database._file.connection is not None
    await database.read(lambda tx: tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    await database.read(lambda tx: tx.execute("PRAGMA cache_size = 0").fetchall())
    with (tmp_path / "x.db").open("r+b") as file:
        for page in range(1, 6):
            file.seek(page * PAGE)
            file.write(random.Random(3).randbytes(PAGE))

    with pytest.raises(Damaged):
        await database.transact(lambda tx: tx.execute("INSERT INTO thing VALUES ('name-0250a', '')"))

    await told.wait()
    assert await database.read(names) == []
    await database.transact(insert_many)
    assert await database.begun_again()
    assert len(find_set_aside(tmp_path / "x.db")) == 1
    await database.close()


@pytest.mark.parametrize("body", [b"[1", b'["one"]', b"\xff\xfe"])
async def test_a_row_that_cannot_be_understood_begins_the_file_again(tmp_path: Path, body: bytes) -> None:
    database = await filled(tmp_path / "x.db")
    await database.transact(lambda tx: tx.execute("UPDATE thing SET body = ? WHERE name = 'name-0007'", (body,)))

    with pytest.raises(Unavailable, match="begun again"):
        await database.read(bodies)

    assert await database.read(bodies) == []
    await database.close()


async def test_a_text_that_is_not_utf8_begins_the_file_again(tmp_path: Path) -> None:
    database = await filled(tmp_path / "x.db")
    await database.transact(lambda tx: tx.execute("INSERT INTO thing(name) VALUES (CAST(x'ff41' AS TEXT))"))

    with pytest.raises(Damaged):
        await database.read(names)

    assert await database.read(names) == []
    await database.close()


async def test_programs_that_share_a_damaged_file_all_begin_again(tmp_path: Path) -> None:
    threads = FleetThreads(threads=1, open_files=2)
    shared = VehicleThreads(threads, tmp_path / "vehicle.db")
    other_schema = ("CREATE TABLE other (name TEXT)",)
    one = LocalDatabase(tmp_path / "one.db", SCHEMA, shared)
    other = LocalDatabase(tmp_path / "other.db", other_schema, shared)
    heard: list[str] = []
    for database in (one, other):
        await database.open()
    other.on_begun_again = lambda: heard.append("other")
    await other.transact(lambda tx: tx.execute("INSERT INTO other VALUES ('before')"))

    def look(tx: Connection) -> int:
        return int(tx.execute("SELECT COUNT(*) FROM other").fetchone()[0])

    assert await other.recall("count", look) == 1
    await one.transact(lambda tx: tx.execute("INSERT INTO thing VALUES ('a', x'ff')"))
    with pytest.raises(Damaged):
        await one.read(bodies)

    assert await other.recall("count", look) == 0
    assert await one.read(names) == []
    assert await one.begun_again()
    assert await other.begun_again()
    await asyncio.sleep(0)
    assert heard == ["other"]
    for database in (one, other):
        await database.close()
    threads.disk.close()


@pytest.mark.parametrize(
    "passing",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.IntegrityError("UNIQUE constraint failed"),
        ValueError("a mistake of the program"),
        OSError(5, "Input/output error"),
    ],
)
async def test_an_error_that_may_pass_sets_nothing_aside(tmp_path: Path, passing: Exception) -> None:
    database = await filled(tmp_path / "x.db")

    def fail(_tx: Connection) -> None:
        raise passing

    for work in (database.read, database.transact):
        with pytest.raises((Unavailable, ValueError)):
            await work(fail)

    assert len(await database.read(names)) == 500
    assert not await database.begun_again()
    assert find_set_aside(tmp_path / "x.db") == []
    await database.close()


async def test_a_locked_file_is_not_taken_for_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sota.kit.sql.local_file.BUSY_TIMEOUT_S", 0.05)
    await (await filled(tmp_path / "x.db")).close()
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StartError, match="locked"):
        await LocalDatabase(tmp_path / "x.db", SCHEMA).open()

    other.close()
    assert find_set_aside(tmp_path / "x.db") == []


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(module.KEPT + 3):
        (tmp_path / "x.db").write_text(str(number))
        (tmp_path / "x.db-wal").write_text(str(number))
        set_aside(tmp_path / "x.db")

    found = find_set_aside(tmp_path / "x.db")

    assert [each.read_text() for each in found] == ["3", "4", "5"]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        name for each in found for name in (each.name, f"{each.name}-wal")
    )


def test_a_folder_is_set_aside_under_a_reason_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()

    new = set_aside(tmp_path / "data", "of-another-vehicle")

    assert (new / "file").exists()
    assert not (tmp_path / "data").exists()
    assert new.name.startswith("data.of-another-vehicle-")
    assert find_set_aside(tmp_path / "data") == []


def test_what_shows_damage_is_told_from_what_may_pass() -> None:
    damaged = sqlite3.DatabaseError("malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX
    full = sqlite3.OperationalError("full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert is_damage(damaged)
    assert not is_damage(full)


@pytest.mark.parametrize("content", [b"", b"\x00" * 43, b"../../etc/passwd", b"short", b"\xff" * 43])
def test_a_damaged_secret_is_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "callback.secret").write_bytes(content)

    secret = keep_secret(tmp_path / "callback.secret")

    assert len(secret) == 43
    assert secret == keep_secret(tmp_path / "callback.secret")
    assert [each.read_bytes() for each in find_set_aside(tmp_path / "callback.secret")] == [content]


@pytest.mark.parametrize("name", ["web.pem", "web.key"])
def test_a_damaged_certificate_of_our_own_making_is_made_again(tmp_path: Path, name: str) -> None:
    ensure_certificate(tmp_path)
    (tmp_path / name).write_bytes(b"damaged")

    serving(*ensure_certificate(tmp_path))
