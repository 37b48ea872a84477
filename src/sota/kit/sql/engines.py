"""Where a database is and how to connect to it: two engines each, one for writes and one for reads."""

from __future__ import annotations

import math
import ssl
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from sota.kit.errors import StartError, Unavailable
from sota.kit.files.durable import private_file, private_folder
from sota.kit.runtime.settings import read_secret
from sota.kit.security.tls_client import calling
from sota.kit.sql import errors as db_errors
from sota.kit.sql import sqlite_driver
from sota.kit.sql.health import AWAY
from sota.kit.sql.settings import DatabaseSettings

FORMS = "sqlite:///file.db or mysql://user@host:3306/schema"
IDLE_S = 0.2
# Set here, since the server's own settings may be meant for another application. With NO_BACKSLASH_ESCAPES the
# driver's binary values would be misread; without a strict mode values would be truncated.
SESSION = ", ".join((
    "sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    "time_zone = '+00:00'",
    "foreign_key_checks = 1",
    "unique_checks = 1",
    "sql_safe_updates = 0",
    "sql_auto_is_null = 0",
    "sql_select_limit = 18446744073709551615",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """A database's URL, complete with driver and password; ``shown`` is for people."""

    url: sa.URL
    shown: str
    tls: ssl.SSLContext | None = None
    password_file: Path | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file, not a server."""
        return self.url.get_backend_name() == "sqlite"

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Address:
        """Read the address from a program's settings.

        Raises:
            StartError: the URL is invalid, or a password or certificate file cannot be used.
        """
        address = cls.read(settings.database)
        if address.is_sqlite:
            if settings.database_ca_file or settings.database_certificate_file:
                raise StartError(f"{address.shown}: certificates are for MariaDB; SQLite has no connection to encrypt")
            return address
        url = address.url
        if settings.database_password_file is not None:
            url = url.set(password=read_secret(settings.database_password_file, "database_password_file"))
        tls = calling(
            "database",
            settings.database_ca_file,
            settings.database_certificate_file,
            settings.database_certificate_key_file,
        )
        return cls(url, _show(url.set(drivername="mysql")), tls, settings.database_password_file)

    @classmethod
    def read(cls, text: str) -> Address:
        """Read a complete URL.

        Raises:
            StartError: it is not the URL of a supported database.
        """
        try:
            url = sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError):  # the text may contain a password: do not repeat it
            raise StartError(f"not a database URL: write {FORMS}") from None
        backend = url.get_backend_name()
        if backend == "sqlite":
            return cls(url.set(drivername="sqlite+aiosqlite"), _show(url))
        if backend in ("mysql", "mariadb"):
            return cls(url.set(drivername="mysql+asyncmy"), _show(url))
        raise StartError(f"{backend} is not supported: use sqlite or mysql (MariaDB 10.6 or later)")


def asking_engine(address: Address) -> AsyncEngine:
    """Return an engine that opens a connection for each use, to check whether a server answers."""
    engine = create_async_engine(address.url, poolclass=sa.pool.NullPool, connect_args=_arguments(address))
    _tell_closed(engine)
    return engine


def _arguments(address: Address, *, read_only: bool = False) -> dict[str, object]:
    arguments: dict[str, object] = {
        "connect_timeout": 10,
        "charset": "utf8mb4",
        "init_command": f"SET SESSION {SESSION}, tx_read_only = {int(read_only)}",
    }
    if isinstance(address.url.password, str):
        # The driver would encode a text as Latin-1; the server compares with UTF-8.
        arguments["password"] = address.url.password.encode()
    if address.password_file is not None:  # read for each connection: it may change while the program runs
        arguments["password_creator"] = partial(_read_password, address.password_file)
    if address.tls is not None:
        arguments["ssl"] = address.tls
    return arguments


def mariadb_engine(address: Address, pool_size: int, *, read_only: bool = False) -> AsyncEngine:
    """Return an engine of a MariaDB schema, for writes or for reads.

    A read has no transaction to end: each statement sees what is committed when it runs, as in a transaction of READ
    COMMITTED. The server refuses writes on these connections.
    """
    engine = create_async_engine(
        address.url,
        pool_size=pool_size,
        max_overflow=0,  # a connection beyond the pool's size would be opened and closed for one use
        pool_timeout=30,
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args=_arguments(address, read_only=read_only),
        isolation_level="AUTOCOMMIT" if read_only else "READ COMMITTED",
        skip_autocommit_rollback=read_only,
    )
    _tell_closed(engine)
    _ping_after_idling(engine)
    _drop_useless(engine)
    return engine


def _tell_closed(engine: AsyncEngine) -> None:
    """Report a server that closes a new connection immediately as down: the driver raises no database error then."""

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def _connect(dialect: Dialect, _record: object, arguments: list[str], options: dict[str, object]) -> object:
        try:
            return dialect.connect(*arguments, **options)
        except (RuntimeError, AttributeError) as error:
            raise dialect.loaded_dbapi.OperationalError(2003, f"The server closed the connection: {error}") from error


def _drop_useless(engine: AsyncEngine) -> None:
    """Close all connections to a server that became read-only, or to an unreadable file.

    After a failover the old connections lead to a server that takes no writes; new ones reach the right one.
    """

    @sa.event.listens_for(engine.sync_engine, "handle_error")
    def _look(context: sa.engine.ExceptionContext) -> None:
        if db_errors.drops_connection(context.original_exception):
            context.is_disconnect = True


def _read_password(file: Path) -> bytes:
    try:
        return read_secret(file, "database_password_file").encode()
    except StartError as error:  # a running program waits until the file is back
        raise Unavailable(AWAY) from error


def _ping_after_idling(engine: AsyncEngine) -> None:
    """Ping a connection that was idle before it is handed out; replace it if it is lost.

    One that was in use a moment ago is not pinged: a ping costs as much as a small read, and a server needs longer to
    restart.
    """
    dialect = engine.sync_engine.dialect

    @sa.event.listens_for(engine.sync_engine, "checkin")
    def _note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def _try(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) < IDLE_S:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise sa.exc.DisconnectionError(f"the connection is lost: {error}") from error


def sqlite_engine(address: Address, begin: str, size: int) -> AsyncEngine:
    """Return an engine of a SQLite file whose transactions start with ``begin``."""
    engine = create_async_engine(
        address.url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        poolclass=sa.pool.AsyncAdaptedQueuePool,
    )
    _drop_useless(engine)

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def _open(_dialect: object, _record: object, _arguments: object, options: dict[str, object]) -> None:
        _make_private(address)
        options["async_creator_fn"] = sqlite_driver.connect

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        # FULL: a committed acknowledgement must survive a power cut, not only a kill. The time-out comes first, since
        # it applies to the other pragmas.
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite_driver.Connection):
            raise TypeError(type(driver))
        driver.begin(begin)

    return engine


def _show(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _make_private(address: Address) -> None:
    name = address.url.database
    if not name or name == ":memory:":
        return
    try:
        private_folder(Path(name).parent)
        private_file(Path(name))
    except OSError as error:
        raise StartError(f"{address.shown}: cannot make {error.filename or name}: {error.strerror}") from None
