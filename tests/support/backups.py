"""A backend's data folder with something in every kind of place that a backup holds, without running the programs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.cli.backend import prepare_secrets
from sota.cli.ending import ending
from sota.cli.main import make
from sota.cli.schemas import create_schemas, database_url
from sota.core import tables as core
from sota.kit.files.durable import private_folder, write_atomic
from sota.kit.sql.database import Database, Id, Tx, Utc
from sota.kit.sql.migrations import upgrade
from sota.resolver import tables as resolver
from sota.web import tables as web

PROGRAMS = {"web": web.METADATA, "core": core.METADATA, "resolver": resolver.METADATA}
PACKAGE_FILE = "0123456789abcdef"
# Values that quoting, character sets, modes of the server or formats of dumps have damaged somewhere.
ODD = "\\ ' \" ` %s :x \0 \x1a \r\n \u03a9 \U0001f697 \u202e trailing  "
NOW = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)


@dataclass
class KeptBackend:
    """The folder of ``sota up --data``, whose databases are files, or schemas of a MariaDB server."""

    data: Path
    server: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a command that works on it."""
        return ("--data", str(self.data), *(("--database", self.server) if self.server else ()))

    def database(self, program: str) -> Database:
        """Open a database; close it again."""
        return Database(database_url(self.data, self.server, program))

    async def fill(self) -> None:
        """Create what the first start creates, and some rows and files."""
        if self.server is not None:
            await create_schemas(self.server)
        prepare_secrets(self.data)
        for folder in ("packages/sub", "core", "web", "resolver"):
            private_folder(self.data / folder)
        (self.data / "packages" / PACKAGE_FILE).write_bytes(bytes(range(256)) * 1000)
        write_atomic(self.data / "core" / "core-callback.secret", b"a secret")
        for program, metadata in PROGRAMS.items():
            database = self.database(program)
            await upgrade(database, f"sota.{program}.migrations")
            await database.transact(fill_with(metadata))
            await database.close()

    async def change(self) -> None:
        """Change the backend after a backup: new rows, files and generated numbers."""
        core_database = self.database("core")
        await core_database.transact(lambda tx: tx.execute(core.package.update().values(description="another")))
        await core_database.transact(lambda tx: tx.execute(core.outbox.delete()))
        await core_database.close()
        (self.data / "packages" / PACKAGE_FILE).write_bytes(b"other")
        (self.data / "packages" / "later").write_bytes(b"later")
        (self.data / "secrets" / "core.toml").unlink()

    async def rows(self) -> dict[str, list[Any]]:
        """Read every row of every table, but for epochs."""
        found: dict[str, list[Any]] = {}
        for program, metadata in PROGRAMS.items():
            database = self.database(program)
            async with database.read() as tx:
                for table in metadata.sorted_tables:
                    columns = [column for column in table.c if column.name != "epoch"]
                    rows = [tuple(row) for row in await tx.execute(sa.select(*columns))]
                    found[f"{program}.{table.name}"] = sorted(rows, key=repr)
            await database.close()
        return found

    async def epoch(self) -> str:
        """Read the vehicle's epoch."""
        database = self.database("core")
        async with database.read() as tx:
            epoch: str = (await tx.execute(sa.select(core.vehicle.c.epoch))).scalar_one()
        await database.close()
        return epoch

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Read all files that are no database, with their modes."""
        return {
            str(path.relative_to(self.data)): (path.read_bytes(), path.stat().st_mode & 0o777)
            for path in sorted(self.data.rglob("*"))
            if path.is_file() and ".db" not in path.name and not path.name.endswith(".lock")
        }


def fill_with(metadata: sa.MetaData) -> Callable[[Tx], Awaitable[None]]:
    """Return work that writes a row of odd values into each table that has none."""

    async def fill(tx: Tx) -> None:
        for table in metadata.sorted_tables:
            if (await tx.execute(sa.select(sa.func.count()).select_from(table))).scalar() == 0:
                await tx.execute(table.insert().values(odd_row(table)))

    return fill


def odd_row(table: sa.Table) -> dict[str, Any]:
    """Return a row with a value in each column; equal types have equal values, so references hold."""
    return {column.name: odd_value(column) for column in table.c}


def odd_value(column: sa.Column[Any]) -> Any:
    """Return a value that was damaged somewhere."""
    if column.name == "uri":
        return PACKAGE_FILE
    if isinstance(column.type, Id):
        return UUID(int=7 << 96 | 39)
    if isinstance(column.type, Utc):
        return NOW
    kind = column.type.python_type
    length = getattr(column.type, "length", None)
    if kind is str:
        return ODD[:length] if length else ODD
    if kind is bytes:
        return bytes(range(256))[-length:] if length else bytes(range(256))
    return {int: 7, bool: True}[kind]


def types(*arguments: str) -> int:
    """Type a command in this process; return the code with which it ends."""
    try:
        ending(lambda: make(arguments[0])(list(arguments)))
    except SystemExit as ended:
        return int(str(ended.code or 0))
    return 0


async def typed(*arguments: str) -> int:
    """Type a command that runs an event loop of its own."""
    return await asyncio.to_thread(types, *arguments)
