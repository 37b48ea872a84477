"""The database behind a program: SQLite by default, MariaDB by URL, one behaviour.

Rules kept here:

* every write is one transaction, opened at the program's edge by :meth:`Database.transact`; it is repeated when the
  engine aborted it (deadlock, lock time-out, lost connection), so its work must do nothing but SQL;
* a transaction whose connection is lost *while it commits* is not repeated: it may have been committed, and only the
  caller knows whether a repetition does harm;
* reads use connections of their own (:meth:`Database.read`); a statement is repeated when its connection is lost;
* a database that is down, hangs, is full, read-only or damaged raises ``Unavailable``, whatever the engine's error;
* connections are handed out in the order of the requests for them, and every wait has a time-out;
* wrong credentials and an untrusted certificate stop the program at start with one clear line and exit code 2; there
  is no fall-back.

A URL is ``sqlite:///var/core.db`` or ``mysql://user@host:3306/schema``; the password comes from a file or from the
URL. A program opens its database by :meth:`Database.of`, from its settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sota.kit.errors import SotaError, StartError, Unavailable
from sota.kit.runtime import faults
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.turns import take_turn
from sota.kit.sql import errors as db_errors
from sota.kit.sql.engines import Address, asking_engine, mariadb_engine, sqlite_engine
from sota.kit.sql.health import HangWatch, Health
from sota.kit.sql.reading import ATTEMPTS, ReadConnection, pause_before
from sota.kit.sql.settings import DatabaseSettings

Tx = AsyncConnection
Result = TypeVar("Result")
# A read-only server mostly stays read-only: one more attempt finds out whether another server took over.
READ_ONLY_ATTEMPTS = 2
# After this time a transaction is not repeated for lack of a connection: callers wait 30 seconds at most.
REPEATED_S = 15.0
# Limits of one transaction or read, and of the wait for a connection.
LIMIT_S = 300.0
TURN_TIMEOUT_S = 30.0
TOO_MUCH = "The database has too much to do: try again."
SQLITE_READERS = 4
# Limit of a readiness check, which reads and writes.
READY_S = 5.0
REVISION = sa.text("SELECT version_num FROM alembic_version")
# A writer with more to write comes back within this time.
SOON_S = 0.002


class Id(sa.TypeDecorator[UUID]):
    """A UUIDv7 as 16 bytes, so that both engines sort it by time."""

    impl = sa.LargeBinary(16).with_variant(sa.BINARY(16), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:
        """Convert for the database."""
        return value.bytes if value is not None else None

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> UUID | None:
        """Convert from the database."""
        return UUID(bytes=bytes(value)) if value is not None else None


class Utc(sa.TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond; aware in Python."""

    impl = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert for the database."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert from the database."""
        return value.replace(tzinfo=UTC) if value is not None else None


def code_text(length: int) -> sa.String:
    """A text column compared byte by byte on both engines (MariaDB's default collation ignores case and accents)."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def exact_text(length: int) -> sa.String:
    """A text column that keeps trailing spaces significant, for reported values; MariaDB would ignore them."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
    )


