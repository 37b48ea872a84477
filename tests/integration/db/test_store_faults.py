"""Faults of a store at the level of one database: settings of the server, read-only, passwords, a server that hangs."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from sota.boundaries.interaction import Role
from sota.kit.errors import Unavailable
from sota.kit.sql import health as db_health
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.migrations import upgrade
from sota.kit.sql.settings import DatabaseSettings
from sota.web.accounts.service import add_account
from sota.web.sessions.model import Attempt
from sota.web.sessions.service import Sessions
from tests.support.databases import PASSWORD, MariaDbServer, running_mariadb
from tests.support.store_faults import SQL_MODES
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
ODD = sa.Table(
    "odd",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("content", sa.LargeBinary(300), nullable=False),
    sa.Column("text", sa.String(100), nullable=False),
)
REVISION = sa.Table("alembic_version", METADATA, sa.Column("version_num", sa.String(32), primary_key=True))
EVERY_BYTE = bytes(range(256))
TEXT = "a\\b 'c' \"d\" `e` || 100% \\"
# A driver puts the parameters into the text of a statement as the server's mode wants it.


@pytest.fixture(scope="module")
def own_server() -> Iterator[MariaDbServer]:
    """A server of our own, whose settings we change."""
    with running_mariadb() as server:
        yield server


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
        await database.transact(lambda tx: tx.execute(REVISION.insert().values(version_num="0001")))
        yield database
    finally:
        await database.close()


async def put(tx: Tx, id: int = 1) -> None:
    await tx.execute(ODD.insert().values(id=id, content=EVERY_BYTE, text=TEXT))


def user_of(url: str) -> str:
    return str(sa.make_url(url).username)


@pytest.mark.parametrize("mode", SQL_MODES)
async def test_servers_own_sql_mode_changes_nothing(own_server: MariaDbServer, mode: str) -> None:
    own_server.execute(
        f"SET GLOBAL sql_mode = '{mode}'", "SET GLOBAL sql_safe_updates = 1, GLOBAL sql_select_limit = 1"
    )
    try:
        async with opened(own_server.new_schema()) as database:
            await database.transact(put)
            await database.transact(lambda tx: put(tx, 2))
            for read in (database.read, database.read_one_moment):
                async with read() as tx:
                    rows = (await tx.execute(sa.select(ODD.c.content, ODD.c.text))).all()
                assert [tuple(row) for row in rows] == [(EVERY_BYTE, TEXT)] * 2
            with pytest.raises(DBAPIError, match="Data too long"):
                await database.transact(lambda tx: tx.execute(ODD.update().values(text="x" * 101)))
            await database.transact(lambda tx: tx.execute(ODD.delete()))
    finally:
        own_server.execute(
            "SET GLOBAL sql_mode = DEFAULT, GLOBAL sql_safe_updates = 0, GLOBAL sql_select_limit = DEFAULT"
        )


async def test_server_that_takes_no_writes_is_left_for_one_that_does(own_server: MariaDbServer) -> None:
    async with opened(own_server.new_schema()) as database:
        before = await connections(database)
        own_server.execute("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(Unavailable, match="takes no changes"):
                await database.transact(put)
            assert "1290" in (await database.trouble() or "") or "read-only" in (await database.trouble() or "")
            async with database.read() as tx:
                assert (await tx.execute(sa.select(ODD))).all() == []
        finally:
            own_server.execute("SET GLOBAL read_only = 0")
        await database.transact(put)
        assert before.isdisjoint(await connections(database))


async def connections(database: Database) -> set[int]:
    async def look(tx: Tx) -> int:
        return int((await tx.execute(sa.text("SELECT CONNECTION_ID()"))).scalar_one())

    return {await database.transact(look)}


async def test_password_that_is_changed_is_read_again_and_told_in_one_line(
    own_server: MariaDbServer, tmp_path: Path
) -> None:
    url = own_server.new_schema()
    user, file = user_of(url), tmp_path / "password"
    file.write_text(PASSWORD)
    plain = sa.make_url(url).set(password=None).render_as_string(hide_password=False)
    async with opened(url):
        database = Database.of(DatabaseSettings(database=plain, database_password_file=file))
        await database.check()
        own_server.execute(f"ALTER USER {user}@'127.0.0.1' IDENTIFIED BY 'a new one'", f"KILL CONNECTION USER {user}")
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await database.transact(put)
        told = [entry for entry in logs if entry["event"] == "database_fails"]
        assert len(told) == 1
        assert "rejects the connection: wrong user, password or schema (1045)" in told[0]["reason"]
        assert "exc_info" not in told[0]
        assert "rejects the connection" in (await database.trouble() or "")
        file.write_text("a new one")
        await database.transact(put)
        assert await database.trouble() is None
        await database.close()


async def test_server_that_hangs_fails_what_waits_and_what_comes(
    own_server: MariaDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_health, "SLOW_S", 0.5)
    monkeypatch.setattr(db_health, "PROBE_S", 0.5)
    async with opened(own_server.new_schema()) as database:
        await database.transact(put)
        own_server.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):  # the old limit was five minutes
                waiting = [
                    asyncio.create_task(database.transact(lambda tx, id=id: put(tx, id)))  # type: ignore[misc]
                    for id in range(2, 40)
                ]
                ended = await asyncio.gather(*waiting, read_all(database), return_exceptions=True)
                assert {type(end) for end in ended} == {Unavailable}
                assert "does not answer" in (await database.trouble() or "")
        finally:
            own_server.signal(signal.SIGCONT)

        async def works() -> bool:
            try:
                await database.transact(lambda tx: put(tx, 1000))
            except Unavailable:
                return False
            return True

        await until(works, "the server answers again")
        assert 1000 in await read_all(database)


async def test_slow_statement_of_a_server_that_answers_goes_on(
    own_server: MariaDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_health, "SLOW_S", 0.1)
    monkeypatch.setattr(db_health, "LOOK_S", 0.05)
    async with opened(own_server.new_schema()) as database, database.read() as tx:
        assert (await tx.execute(sa.text("SELECT SLEEP(1.5)"))).scalar_one() == 0


async def read_all(database: Database) -> list[int]:
    async with database.read() as tx:
        return list((await tx.execute(sa.select(ODD.c.id))).scalars())


async def test_killed_connections_fail_no_request(own_server: MariaDbServer) -> None:
    url = own_server.new_schema()
    async with opened(url) as database:
        for turn in (1, 2, 3):
            await asyncio.gather(*(read_all(database) for _ in range(10)))
            own_server.execute(f"KILL CONNECTION USER {user_of(url)}")
            await asyncio.gather(*(read_all(database) for _ in range(10)))
            await database.transact(lambda tx, id=turn: put(tx, id))  # type: ignore[misc]
        assert sorted(await read_all(database)) == [1, 2, 3]


async def test_file_that_another_process_holds_is_busy_and_not_a_fault_of_ours(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/test.db") as database:
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert await read_all(database) == []
        finally:
            other.execute("ROLLBACK")
            other.close()
        await database.transact(put)
        assert await database.trouble() is None


async def test_file_that_is_no_database_any_more_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    async with opened(f"sqlite:///{file}") as database:
        await database.transact(put)
    whole = file.read_bytes()
    database = Database(f"sqlite:///{file}")
    try:
        file.write_bytes(b"no database" * 1000)
        with pytest.raises(Unavailable):
            await read_all(database)
        with pytest.raises(Unavailable):
            await database.transact(put)
        assert "not a database" in (await database.trouble() or "")
        file.write_bytes(whole)
        assert await read_all(database) == [1]
    finally:
        await database.close()


@dataclass(slots=True)
class Moment:
    at: datetime

    def now(self) -> datetime:
        return self.at


async def test_session_is_found_where_it_cannot_be_extended(own_server: MariaDbServer) -> None:
    database, clock = Database(own_server.new_schema()), Moment(datetime(2026, 3, 1, tzinfo=UTC))
    await upgrade(database, "sota.web.migrations")
    await add_account(database, "alice", Role.OPERATOR, "a password of alice")
    sessions = Sessions(database, clock, idle_s=1800, limit_s=12 * 3600)
    session = await sessions.sign_in(Attempt("alice", "192.0.2.1"), "a password of alice", replaces=None)
    assert session is not None
    clock.at += timedelta(minutes=20)
    own_server.execute("SET GLOBAL read_only = 1")
    try:
        assert await sessions.find(session.token) is not None
    finally:
        own_server.execute("SET GLOBAL read_only = 0")
    clock.at += timedelta(minutes=20)
    assert await sessions.find(session.token) is None
    await database.close()
