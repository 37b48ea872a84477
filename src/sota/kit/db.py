"""The database behind a program: SQLite by default, MariaDB by URL, one behaviour.

Rules kept here:

* every write is one transaction, opened at the program's edge by :meth:`Database.transact`, which repeats it when the
  engine gave it up (deadlock, lock time-out, lost connection): so the work must do nothing but SQL;
* a transaction whose connection is lost *while it commits* is not repeated: it may have been committed, and only the
  caller knows whether doing it twice does harm;
* reads get a connection of their own by :meth:`Database.read`;
* connections are given in the order in which they were asked for, and every wait has an end;
* wrong credentials and a certificate that is not trusted stop the program at start with one clear line and exit code
  2; there is no fall-back.

``sqlite:///var/core.db`` and ``mysql://user@host:3306/schema`` are the two forms; a password comes from a file, or
stands in the URL. A program opens its own by :meth:`Database.of`, from its settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sota.kit import db_errors, faults
from sota.kit.database_settings import DatabaseSettings
from sota.kit.db_engines import Address, mariadb_engines, sqlite_engine
from sota.kit.errors import StartError, Unavailable
from sota.kit.logging import get_logger

Tx = AsyncConnection
Result = TypeVar("Result")
ATTEMPTS = 5
# How long one transaction or read may take, and how long it may wait for a connection.
LIMIT_S = 300.0
TURN_TIMEOUT_S = 30.0
SQLITE_READERS = 4
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
        if self.is_sqlite:
            # SQLite has one writer at a time: queue for it here, fairly, instead of in its busy handler.
            self._writer = sqlite_engine(address, "BEGIN IMMEDIATE", 1)
            self._reader = sqlite_engine(address, "BEGIN", SQLITE_READERS)
            self._write_turns, self._read_turns = asyncio.Semaphore(1), asyncio.Semaphore(SQLITE_READERS)
        else:
            self._writer, self._reader = mariadb_engines(address, pool_size)
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
        attempt = 1
        while True:
            try:
                async with self._connection(self._writer, self._write_turns) as tx:
                    await tx.begin()
                    result = await work(tx)
                    faults.before(work)
                    await _commit(tx)
                    faults.after(work)
                    return result
            except DBAPIError as error:
                if not db_errors.is_repeatable(error):
                    raise
                if attempt == ATTEMPTS:
                    raise Unavailable("The database is busy or away: try again.") from error
                self._log.warning("transaction_repeated", attempt=attempt, reason=db_errors.reason(error))
                # Two that gave way to each other must not meet again at the same moment.
                await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
                attempt += 1

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Give a connection for reading; what it wrote would be refused by MariaDB, and lost on SQLite.

        Raises:
            Unavailable: the database is away.
        """
        try:
            async with self._connection(self._reader, self._read_turns) as connection:
                yield connection
        except DBAPIError as error:
            if db_errors.is_repeatable(error):
                raise Unavailable("The database is busy or away: try again.") from error
            raise

    @contextlib.asynccontextmanager
    async def read_one_moment(self) -> AsyncIterator[Tx]:
        """Give a connection for reading on which all statements see what was committed when the first one ran.

        Raises:
            Unavailable: the database is away.
        """
        async with self.read() as tx:
            if self.is_sqlite:  # where every read is so
                yield tx
                return
            try:
                await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                await tx.execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))
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

    async def close(self) -> None:
        """Close all connections."""
        await self._writer.dispose()
        await self._reader.dispose()

    @contextlib.asynccontextmanager
    async def _connection(self, engine: AsyncEngine, turns: asyncio.Semaphore) -> AsyncIterator[Tx]:
        """Give a connection to each in turn, for a limited time; the pool alone lets newcomers pass who waits."""
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
            async with limit, engine.connect() as connection:
                yield connection
        except sa.exc.TimeoutError as error:
            raise Unavailable("The database has too much to do: try again.") from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable("The database took too long: try again.") from error
        finally:
            turns.release()


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
