"""Move away a local file that cannot be used, so that its program starts again and the file can be examined.

The name says why and when: ``client.db.damaged-20261130T151203Z``. The newest three are kept, so that a disk that
damages the file repeatedly does not fill up.

A file is set aside only for damage, never for a temporary error: a full disk, a lock, a missing permission, an
I/O error. :func:`is_damage` tells them apart.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar

import msgspec

from sota.kit.files.durable import sync_folder

Value = TypeVar("Value", bound=Enum)

DAMAGED = "damaged"
KEPT = 3
CORRUPT, NOT_A_DATABASE = 11, 26  # the primary result codes SQLITE_CORRUPT and SQLITE_NOTADB
COMPANIONS = ("-wal", "-shm", "-journal")
UNDECODABLE = "Could not decode to UTF-8"


class DamagedRow(ValueError):
    """A stored value is not one that the program writes."""


def is_damage(error: BaseException) -> bool:
    """Report whether an error shows damaged data; temporary errors do not.

    >>> is_damage(sqlite3.OperationalError("database or disk is full"))
    False
    """
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by Python's module, which has no code for text that is not UTF-8
            return str(error).startswith(UNDECODABLE)
        return code & 0xFF in {CORRUPT, NOT_A_DATABASE}
    return isinstance(error, DamagedRow | msgspec.DecodeError | UnicodeDecodeError)


def read_stored(kind: type[Value], value: object) -> Value:
    """Read an enumeration's value from a row.

    Raises:
        DamagedRow: it is not one of them.
    """
    try:
        return kind(value)
    except ValueError as error:
        raise DamagedRow(str(error)) from None


def set_aside(path: Path, why: str = DAMAGED) -> Path:
    """Rename a file or folder so that its name says why and when; return the new path. The rename is durable.

    Raises:
        OSError: it cannot be renamed; it is where it was.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    new, number = path.with_name(f"{path.name}.{why}-{stamp}"), 1
    while new.exists():
        number += 1
        new = path.with_name(f"{path.name}.{why}-{stamp}-{number}")
    path.rename(new)
    sync_folder(path.parent)
    # A database's log comes second: SQLite discards a log without its database, but a database without its log would
    # look like a complete one of an earlier moment.
    for companion in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(new.with_name(new.name + companion))
    for old in find_set_aside(path, why)[:-KEPT]:
        _remove(old)
    return new


def find_set_aside(path: Path, why: str = DAMAGED) -> list[Path]:
    """List set-aside versions of a path, the oldest first."""
    names = path.parent.glob(f"{path.name}.{why}-*")
    found = [name for name in names if not name.name.endswith(COMPANIONS)]
    return sorted(found, key=lambda each: (each.lstat().st_ctime_ns, each.name))


def _remove(old: Path) -> None:
    """Remove the oldest set-aside files; a failure to remove does no harm."""
    with contextlib.suppress(OSError):
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
        for companion in COMPANIONS:
            old.with_name(old.name + companion).unlink(missing_ok=True)
