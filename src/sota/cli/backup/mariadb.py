"""MariaDB's schemas in a backup: rows as the server returns them, table by table, in one snapshot.

Rows are read and written by our own connections, in the strict mode that they set, so that no server's ``sql_mode`` and
no tool's quoting changes a value. Tables are created by our own migrations, so a backup contains no SQL.

A schema that is being restored has a table ``restore_pending``: no program starts on it (``kit/sql/migrations.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sota.cli.backup.archive import Reader, Writer
from sota.cli.backup.manifest import SavedDatabase, SavedFile, SavedTable
from sota.kit.errors import StartError
from sota.kit.sql import errors as db_errors
from sota.kit.sql.database import Database
from sota.kit.sql.engines import Address, asking_engine
from sota.kit.sql.migrations import PENDING, current, revisions, upgrade
from sota.kit.sql.settings import DatabaseSettings

ROWS = 500
MAX_ROW_BYTES = 64 << 20
LOOKS, LOOK_S = 20, 0.1
READ = (int, float, str, bytes, type(None))
VALUES = (int, float, str, bytes, datetime)
OTHERS = """SELECT CONCAT(USER, ' from ', HOST) FROM information_schema.PROCESSLIST
WHERE DB = DATABASE() AND ID <> CONNECTION_ID() LIMIT 1"""
TABLES = """SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"""
COLUMNS = """SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name
AND GENERATION_EXPRESSION IS NULL ORDER BY ORDINAL_POSITION"""


async def refuse_while_used(program: str, settings: DatabaseSettings) -> None:
    """Check that no other client is connected to a schema.

    Raises:
        StartError: one is; names the user and the address.
    """
    engine = asking_engine(Address.of(settings))
    other: str | None = None
    try:
        for look in range(LOOKS):  # the server takes a moment to forget a closed connection
            async with engine.connect() as connection:
                other = (await connection.execute(sa.text(OTHERS))).scalar()
            if other is None:
                return
            if look + 1 < LOOKS:
                await asyncio.sleep(LOOK_S)
    finally:
        await engine.dispose()
    raise StartError(f"the {program} database is in use by {other}: end the backend's programs first")


async def save(database: Database, program: str, writer: Writer) -> SavedDatabase:
    """Add a schema to a backup.

    Raises:
        StartError: it is not one of this program's, or half restored.
    """
    revision = await current(database)
    if revision not in revisions(f"sota.{program}.migrations"):
        raise StartError(f"{database.shown}: its tables are of another version of this program ({revision!r})")
    async with database.reading_engine.connect() as connection:
        try:
            await connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await connection.execute(sa.text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))
            names: dict[str, int | None] = {name: number for name, number in await connection.execute(sa.text(TABLES))}  # noqa: C416
            if PENDING in names:
                raise StartError(f"{database.shown}: a restore was interrupted here: run the same sota restore again")
            tables = [await _save_table(connection, program, name, names[name], writer) for name in names]
        finally:
            await connection.invalidate()  # it still sees the old snapshot
    return SavedDatabase(revision=str(revision), tables=tables)


async def _save_table(
    connection: AsyncConnection, program: str, name: str, number: int | None, writer: Writer
) -> SavedTable:
    columns = [column for (column,) in await connection.execute(sa.text(COLUMNS), {"name": name})]
    quote = connection.dialect.identifier_preparer.quote_identifier
    listed = ", ".join(quote(column) for column in columns)
    rows = 0
    with writer.member(f"databases/{program}/{name}", is_packed=True) as write:
        found = await connection.stream(sa.text(f"SELECT {listed} FROM {quote(name)}"))  # noqa: S608 - quoted above
        async for part in found.partitions(ROWS):
            rows += len(part)
            write(b"".join(_encode(program, name, row) for row in part))
    return SavedTable(name=name, rows=rows, columns=columns, next_number=number)


def _encode(program: str, table: str, row: Sequence[object]) -> bytes:
    values = [bytes(value) if isinstance(value, bytearray) else value for value in row]
    strange = next((value for value in values if value is not None and not isinstance(value, VALUES)), None)
    if strange is not None:
        raise StartError(f"{program}, table {table}: a value of the type {type(strange).__name__} cannot be kept")
    content = msgspec.msgpack.encode(values)
    return len(content).to_bytes(4, "big") + content


def check(reader: Reader, program: str, saved: SavedDatabase) -> None:
    """Read all rows of a schema in a backup.

    Raises:
        StartError: they do not match the manifest, or the schema's version is unknown.
    """
    if saved.revision not in revisions(f"sota.{program}.migrations"):
        raise StartError(f"the backup's {program} database is of another version ({saved.revision[:40]!r})")
    for table in saved.tables:
        if sum(1 for _ in _rows(reader, program, table)) != table.rows:
            raise StartError(f"the backup's {program} database is not the one that its manifest describes")


def _rows(reader: Reader, program: str, table: SavedTable) -> Iterator[list[object]]:
    name = f"databases/{program}/{table.name}"
    file = next((file for file in reader.manifest.files if file.name == name), None)
    if file is None:
        raise StartError(f"the backup has no {name}")
    for content in _framed(reader, file):
        try:
            row = msgspec.msgpack.decode(content, type=list[object])
        except msgspec.DecodeError:
            row = []
        if len(row) != len(table.columns) or not all(isinstance(value, READ) for value in row):
            raise StartError(f"{name}: an invalid row")
        yield row


def _framed(reader: Reader, file: SavedFile) -> Iterator[bytes]:
    left = bytearray()
    for piece in reader.pieces(file):
        left += piece
        start = 0
        while len(left) - start >= 4:  # the bytes of a length
            size = int.from_bytes(left[start : start + 4], "big")
            if size > MAX_ROW_BYTES:
                raise StartError(f"{file.name}: a row that is too large")
            if len(left) - start - 4 < size:
                break
            yield bytes(left[start + 4 : start + 4 + size])
            start += 4 + size
        del left[:start]
    if left:
        raise StartError(f"{file.name} ends in the middle of a row")


async def is_empty(database: Database) -> bool:
    """Return whether a schema is empty, or has only the tables of an interrupted restore."""
    async with database.reading_engine.connect() as connection:
        names = {name for name, _ in await connection.execute(sa.text(TABLES))}
    return not names or PENDING in names


async def mark(database: Database) -> None:
    """Prevent programs from starting on a schema."""
    async with database.engine.connect() as connection:
        await connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {PENDING} (id INT PRIMARY KEY)"))


async def unmark(database: Database) -> None:
    """Allow programs to start on it again."""
    async with database.engine.connect() as connection:
        await connection.execute(sa.text(f"DROP TABLE {PENDING}"))


async def load(database: Database, program: str, saved: SavedDatabase, reader: Reader) -> None:
    """Replace the content of a marked schema by the backup's, and upgrade it to the newest revision.

    Raises:
        StartError: the server refuses.
    """
    room = f"sota.{program}.migrations"
    try:
        async with database.engine.connect() as connection:
            await connection.execute(sa.text("SET SESSION foreign_key_checks = 0"))
            for name, _ in (await connection.execute(sa.text(TABLES))).all():
                if name != PENDING:
                    quoted = connection.dialect.identifier_preparer.quote_identifier(name)
                    await connection.execute(sa.text(f"DROP TABLE {quoted}"))
            await connection.invalidate()
        await upgrade(database, room, saved.revision, is_restore=True)
        async with database.engine.connect() as connection:
            await connection.execute(
                sa.text(
                    "SET SESSION foreign_key_checks = 0, unique_checks = 0,"
                    " sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"
                )
            )
            await connection.commit()
            for table in saved.tables:
                await _load_table(connection, program, table, reader)
            await connection.invalidate()  # its session settings differ from what others expect
        await upgrade(database, room, is_restore=True)
    except sa.exc.DBAPIError as error:
        raise StartError(f"{database.shown} cannot be restored: {db_errors.reason(error)}", exit_code=1) from None


async def _load_table(connection: AsyncConnection, program: str, table: SavedTable, reader: Reader) -> None:
    here = [column for (column,) in await connection.execute(sa.text(COLUMNS), {"name": table.name})]
    if set(here) != set(table.columns):
        raise StartError(f"the backup's table {table.name} of {program} is not that of its revision")
    quote = connection.dialect.identifier_preparer.quote_identifier
    await connection.execute(sa.text(f"DELETE FROM {quote(table.name)}"))  # noqa: S608 - quoted
    columns, marks = ", ".join(quote(name) for name in table.columns), ", ".join(["%s"] * len(table.columns))
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608 - quoted
    batch: list[tuple[object, ...]] = []
    for row in _rows(reader, program, table):
        batch.append(tuple(row))
        if len(batch) == ROWS:
            await connection.exec_driver_sql(statement, batch)
            await connection.commit()
            batch.clear()
    if batch:
        await connection.exec_driver_sql(statement, batch)
    if table.next_number is not None:
        await connection.execute(sa.text(f"ALTER TABLE {quote(table.name)} AUTO_INCREMENT = {int(table.next_number)}"))
    await connection.commit()
    count = (await connection.execute(sa.text(f"SELECT COUNT(*) FROM {quote(table.name)}"))).scalar()  # noqa: S608
    if count != table.rows:
        raise StartError(f"{program}, table {table.name}: {count} of {table.rows} rows arrived", exit_code=1)
