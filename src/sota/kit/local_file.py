"""A small SQLite file, open or closed for now (``kit/local_database.py`` says what it is for)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sota.kit.durable import is_relaxed, needs_sync, sync_content

Connection = sqlite3.Connection

BUSY_TIMEOUT_S = 10.0
DURABLE = ("journal_mode=WAL", "synchronous=NORMAL")
RELAXED = ("journal_mode=MEMORY", "synchronous=OFF")


class LocalFile:
    """The file and its connection, which is opened at its first use. Several programs of one process may share it.

    Shared, it is locked for this process alone, and so has no third file beside itself and its log: a process of
    thousands of vehicles may open only so many.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path = path
        self.connection: Connection | None = None
        self.users = 0
        self._pragmas = ("locking_mode=EXCLUSIVE",) if is_shared else ()
        self._log = path.with_name(f"{path.name}-wal")

    @property
    def is_loaded(self) -> bool:
        """Whether the file is open now."""
        return self.connection is not None

    def release(self) -> None:
        """Close the file for now; the next use opens it again."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def opened(self) -> Connection:
        """Give the connection."""
        return self.connection or self._open()

    def sync(self) -> None:
        """Make durable what the log holds.

        Raises:
            OSError: the disk failed.
        """
        if not needs_sync():
            return
        descriptor = os.open(self._log, os.O_RDONLY)
        try:
            # The log grows: its size is part of what a reader needs, and fdatasync brings that too.
            sync_content(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in (*self._pragmas, *(RELAXED if is_relaxed() else DURABLE), "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        self.connection = connection
        return connection
