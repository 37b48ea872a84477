"""Where a database is and how we connect to it: one engine for MariaDB, two (a writer, readers) for SQLite."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sota.kit.database_settings import DatabaseSettings
from sota.kit.errors import StartError
from sota.kit.settings import read_secret

FORMS = "sqlite:///file.db or mysql://user@host:3306/schema"


@dataclass(frozen=True, slots=True)
class Address:
    """A database's URL, complete with driver and password; ``shown`` is what people may read."""

    url: sa.URL
    shown: str
    tls: ssl.SSLContext | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of ours, and no server."""
        return self.url.get_backend_name() == "sqlite"

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Address:
        """Read the address from a program's settings.

        Raises:
            StartError: the URL is none, or a file of a password or certificate cannot be used.
        """
        address = cls.read(settings.database)
        if address.is_sqlite:
            if settings.database_ca_file or settings.database_certificate_file:
                raise StartError(f"{address.shown}: certificates are for MariaDB; SQLite has no connection to encrypt")
            return address
        url = address.url
        if settings.database_password_file is not None:
            url = url.set(password=read_secret(settings.database_password_file, "database_password_file"))
        return cls(url, _show(url.set(drivername="mysql")), _tls(settings))

    @classmethod
    def read(cls, text: str) -> Address:
        """Read a URL with everything in it.

        Raises:
            StartError: it is no URL of a database that we know, or the file's folder cannot be made.
        """
        try:
            url = sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError):  # say nothing of what was written: a password may stand in it
            raise StartError(f"not a database URL: write {FORMS}") from None
        backend = url.get_backend_name()
        if backend == "sqlite":
            _make_folder(url)
            return cls(url.set(drivername="sqlite+aiosqlite"), _show(url))
        if backend in ("mysql", "mariadb"):
            return cls(url.set(drivername="mysql+asyncmy"), _show(url))
        raise StartError(f"{backend} is not supported: use sqlite or mysql (MariaDB 10.6 or later)")


def mariadb_engine(address: Address, pool_size: int) -> AsyncEngine:
    """Make the engine of a MariaDB schema: up to twice ``pool_size`` connections, half of them kept."""
    arguments: dict[str, Any] = {"connect_timeout": 10, "charset": "utf8mb4"}
    if isinstance(address.url.password, str):
        # The driver would write a text as Latin-1; the server compares with UTF-8.
        arguments["password"] = address.url.password.encode()
    if address.tls is not None:
        arguments["ssl"] = address.tls
    return create_async_engine(
        address.url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=30,
        pool_pre_ping=True,
        pool_recycle=1800,
        isolation_level="READ COMMITTED",
        connect_args=arguments,
    )


def sqlite_engine(address: Address, begin: str, size: int) -> AsyncEngine:
    """Make an engine of a SQLite file whose transactions start with ``begin``."""
    engine = create_async_engine(
        address.url, pool_size=size, max_overflow=0, pool_timeout=30, poolclass=sa.pool.AsyncAdaptedQueuePool
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        # FULL: a committed acknowledgement must survive a power cut, not only a kill. The time-out comes first: it
        # holds for the others already.
        for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _show(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


def _make_folder(url: sa.URL) -> None:
    if not url.database or url.database == ":memory:":
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{_show(url)}: cannot make {folder}: {error.strerror}") from None


def _tls(settings: DatabaseSettings) -> ssl.SSLContext | None:
    """Trust one authority, check the server's name, and show our own certificate where there is one."""
    certificate, key = settings.database_certificate_file, settings.database_certificate_key_file
    if settings.database_ca_file is None:
        if certificate is not None or key is not None:
            raise StartError("database_certificate_file is set: set database_ca_file too")
        return None
    if key is not None and certificate is None:
        raise StartError("database_certificate_key_file is set: set database_certificate_file too")
    try:
        context = ssl.create_default_context(cafile=settings.database_ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"database_ca_file: cannot use {settings.database_ca_file}: {_why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise StartError(f"database_certificate_file: cannot use {certificate}: {_why(error)}") from None
    return context


def _why(error: OSError) -> str:
    return error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "no PEM of that kind"
