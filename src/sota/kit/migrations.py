"""Brings a database to the newest revision of a program's room, by alembic.

Each room has ``migrations/versions/*.py`` and an ``env.py`` of one line, :func:`run_environment`. The connection is
ours, so that what holds for :mod:`sota.kit.db` holds for migrations too.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import sqlalchemy as sa

from sota.kit.db import Database


async def upgrade(database: Database, room: str, revision: str = "head") -> None:
    """Apply what is missing. ``room`` is a package such as ``sota.core.migrations``."""
    if revision == "head" and await _current(database) == newest(room):
        return  # the usual start: importing alembic would take longer than all the rest of it
    from alembic import command

    async with database.engine.connect() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(room, sync), revision))


async def downgrade(database: Database, room: str, revision: str) -> None:
    """Go back to ``revision`` (``base`` for an empty database)."""
    from alembic import command

    async with database.engine.connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(room, sync), revision))


def newest(room: str) -> str:
    """Give the newest revision of a room: its files are called ``<revision>_<what>.py``, and sort by revision."""
    files = resources.files(room).joinpath("versions").iterdir()
    return max(file.name.partition("_")[0] for file in files if file.name[0].isdigit())


def run_environment() -> None:
    """Run the migrations on the connection that :func:`upgrade` handed over. Called by a room's ``env.py``."""
    from alembic import context

    connection: sa.Connection = context.config.attributes["connection"]
    context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite")
    with context.begin_transaction():
        context.run_migrations()
    if connection.in_transaction():
        connection.commit()


async def _current(database: Database) -> str | None:
    try:
        async with database.read() as connection:
            found = await connection.execute(sa.text("SELECT version_num FROM alembic_version"))
            return found.scalar_one_or_none()
    except sa.exc.DBAPIError:
        return None  # no such table: an empty database


def _config(room: str, connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files(room)))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
