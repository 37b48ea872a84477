"""Brings a database to the newest revision of a program's migrations, by alembic.

Each program has ``migrations/versions/*.py`` and an ``env.py`` of one line, :func:`run_environment`. The connection is
that of :mod:`sota.kit.sql.database`, with the same rules. The database user needs the right to create, alter and drop
tables in the program's own schema, and no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

import sqlalchemy as sa

from sota.kit.errors import StartError
from sota.kit.sql import errors as db_errors
from sota.kit.sql.database import Database

LOCK_WAIT_S = 60
PENDING = "restore_pending"
"""A table that exists in a MariaDB schema while it is being restored."""


async def upgrade(database: Database, room: str, revision: str = "head", *, is_restore: bool = False) -> None:
    """Apply missing migrations. ``room`` is a package such as ``sota.core.migrations``.

    Raises:
        StartError: the engine refuses, mostly because the user may not change tables; one line says so. Or the schema
            is half restored, and this is not the restore.
    """
    if not is_restore and await _is_half_restored(database):
        raise StartError(f"{database.shown}: a restore was interrupted here: run the same sota restore again")
    if revision == "head" and await current(database) == newest(room):
        return  # the usual start: importing alembic would take longer than everything else
    from alembic import command

    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(lambda sync: command.upgrade(_config(room, sync), revision))
    except sa.exc.DBAPIError as error:
        raise StartError(f"{database.shown} cannot be upgraded: {db_errors.reason(error)}") from error


async def downgrade(database: Database, room: str, revision: str) -> None:
    """Downgrade to ``revision`` (``base`` for an empty database)."""
    from alembic import command

    async with database.engine.connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(room, sync), revision))


def newest(room: str) -> str:
    """Return a program's newest revision."""
    return revisions(room)[-1]


def revisions(room: str) -> list[str]:
    """List a program's revisions, oldest first: files are called ``<revision>_<what>.py`` and sort by revision."""
    files = resources.files(room).joinpath("versions").iterdir()
    return sorted(file.name.partition("_")[0] for file in files if file.name[0].isdigit())


def run_environment() -> None:
    """Run the migrations on the connection that :func:`upgrade` handed over. Called by ``env.py``."""
    from alembic import context

    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite")
    with _alone(connection):
        with context.begin_transaction():
            context.run_migrations()
        if connection.in_transaction():
            connection.commit()


@contextlib.contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Make programs that start on one schema at the same moment migrate one after the other; SQLite's writer does so.

    The lock belongs to the connection, and ends with it.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    lock = sa.text("SELECT GET_LOCK(CONCAT('sota migrations ', DATABASE()), :wait_s)")
    if connection.execute(lock, {"wait_s": LOCK_WAIT_S}).scalar() != 1:
        raise StartError(f"another program has been changing the tables for {LOCK_WAIT_S} seconds")
    try:
        yield
    finally:
        connection.execute(sa.text("SELECT RELEASE_LOCK(CONCAT('sota migrations ', DATABASE()))"))


async def current(database: Database) -> str | None:
    """Return a database's revision; None if it is empty."""
    try:
        async with database.read() as connection:
            found = await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
            return found.scalar_one_or_none()
    except sa.exc.DBAPIError:
        return None  # no such table: an empty database


async def _is_half_restored(database: Database) -> bool:
    if database.is_sqlite:  # a restore replaces its files only when they are complete
        return False
    query = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name"
    async with database.read() as connection:
        return bool((await connection.execute(sa.text(query), {"name": PENDING})).scalar())


def _config(room: str, connection: sa.Connection) -> Any:  # Any: alembic is imported only here
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files(room)))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
