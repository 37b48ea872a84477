"""The three databases of a backend that is assembled in one place: files in a folder, or schemas of a server.

``mysql://user:password@host:3306`` is a server's address; a name at its end is the prefix of the schemas' names
(``sota``). It may contain a password, so it is never printed as given.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from sota.kit.errors import StartError
from sota.kit.runtime.settings import read_secret
from sota.kit.sql import errors as db_errors
from sota.kit.sql.database import Database

PROGRAMS = ("web", "core", "resolver")
PREFIX = "sota"
WAIT_S = 5.0
TO_GIVE = "write mysql://user:password@host:3306"


def database_url(data: Path, server: str | None, program: str) -> str:
    """Return a program's own database: a file in ``data``, or a schema of the server.

    Raises:
        StartError: ``server`` is not the address of a MariaDB server.
    """
    if server is None:
        # Built from parts: a folder's name may contain characters that are special in a URL.
        return sa.URL.create("sqlite", database=str(data / f"{program}.db")).render_as_string()
    schema = dict(zip(PROGRAMS, names_of(server), strict=True))[program]
    return _read(server).set(database=schema).render_as_string(hide_password=False)


def with_new_names(server: str, prefix: str) -> str:
    """Return the server's address for new schemas: their prefix is its own name or this one.

    Raises:
        StartError: ``server`` is not the address of a MariaDB server.
    """
    url = _read(server)
    name = f"{url.database or prefix}_{secrets.token_hex(4)}"
    return url.set(database=name).render_as_string(hide_password=False)


def with_password(server: str, password_file: Path | None) -> str:
    """Return the server's address with the password from a file.

    Raises:
        StartError: the file cannot be read.
    """
    if password_file is None:
        return server
    password = read_secret(password_file, "--password-file")
    return _read(server).set(password=password).render_as_string(hide_password=False)


async def create_schemas(server: str) -> None:
    """Create missing schemas on a MariaDB server, as far as the user's rights allow.

    Raises:
        StartError: the server does not answer, rejects us, or does not let us create them.
    """
    await _execute(server, "create", "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


async def drop_schemas(server: str) -> None:
    """Drop the three schemas with their content.

    Raises:
        StartError: the server does not answer, or does not allow it.
    """
    await _execute(server, "drop", "DROP DATABASE IF EXISTS {}")


def names_of(server: str) -> Sequence[str]:
    """Return the names of the three schemas."""
    prefix = _read(server).database or PREFIX
    return [f"{prefix}_{program}" for program in PROGRAMS]


async def _execute(server: str, verb: str, statement: str) -> None:
    database = Database(_read(server).set(database="").render_as_string(hide_password=False))
    try:
        await database.check(wait_s=WAIT_S)
        async with database.engine.connect() as connection:
            quote = database.engine.dialect.identifier_preparer.quote
            for name in names_of(server):
                await connection.execute(sa.text(statement.format(quote(name))))
    except sa.exc.DBAPIError as error:
        names = ", ".join(names_of(server))
        raise StartError(f"{database.shown}: cannot {verb} the schemas {names}: {db_errors.reason(error)}") from None
    finally:
        await database.close()


def _read(server: str) -> sa.URL:
    try:
        url = sa.make_url(server)
    except (sa.exc.ArgumentError, ValueError):
        raise StartError(f"--database: not the address of a server: {TO_GIVE}") from None
    if url.get_backend_name() not in ("mysql", "mariadb"):
        shown = url.get_backend_name()
        raise StartError(f"--database: {shown} is no MariaDB: {TO_GIVE}, or leave it out for the embedded databases")
    return url
