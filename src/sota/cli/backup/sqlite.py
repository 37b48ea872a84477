"""SQLite's files in a backup: copied while no program has them open, and checked before they are restored."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sota.cli.backup.archive import Writer
from sota.cli.backup.manifest import SavedDatabase, SavedTable
from sota.kit.errors import StartError
from sota.kit.sql.migrations import revisions

BUSY_TIMEOUT_S = 5.0


def save(file: Path, program: str, writer: Writer) -> SavedDatabase:
    """Add a database to a backup.

    Raises:
        StartError: it is missing, damaged, or still in use.
    """
    if not file.is_file():
        raise StartError(f"{file}: there is no such database")
    with _opened(file) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StartError(f"{file} is in use by another program: end it first")
        connection.execute("BEGIN IMMEDIATE")  # no other writer now, and the log is empty: the file is complete
        _check(connection, file)
        saved = SavedDatabase(revision=_revision(connection, file, program), tables=_tables(connection))
        writer.add_file(f"databases/{program}.db", file, is_packed=True)
        connection.execute("ROLLBACK")
    return saved


def check(file: Path, program: str, saved: SavedDatabase) -> None:
    """Compare a database from a backup with its manifest.

    Raises:
        StartError: it differs, or is damaged.
    """
    with _opened(file) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        _check(connection, file)
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM sqlite_master")}
        if not kinds <= {"table", "index"}:
            raise StartError(f"the backup's {program} database has triggers or views, which none of ours has")
        if (_revision(connection, file, program), _tables(connection)) != (saved.revision, saved.tables):
            raise StartError(f"the backup's {program} database is not the one that its manifest describes")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        f"file:{quote(str(file))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    try:
        yield connection
    except sqlite3.Error as error:
        raise StartError(f"{file}: {error}", exit_code=1) from None
    finally:
        connection.close()


def _check(connection: sqlite3.Connection, file: Path) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StartError(f"{file} is damaged: {found}", exit_code=1)


def _revision(connection: sqlite3.Connection, file: Path, program: str) -> str:
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    if revision not in revisions(f"sota.{program}.migrations"):
        raise StartError(f"{file}: its tables are of another version of this program ({str(revision)[:40]!r})")
    return str(revision)


def _tables(connection: sqlite3.Connection) -> list[SavedTable]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    return [SavedTable(name=name, rows=_count(connection, name)) for (name,) in names]


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    (count,) = connection.execute(f'SELECT COUNT(*) FROM "{quoted}"').fetchone()  # noqa: S608 - quoted above
    return int(count)
