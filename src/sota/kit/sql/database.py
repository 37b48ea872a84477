"""The database behind a program: SQLite by default, MariaDB by URL, one behaviour.

Rules kept here:

* every write is one transaction, opened at the program's edge by :meth:`Database.transact`, which repeats it when the
  engine gave it up (deadlock, lock time-out, lost connection): so the work must do nothing but SQL;
* a transaction whose connection is lost *while it commits* is not repeated: it may have been committed, and only the
  caller knows whether doing it twice does harm;
* reads get a connection of their own by :meth:`Database.read`, on which a statement is repeated when it is lost;
* a database that is away, hangs, is full, read-only or damaged raises ``Unavailable``, whatever the engine's error;
* connections are given in the order in which they were asked for, and every wait has an end;
* wrong credentials and a certificate that is not trusted stop the program at start with one clear line and exit code
  2; there is no fall-back.

``sqlite:///var/core.db`` and ``mysql://user@host:3306/schema`` are the two forms; a password comes from a file, or
stands in the URL. A program opens its own by :meth:`Database.of`, from its settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sota.kit.errors import SotaError, StartError, Unavailable
from sota.kit.runtime import faults
from sota.kit.runtime.logging import get_logger
from sota.kit.sql import errors as db_errors
from sota.kit.sql.engines import Address, asking_engine, mariadb_engines, sqlite_engine
from sota.kit.sql.health import HangWatch, Health
from sota.kit.sql.reading import ATTEMPTS, ReadConnection, pause_before
from sota.kit.sql.settings import DatabaseSettings

Tx = AsyncConnection
Result = TypeVar("Result")
# A server that takes no writes mostly goes on so: one more attempt finds out whether another one took over.
READ_ONLY_ATTEMPTS = 2
# After this time a transaction is not repeated for want of a connection: its caller waits no longer than 30 seconds.
REPEATED_S = 15.0
# How long one transaction or read may take, and how long it may wait for a connection.
LIMIT_S = 300.0
TURN_TIMEOUT_S = 30.0
SQLITE_READERS = 4
# How long a trial of reading and writing may take.
READY_S = 5.0
REVISION = sa.text("SELECT version_num FROM alembic_version")
# Within this time whoever has written comes again, if there is more to write.
SOON_S = 0.002


class Id(sa.TypeDecorator[UUID]):
    """A UUIDv7 as 16 bytes, so that both engines sort it by time."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Give BINARY(16) on MariaDB, BLOB on SQLite."""
        return dialect.type_descriptor(sa.BINARY(16) if dialect.name in ("mysql", "mariadb") else sa.LargeBinary(16))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:
        """To the database."""
        return value.bytes if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        """From the database."""
        return UUID(bytes=bytes(value)) if value is not None else None


class Utc(sa.TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond; aware in Python."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Give DATETIME(6) on MariaDB."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        return value.replace(tzinfo=UTC) if value is not None else None


def code_text(length: int) -> sa.String:
    """A text column compared byte by byte on both engines (MariaDB's default collation ignores case and accents)."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def exact_text(length: int) -> sa.String:
    """A text column that keeps spaces at the end apart, too: what a vehicle reports. MariaDB passes over them else."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
    )


