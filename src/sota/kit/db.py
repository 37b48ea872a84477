"""The database behind a program: SQLite by default, MariaDB by URL, one behaviour.

Rules kept here:

* every write is one transaction, opened at the program's edge by :meth:`Database.transact`, which repeats it when the
  engine
  gave it up (deadlock, lock time-out, lost connection): so the work must do nothing but SQL;
* reads get a connection of their own by :meth:`Database.read`;
* wrong credentials stop the program at start with one clear line and exit code 2; there is no fall-back.

``sqlite:///var/core.db`` and ``mysql://user@host:3306/schema`` are the two forms; a password comes from a file, or
stands in the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sota.kit.errors import StartError, Unavailable
from sota.kit.logging import get_logger

Tx = AsyncConnection
Result = TypeVar("Result")
ATTEMPTS = 5
ACCESS_DENIED = frozenset({1044, 1045, 1049, 1698})
# 1020 is MariaDB's "record has changed since last read" (snapshot isolation), 1205 lock time-out, 1213 deadlock, the
# 20xx
# ones a lost connection.
REPEATABLE = frozenset({1020, 1205, 1213, 2006, 2013, 2055})


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


def long_text() -> sa.Text:
    """A long text: up to 16 MiB on MariaDB."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class Database:
    """One database, opened lazily."""

    def __init__(self, url: str, *, pool_size: int = 10, password_file: Path | None = None) -> None:
        self.url = _complete(url, password_file)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._log = get_logger(database=self.url.render_as_string(hide_password=True))
        if self.is_sqlite:
            # SQLite has one writer at a time: queue for it here, fairly, instead of in its busy handler.
            self._writer = _sqlite_engine(self.url, "BEGIN IMMEDIATE", 1)
            self._reader = _sqlite_engine(self.url, "BEGIN", 4)
        else:
            self._writer = self._reader = create_async_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_timeout=30,
                pool_pre_ping=True,
                pool_recycle=1800,
                isolation_level="READ COMMITTED",
                connect_args={"connect_timeout": 10, "charset": "utf8mb4"},
            )

    @property
    def engine(self) -> AsyncEngine:
        """The engine that writes (for migrations)."""
        return self._writer

    async def transact(self, work: Callable[[Tx], Awaitable[Result]]) -> Result:
        """Do ``work`` in one transaction and commit; repeat it when the engine gave the transaction up.

        Raises:
            Unavailable: the database is away, or still busy after five attempts.
        """
        attempt = 1
        while True:
            try:
                async with self._writer.begin() as tx:
                    return await work(tx)
            except DBAPIError as error:
                if not _is_repeatable(error):
                    raise
                if attempt == ATTEMPTS:
                    raise Unavailable("The database is busy or away: try again.") from error
                self._log.warning("transaction_repeated", attempt=attempt, reason=str(error.orig)[:200])
                await asyncio.sleep(0.02 * 2**attempt)
                attempt += 1

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Give a connection for reading; what it wrote would be lost.

        Raises:
            Unavailable: the database is away.
        """
        try:
            async with self._reader.connect() as connection:
                yield connection
        except DBAPIError as error:
            if _is_repeatable(error):
                raise Unavailable("The database is busy or away: try again.") from error
            raise

    async def check(self, *, wait_s: float = 20.0) -> None:
        """Make sure that the database answers; wait for one that is starting.

        Raises:
            StartError: wrong credentials or unknown schema (at once), or no answer in time.
        """
        where = self.url.render_as_string(hide_password=True)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            try:
                async with asyncio.timeout(15), self._reader.connect() as connection:
                    await connection.execute(sa.text("SELECT 1"))
                return
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                number = _error_number(error)
                if number in ACCESS_DENIED:
                    reason = "rejects the connection: wrong user, password or schema"
                    raise StartError(f"{where} {reason} ({number})", exit_code=2) from None
                if loop.time() > deadline or self.is_sqlite:
                    cause = getattr(error, "orig", None) or error
                    raise StartError(f"{where} does not answer: {cause}", exit_code=2) from None
                await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Close all connections."""
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


def _complete(url: str, password_file: Path | None) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise StartError(f"not a database URL: {url!r} (sqlite:///file.db or mysql://user@host:3306/schema)") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("mysql", "mariadb"):
        if password_file is not None:
            parsed = parsed.set(password=password_file.read_text().strip())
        return parsed.set(drivername="mysql+asyncmy")
    raise StartError(f"{backend} is not supported: use sqlite or mysql (MariaDB 10.6 or later)")


def _sqlite_engine(url: sa.URL, begin: str, size: int) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=size, max_overflow=0, pool_timeout=30, poolclass=sa.pool.AsyncAdaptedQueuePool
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        # FULL: a committed acknowledgement must survive a power cut, not only a kill.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _error_number(error: BaseException) -> int | None:
    original = getattr(error, "orig", None)
    arguments = getattr(original, "args", ()) or getattr(error, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _is_repeatable(error: DBAPIError) -> bool:
    if error.connection_invalidated or _error_number(error) in REPEATABLE:
        return True
    return isinstance(error, OperationalError) and "database is locked" in str(error.orig)
