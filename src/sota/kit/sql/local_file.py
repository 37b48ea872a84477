"""A small SQLite file, open or closed for now; see ``kit/sql/local_database.py``."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from sota.kit.files.durable import is_relaxed, needs_sync, private_file, private_folder, sync_content
from sota.kit.files.set_aside import CORRUPT, DAMAGED, find_set_aside, set_aside
from sota.kit.runtime.logging import get_logger

Connection = sqlite3.Connection

BUSY_TIMEOUT_S = 10.0
DURABLE = ("journal_mode=WAL", "synchronous=NORMAL")
RELAXED = ("journal_mode=MEMORY", "synchronous=OFF")


class LocalFile:
    """The file and its connection, opened at first use. Several programs of one process may share it.

    A shared file is locked for this process, so it needs no third file beside itself and its log: a process of
    thousands of vehicles may open only a limited number.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path = path
        self.connection: Connection | None = None
        self.users = 0
        self.generation = 0
        """How often the file was set aside: when this changes, each program that shares it creates its tables again."""
        self.was_lost = False
        """Whether the former content is lost: the file was set aside, now or at an earlier start."""
        self._is_checked = False
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
        """Return the connection."""
        return self.connection or self._open()

    def set_aside(self, why: str) -> None:
        """Move the damaged file away; the next use creates another one.

        Raises:
            OSError: it cannot be moved.
        """
        with contextlib.suppress(sqlite3.Error):  # closing the last connection writes the log into the file
            self.release()
        self.connection = None
        new = set_aside(self.path)
        self.generation += 1
        self.was_lost = True
        get_logger().error(
            "local_file_set_aside",
            file=str(self.path),
            kept_as=new.name,
            detail=why,
            hint="its program starts with an empty file, and reports to the backend again; check the disk",
        )

    def sync(self) -> None:
        """Make the log durable.

        Raises:
            OSError: the disk failed.
        """
        if not needs_sync():
            return
        descriptor = os.open(self._log, os.O_RDONLY)
        try:
            # The log grows, and readers need its size: fdatasync makes that durable too.
            sync_content(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> Connection:
        private_folder(self.path.parent)
        if not self._is_checked:
            self._look_for_loss()
            private_file(self.path)
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in (*self._pragmas, *(RELAXED if is_relaxed() else DURABLE), "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            if not self._is_checked:
                _check(connection)
                self._is_checked = True
        except BaseException:
            connection.close()
            raise
        self.connection = connection
        return connection

    def _look_for_loss(self) -> None:
        """Detect a file that was truncated to nothing, and one that was set aside and not yet replaced."""
        if not self.path.exists():
            self.was_lost = self.was_lost or bool(find_set_aside(self.path, DAMAGED))
        elif self.path.stat().st_size == 0:
            self.set_aside("it is empty")


def _check(connection: Connection) -> None:
    """Read all pages once, so that damage is found at the start, not in the middle of an installation.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode, error.sqlite_errorname = CORRUPT, "SQLITE_CORRUPT"
        raise error
