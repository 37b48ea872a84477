"""A program's own small SQLite file, by the standard library: what the vehicle's programs keep across power loss.

One connection, used by one thread at a time, WAL: what a transaction wrote is on disk when :meth:`transact` returns.
SQLite itself syncs only where the file's soundness needs it (``synchronous=NORMAL``); the log that a transaction was
written to is synced here, after it, so that a process of many vehicles can wait for many logs at once, and that a
transaction whose loss does no harm need not be waited for at all. (The backend's databases are in ``kit/db.py``; a
vehicle has no SQLAlchemy.)

>>> database = LocalDatabase(path, SCHEMA)                                               # doctest: +SKIP
>>> await database.open()                                                                # doctest: +SKIP
>>> await database.transact(lambda tx: tx.execute("INSERT INTO report VALUES (?)", (1,)))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from sota.kit import faults
from sota.kit.database_threads import OwnThread, Threads
from sota.kit.disk import Sync
from sota.kit.durable import is_relaxed, sync_content
from sota.kit.errors import StartError, Unavailable

Result = TypeVar("Result")
Connection = sqlite3.Connection
Row = sqlite3.Row

BUSY_TIMEOUT_S = 10.0
REMEMBERED_READS = 256
DURABLE = ("journal_mode=WAL", "synchronous=NORMAL")
RELAXED = ("journal_mode=MEMORY", "synchronous=OFF")


class LocalDatabase:
    """The file, its schema, and the thread that speaks to it: its own, or one of ``threads``.

    ``schema`` is a list of steps; a file remembers (``user_version``) how many it has had, and gets the others when
    it is opened.
    """

    def __init__(self, path: Path, schema: tuple[str, ...], threads: Threads | None = None) -> None:
        self._path, self._schema = path, schema
        self._threads: Threads = threads or OwnThread(path.stem)
        self._connection: Connection | None = None
        self._is_open = False
        self._log = path.with_name(f"{path.name}-wal")
        self._recalled: dict[Hashable, Any] = {}
        self._changes = 0

    @property
    def is_loaded(self) -> bool:
        """Whether the file is open now."""
        return self._connection is not None

    async def open(self) -> None:
        """Open the file and bring its schema up.

        Raises:
            StartError: it cannot be opened, is damaged, or was written by a newer program.
        """
        try:
            await self._run(self._open)
        except sqlite3.Error as error:
            raise StartError(f"{self._path}: {error}") from None
        self._is_open = True

    async def close(self) -> None:
        """Let what is under way end, and close."""
        self._is_open = False
        await self._threads.leave(self)

    def release(self) -> None:
        """Close the file for now; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def transact(self, work: Callable[[Connection], Result], *, durable: bool = True) -> Result:
        """Do ``work`` in one transaction; its writes are on disk when this returns, or none of them was made.

        Not ``durable``: they outlive this process, but a loss of power takes them unless another transaction follows,
        which makes them durable with its own. For what is only done again, harmlessly, when it was forgotten.

        Raises:
            Unavailable: the disk is full (nothing was written) or fails (perhaps it was).
        """

        def run() -> Result:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                faults.before(work)
                connection.execute("COMMIT")
                if not durable:
                    faults.after(work)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        def sync() -> None:
            self._sync()
            faults.after(work)

        self._change()
        try:
            return await self._run(run, sync if durable else None)
        except (sqlite3.OperationalError, OSError) as error:
            raise Unavailable(f"{self._path.name} cannot be written: {error}.") from error
        finally:
            self._change()

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read without writing."""
        if self._connection is not None and self._threads.may_work_here(self):
            return work(self._connection)
        return await self._run(lambda: work(self._opened()))

    async def recall(self, key: Hashable, work: Callable[[Connection], Result]) -> Result:
        """Read what was perhaps read under this ``key`` since the last transaction; nobody may change what this gives.

        >>> await database.recall(("download", 7), work)                                 # doctest: +SKIP
        """
        if key in self._recalled:
            found: Result = self._recalled[key]
            return found
        changes = self._changes
        result = await self.read(work)
        if changes == self._changes:
            if len(self._recalled) >= REMEMBERED_READS:
                self._recalled.clear()
            self._recalled[key] = result
        return result

    def _change(self) -> None:
        self._changes += 1
        self._recalled.clear()

    async def _run(self, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        if self._connection is not None and self._threads.may_work_here(self):
            return await self._threads.run(self, work, sync)
        # Shielded: a cancelled caller must not leave a transaction that nobody waits for half known.
        working = asyncio.ensure_future(self._threads.run(self, work, sync))
        working.add_done_callback(_hear)
        return await asyncio.shield(working)

    def _opened(self) -> Connection:
        if not self._is_open:
            raise Unavailable(f"{self._path.name} is not open.")
        return self._connection or self._open()

    def _sync(self) -> None:
        """Make durable what the log holds.

        Raises:
            OSError: the disk failed.
        """
        if is_relaxed():
            return
        descriptor = os.open(self._log, os.O_RDONLY)
        try:
            # The log grows: its size is part of what a reader needs, and fdatasync brings that too.
            sync_content(descriptor)
        finally:
            os.close(descriptor)

    def _open(self) -> Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in RELAXED if is_relaxed() else DURABLE:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys=ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._schema):
            connection.close()
            raise StartError(f"{self._path} was written by a newer version of this program")
        for number, step in enumerate(self._schema[version:], start=version + 1):
            connection.executescript(f"BEGIN; {step}; PRAGMA user_version={number}; COMMIT;")
        self._connection = connection
        return connection


def _hear(working: asyncio.Future[Any]) -> None:
    """Take note of a failure: whoever was cancelled meanwhile does not."""
    if not working.cancelled():
        working.exception()