def long_text() -> sa.Text:
    """A long text: up to 16 MiB on MariaDB."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class Database:
    """One database, opened lazily."""

    def __init__(self, url: str | Address, *, pool_size: int = 20, wait_s: float = 20.0) -> None:
        address = url if isinstance(url, Address) else Address.read(url)
        self.url, self.shown, self.is_sqlite = address.url, address.shown, address.is_sqlite
        self._wait_s = wait_s
        self._log = get_logger(database=self.shown)
        self._health = Health(self.shown)
        self._asker: AsyncEngine | None = None
        self._watch: HangWatch | None = None
        if self.is_sqlite:
            # SQLite has one writer at a time: queue for it here, fairly, instead of in its busy handler.
            self._writer = sqlite_engine(address, "BEGIN IMMEDIATE", 1)
            self._reader = sqlite_engine(address, "BEGIN", SQLITE_READERS)
            self._write_turns, self._read_turns = asyncio.Semaphore(1), asyncio.Semaphore(SQLITE_READERS)
        else:
            self._writer, self._reader = mariadb_engines(address, pool_size)
            self._asker = asking_engine(address)
            self._watch = HangWatch(self._ask, self._health)
            self._write_turns, self._read_turns = asyncio.Semaphore(pool_size), asyncio.Semaphore(pool_size)

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Database:
        """Open the database that a program's settings name.

        Raises:
            StartError: the URL is none, or a file of a password or certificate cannot be used.
        """
        return cls(Address.of(settings), wait_s=settings.database_wait_s)

    @property
    def engine(self) -> AsyncEngine:
        """The engine that writes (for migrations)."""
        return self._writer

    @property
    def reading_engine(self) -> AsyncEngine:
        """The engine behind :meth:`read`, with its pool (for measurements)."""
        return self._reader

    async def transact(self, work: Callable[[Tx], Awaitable[Result]]) -> Result:
        """Do ``work`` in one transaction and commit; repeat it when the engine gave the transaction up.

        Raises:
            Unavailable: the database is away, still busy after five attempts, or was lost in the middle of a commit.
        """
        attempt, began = 1, time.monotonic()
        while True:
            try:
                async with self._turn(self._write_turns), self._writer.connect() as tx:
                    await tx.begin()
                    result = await work(tx)
                    faults.before(work)
                    await _commit(tx)
                    faults.after(work)
                    self._health.works()
                    return result
            except DBAPIError as error:
                if not db_errors.is_passing(error):
                    raise
                if not _may_repeat(error, attempt, began):
                    raise self._health.failed(error) from error
                self._log.warning("transaction_repeated", attempt=attempt, reason=db_errors.reason(error))
                await pause_before(attempt)
                attempt += 1

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Open a connection for reading; what it wrote would be refused by MariaDB, and lost on SQLite.

        Raises:
            Unavailable: the database is away.
        """
        async with self._read() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _read(self) -> AsyncIterator[ReadConnection]:
        try:
            async with self._turn(self._read_turns), ReadConnection(self._reader) as connection:
                if not isinstance(connection, ReadConnection):
                    raise TypeError(type(connection))
                connection.repeats = not self.is_sqlite  # where a read sees one moment
                yield connection
        except DBAPIError as error:
            if db_errors.is_passing(error):
                raise self._health.failed(error) from error
            raise

    @contextlib.asynccontextmanager
    async def read_one_moment(self) -> AsyncIterator[Tx]:
        """Give a connection for reading on which all statements see what was committed when the first one ran.

        Raises:
            Unavailable: the database is away.
        """
        async with self._read() as tx:
            if self.is_sqlite:  # where every read is so
                yield tx
                return
            try:
                await tx.begin_one_moment()
                yield tx
                await tx.execute(sa.text("COMMIT"))
            except BaseException:
                await tx.invalidate()  # nobody else may get a connection that looks at the past
                raise

    async def give_way(self, most_s: float) -> None:
        """Let those who wait to write go first, with what they write right after it; at most ``most_s`` seconds.

        For whoever writes one transaction after another: a request of others often needs two turns, one for its change
        and one for its audit record, and should not wait for us twice. Costs nothing where nobody waits.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while self._write_turns.locked():
                    async with self._write_turns:  # it comes after all who wait now
                        pass
                    await asyncio.sleep(SOON_S)

    async def check(self, *, wait_s: float | None = None) -> None:
        """Make sure that the database answers; wait for one that is starting, as long as the settings say.

        Raises:
            StartError: wrong credentials, unknown schema or an untrusted certificate (at once, exit code 2); or no
                answer in time (exit code 1).
        """
        wait_s = self._wait_s if wait_s is None else wait_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            try:
                async with asyncio.timeout(max(1.0, min(wait_s, 15.0))), self._reader.connect() as connection:
                    await connection.execute(sa.text("SELECT 1"))
                return
            except (SQLAlchemyError, OSError) as error:
                rejection = db_errors.rejection(error)
                if rejection is not None:
                    raise StartError(f"{self.shown} {rejection}", exit_code=2) from None
                if self.is_sqlite:
                    raise StartError(f"{self.shown} cannot be opened: {db_errors.reason(error)}", exit_code=2) from None
                if loop.time() >= deadline:  # it may yet come: a supervisor starts us again
                    raise StartError(f"{self.shown} does not answer: {db_errors.reason(error)}", exit_code=1) from None
            await asyncio.sleep(min(0.5, max(0.0, deadline - loop.time())))

    async def trouble(self) -> str | None:
        """Return why requests fail now, after a real read and a real write; None where both succeed.

        A full disk may still take the trial's few bytes: so a write that failed a moment ago counts, too.
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
        if self.is_sqlite:  # a number in the file's head that nothing else uses
            await self.transact(_count_up)
            return
        with contextlib.suppress(_Undone):
            await self.transact(_change_revision)

    async def close(self) -> None:
        """Close all connections."""
        if self._watch is not None:
            await self._watch.close()
        for engine in (self._writer, self._reader, self._asker):
            if engine is not None:
                await engine.dispose()

    async def _ask(self) -> None:
        """Open another connection, which a server that hangs does not let happen."""
        if self._asker is not None:
            async with self._asker.connect():
                pass

    @contextlib.asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Let each have a connection in turn, for a limited time; the pool alone lets newcomers pass who waits."""
        if self._watch is not None:
            await self._watch.admit()
        if turns.locked():
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    await turns.acquire()
            except TimeoutError:
                raise Unavailable("The database has too much to do: try again.") from None
        else:
            await turns.acquire()  # at once
        limit = asyncio.timeout(LIMIT_S)
        try:
            async with limit:
                if self._watch is not None:
                    self._watch.add(limit)
                yield
        except sa.exc.TimeoutError as error:
            raise Unavailable("The database has too much to do: try again.") from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable("The database took too long: try again.") from error
        finally:
            if self._watch is not None:
                self._watch.remove(limit)
            turns.release()


class _Undone(Exception):
    """Takes back what was only tried."""


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