def long_text() -> sa.Text:
    """A long text: up to 16 MiB on MariaDB."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class Database:
    """One database, opened lazily: ``engine`` writes, ``reading_engine`` is behind :meth:`read`."""

    def __init__(self, url: str | Address, *, pool_size: int = 20, wait_s: float = 20.0) -> None:
        address = url if isinstance(url, Address) else Address.read(url)
        self.url, self.shown, self.is_sqlite = address.url, address.shown, address.is_sqlite
        self._wait_s = wait_s
        self._log = get_logger(database=self.shown)
        self._health = Health(self.shown)
        self._asker: AsyncEngine | None = None
        self._watch = HangWatch(self._ask, self._health)
        if self.is_sqlite:
            # SQLite has one writer at a time: queue for it here, fairly, instead of in its busy handler.
            self.engine = sqlite_engine(address, "BEGIN IMMEDIATE", 1)
            self.reading_engine = sqlite_engine(address, "BEGIN", SQLITE_READERS)
            self._write_turns, self._read_turns = asyncio.Semaphore(1), asyncio.Semaphore(SQLITE_READERS)
        else:
            self.engine = mariadb_engine(address, pool_size)
            self.reading_engine = mariadb_engine(address, pool_size, read_only=True)
            self._asker = asking_engine(address)
            self._write_turns, self._read_turns = asyncio.Semaphore(pool_size), asyncio.Semaphore(pool_size)

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Database:
        """Open the database of a program's settings.

        Raises:
            StartError: the URL is invalid, or a password or certificate file cannot be used.
        """
        return cls(Address.of(settings), wait_s=settings.database_wait_s)

    async def transact(self, work: Callable[[Tx], Awaitable[Result]], *, may_collide: bool = False) -> Result:
        """Run ``work`` in one transaction and commit; repeat it when the engine aborted the transaction.

        ``may_collide``: two callers may insert the same row at the same moment. The later one runs again and finds it.

        Raises:
            Unavailable: the database is down, still busy after five attempts, or was lost during a commit.
        """
        attempt, began = 1, time.monotonic()
        while True:
            try:
                async with self._turn(self._write_turns), self.engine.connect() as tx:
                    await tx.begin()
                    result = await work(tx)
                    faults.before(work)
                    await _commit(tx)
                    faults.after(work)
                    self._health.works()
                    return result
            except DBAPIError as error:
                if may_collide and isinstance(error, sa.exc.IntegrityError):
                    may_collide = False
                    continue
                if not db_errors.is_passing(error):
                    raise
                if not _may_repeat(error, attempt, began):
                    raise self._health.failed(error) from error
                self._log.warning("transaction_repeated", attempt=attempt, reason=db_errors.reason(error))
                await pause_before(attempt)
                attempt += 1

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Open a connection for reading; MariaDB refuses writes on it, SQLite loses them.

        Raises:
            Unavailable: the database is down.
        """
        connection = ReadConnection(self.reading_engine)
        connection.repeats = not self.is_sqlite  # where a read sees one snapshot
        try:
            async with self._turn(self._read_turns), connection:
                yield connection
        except DBAPIError as error:
            if db_errors.is_passing(error):
                raise self._health.failed(error) from error
            raise

    @contextlib.asynccontextmanager
    async def read_one_moment(self) -> AsyncIterator[Tx]:
        """Open a connection for reading on which all statements see the same snapshot.

        Raises:
            Unavailable: the database is down.
        """
        async with self.read() as tx:
            if self.is_sqlite:  # where every read is a snapshot
                yield tx
                return
            try:
                await cast(ReadConnection, tx).begin_one_moment()
                yield tx
                await tx.execute(sa.text("COMMIT"))
            except BaseException:
                await tx.invalidate()  # the pool must not hand out a connection that still sees the old snapshot
                raise

    async def give_way(self, most_s: float) -> None:
        """Let waiting writers go first, with what they write right after it; wait at most ``most_s`` seconds.

        For a caller that writes one transaction after another. A request often needs two turns, one for its change and
        one for its audit record, and should not wait for this caller twice. Costs nothing when no writer waits.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while self._write_turns.locked():
                    async with self._write_turns:  # queued behind all current waiters
                        pass
                    await asyncio.sleep(SOON_S)

    async def check(self, *, wait_s: float | None = None) -> None:
        """Check that the database answers; wait for one that is starting, as long as the settings say.

        Raises:
            StartError: wrong credentials, unknown schema or an untrusted certificate (at once, exit code 2); or no
                answer in time (exit code 1).
        """
        wait_s = self._wait_s if wait_s is None else wait_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            try:
                async with asyncio.timeout(max(1.0, min(wait_s, 15.0))), self.reading_engine.connect() as connection:
                    await connection.execute(sa.text("SELECT 1"))
                return
            except (SQLAlchemyError, OSError) as error:
                rejection = db_errors.rejection(error)
                if rejection is not None:
                    raise StartError(f"{self.shown} {rejection}", exit_code=2) from None
                if self.is_sqlite:
                    raise StartError(f"{self.shown} cannot be opened: {db_errors.reason(error)}", exit_code=2) from None
                if loop.time() >= deadline:  # it may still come up: a supervisor starts us again
                    raise StartError(f"{self.shown} does not answer: {db_errors.reason(error)}", exit_code=1) from None
            await asyncio.sleep(min(0.5, max(0.0, deadline - loop.time())))

    async def trouble(self) -> str | None:
        """Return why requests fail now, after a real read and a real write; None if both succeed.

        A full disk may still accept the few bytes of the check, so a recent failed write counts, too.
        """
        try:
            async with asyncio.timeout(READY_S):
                async with self.read() as tx:
                    await tx.execute(REVISION)
                if self._health.writes_fail is None:
                    await self._try_write()
        except TimeoutError:
            return f"{self.shown} does not answer"
        except SotaError as error:
            cause = error.__cause__
            return (
                f"{self.shown} fails: {error.detail}" if cause is None else f"{self.shown} {db_errors.explain(cause)}"
            )
        except SQLAlchemyError as error:
            return f"{self.shown} {db_errors.explain(error)}"
        reason = self._health.writes_fail
        return f"{self.shown} takes no writes: {reason}" if reason is not None else None

    async def _try_write(self) -> None:
        if self.is_sqlite:  # a number in the file's header that has no other use
            await self.transact(_count_up)
            return
        with contextlib.suppress(_Undone):
            await self.transact(_change_revision)

    async def close(self) -> None:
        """Close all connections."""
        await self._watch.close()
        for engine in (self.engine, self.reading_engine, self._asker):
            if engine is not None:
                await engine.dispose()

    async def _ask(self) -> None:
        """Open another connection; a server that hangs does not accept it. A file answers."""
        if self._asker is not None:
            async with self._asker.connect():
                pass

    @contextlib.asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait in order for a connection, then hold it for a limited time; the pool alone lets newcomers overtake."""
        await self._watch.admit()
        await take_turn(turns, TURN_TIMEOUT_S, TOO_MUCH)
        limit = asyncio.timeout(LIMIT_S)
        try:
            async with limit:
                self._watch.add(limit)
                yield
        except sa.exc.TimeoutError as error:
            raise Unavailable(TOO_MUCH) from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable("The database took too long: try again.") from error
        finally:
            self._watch.remove(limit)
            turns.release()


class _Undone(Exception):
    """Rolls back the readiness check's write."""


async def _count_up(tx: Tx) -> None:
    number = (await tx.execute(sa.text("PRAGMA user_version"))).scalar_one()
    await tx.execute(sa.text(f"PRAGMA user_version = {(int(number) + 1) % 1_000_000}"))


async def _change_revision(tx: Tx) -> None:
    await tx.execute(sa.text("UPDATE alembic_version SET version_num = 'tried'"))
    raise _Undone


def _may_repeat(error: DBAPIError, attempt: int, began: float) -> bool:
    if not db_errors.is_repeatable(error) or attempt == ATTEMPTS:
        return False
    if db_errors.is_read_only(error):
        return attempt < READ_ONLY_ATTEMPTS
    return db_errors.is_given_up(error) or time.monotonic() - began < REPEATED_S


async def _commit(tx: Tx) -> None:
    try:
        await tx.commit()
    except DBAPIError as error:
        if not db_errors.is_lost(error):
            raise
        raise Unavailable(
            "The database was lost while it committed: whether the change was made is not known. Look, or send the "
            "same request again under its Idempotency-Key."
        ) from error
